"""Uploads that go from a client straight into the bucket: a signature that allows these very bytes and no others."""

import base64
import binascii
from typing import Protocol, TypedDict, cast

from imgctl.store.blobs.base import SignedPut
from imgctl.store.blobs.s3_boto import translated
from imgctl.store.blobs.s3_connect import Boto3S3, Connection, url_of
from imgctl.store.blobs.s3_credentials import current_credentials
from imgctl.store.blobs.s3_failure import Target

_SHA256_BYTES = 32


class _Head(TypedDict, total=False):
    ChecksumSHA256: str
    ChecksumType: str


class _Heads(Protocol):
    def head_object(self, **arguments: object) -> _Head: ...


def sign_put(
    connection: Connection, name: str, *, seconds: int, size: int, content_type: str, sha256: bytes
) -> SignedPut:
    """Sign (SigV4, in the query) a PUT that the server refuses for other bytes and for a name that is taken."""
    from botocore.auth import S3SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    who = current_credentials()()
    headers = {
        "Content-Type": content_type,
        "Content-Length": str(size),
        "If-None-Match": "*",
        "x-amz-checksum-sha256": base64.b64encode(sha256).decode(),
    }
    request = AWSRequest(method="PUT", url=url_of(connection, name), headers=headers)
    credentials = Credentials(who.access_key, who.secret_key, who.token or None)
    signer = S3SigV4QueryAuth(credentials, "s3", connection.region, expires=seconds)
    signer.add_auth(request)
    return SignedPut(url=str(request.url), headers=headers)


def stored_sha256(client: Boto3S3, target: Target, name: str) -> bytes | None:
    """The checksum of a whole object; None for one put without, or in parts."""
    with translated(target):
        answer = cast("_Heads", client).head_object(Bucket=target.bucket, Key=name, ChecksumMode="ENABLED")
    try:
        digest = base64.b64decode(answer.get("ChecksumSHA256", ""), validate=True)
    except binascii.Error:
        # `…-3`: a checksum of checksums of parts.
        return None
    whole = len(digest) == _SHA256_BYTES and answer.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
    return digest if whole else None
