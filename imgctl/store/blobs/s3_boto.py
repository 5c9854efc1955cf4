"""What only boto3 does for the store: files in parts, names that obstore cannot hold, signed puts of known bytes."""

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from imgctl.errors import BlobMissing
from imgctl.store.blobs.base import SignedPut
from imgctl.store.blobs.files import checked_chunks
from imgctl.store.blobs.names import is_utf8
from imgctl.store.blobs.s3_connect import Boto3S3, ListAnswer
from imgctl.store.blobs.s3_failure import Failure, Target, certificate_refused, judge, silence, untrusted

if TYPE_CHECKING:
    from obstore import ObjectMeta

FAILURES = (ClientError, BotoCoreError)

IF_ABSENT = {"IfNoneMatch": "*"}

_PART_BYTES = 16 * 2**20
_MOST_PARTS = 10_000
_SHA256_BYTES = 32


def upload_file(
    client: Boto3S3,
    target: Target,
    name: str,
    path: Path,
    *,
    size: int,
    content_type: str,
    sha256: bytes,
    condition: Mapping[str, str] = IF_ABSENT,
) -> None:
    """Put the file under `condition`; BlobCorrupt, and nothing put, unless it has that size and sha256.

    Parts are between 16 MiB and what 10,000 of them need (limits: S3 User Guide, multipart upload).
    """
    part_bytes = max(_PART_BYTES, -(-size // _MOST_PARTS))
    with path.open("rb", buffering=0) as source, translated(target):
        chunks = checked_chunks(source, size=size, sha256=sha256, chunk_size=part_bytes)
        _Upload(client, bucket=target.bucket, name=name, content_type=content_type).run(chunks, condition)


def upload_chunks(client: Boto3S3, target: Target, name: str, chunks: Iterator[memoryview], content_type: str) -> str:
    """Put what is not known to its end, if `name` is absent, and answer its ETag; all chunks but the last >= 5 MiB."""
    with translated(target):
        return _Upload(client, bucket=target.bucket, name=name, content_type=content_type).run(chunks, IF_ABSENT)


def list_page(client: Boto3S3, target: Target, prefix: str, after: str) -> "tuple[Sequence[ObjectMeta], bool]":
    """A thousand objects whose names begin with `prefix`, behind `after`, and whether more follow: every name S3 allows."""
    start = {"StartAfter": after}
    with translated(target):
        answer = client.list_objects_v2(Bucket=target.bucket, Prefix=prefix, **start)
        while not answer.get("Contents") and (token := _onward(answer, start)):
            # Servers may answer pages without objects, of deleted ones for instance.
            start = {"ContinuationToken": token}
            answer = client.list_objects_v2(Bucket=target.bucket, Prefix=prefix, **start)
    found = [_meta(one["Key"], one["LastModified"], one["Size"], one.get("ETag")) for one in answer.get("Contents", ())]
    return found, bool(answer.get("IsTruncated"))


def head_object(client: Boto3S3, target: Target, name: str) -> "ObjectMeta":
    """What HEAD says of an object, whatever its name; BlobMissing where there is none, or none can be."""
    if not is_utf8(name):
        raise BlobMissing(f"there is no blob {name}", hint=f"looked in bucket {target.bucket}")
    with translated(target):
        found = client.head_object(Bucket=target.bucket, Key=name)
    return _meta(name, found["LastModified"], found["ContentLength"], found.get("ETag"))


def _onward(answer: ListAnswer, start: dict[str, str]) -> str:
    """The token of the next page, empty behind the last one and where the server stands still."""
    token = answer.get("NextContinuationToken", "") if answer.get("IsTruncated") else ""
    return "" if token == start.get("ContinuationToken") else token


def _meta(path: str, last_modified: datetime, size: int, e_tag: str | None) -> "ObjectMeta":
    return {"path": path, "last_modified": last_modified, "size": size, "e_tag": e_tag, "version": None}


def sign_put(
    client: Boto3S3,
    target: Target,
    name: str,
    *,
    seconds: int,
    size: int,
    content_type: str,
    sha256: bytes,
    others: Mapping[str, str],
) -> SignedPut:
    """Sign (SigV4, in the query) a PUT that the server refuses for other bytes and for a name that is taken.

    `others` are the headers that the client adds by itself, and the bearer must send.
    """
    checksum = base64.b64encode(sha256).decode()
    parameters = {
        "Bucket": target.bucket,
        "Key": name,
        "ContentType": content_type,
        "ContentLength": size,
        "IfNoneMatch": "*",
        "ChecksumSHA256": checksum,
    }
    with translated(target):
        url = client.generate_presigned_url("put_object", Params=parameters, ExpiresIn=seconds)
    headers = {"Content-Type": content_type, "Content-Length": str(size), "If-None-Match": "*"}
    signed = parse_qs(urlsplit(url).query)["X-Amz-SignedHeaders"][0].split(";")
    possible = {"x-amz-checksum-sha256": checksum, **others}
    headers |= {header: value for header, value in possible.items() if header in signed}
    return SignedPut(url=url, headers=headers)


def stored_sha256(client: Boto3S3, target: Target, name: str) -> bytes | None:
    """The checksum of a whole object; None for one put without, or in parts."""
    with translated(target):
        answer = client.head_object(Bucket=target.bucket, Key=name, ChecksumMode="ENABLED")
    try:
        digest = base64.b64decode(answer.get("ChecksumSHA256", ""), validate=True)
    except binascii.Error:
        # `…-3`: a checksum of checksums of parts.
        return None
    whole = len(digest) == _SHA256_BYTES and answer.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
    return digest if whole else None


class _Upload:
    """One multipart upload, which is completed or aborted."""

    def __init__(self, client: Boto3S3, *, bucket: str, name: str, content_type: str) -> None:
        self._client = client
        self._object = {"Bucket": bucket, "Key": name}
        self._content_type = content_type

    def run(self, chunks: Iterator[memoryview], condition: Mapping[str, str]) -> str:
        begun = self._client.create_multipart_upload(
            **self._object, ContentType=self._content_type, ChecksumAlgorithm="SHA256"
        )
        upload = self._object | {"UploadId": begun["UploadId"]}
        try:
            parts = [self._part(upload, number, chunk) for number, chunk in enumerate(chunks, start=1)]
            # AWS answers 409 when the key is deleted meanwhile, and wants the whole upload anew: a failure here.
            done = self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, **condition)
            return done.get("ETag", "").strip('"')
        except BaseException:
            # What isn't aborted is billed until a lifecycle rule ends it.
            with suppress(BotoCoreError, ClientError):
                self._client.abort_multipart_upload(**upload)
            raise

    def _part(self, upload: dict[str, str], number: int, chunk: memoryview) -> dict[str, str | int]:
        checksum = base64.b64encode(hashlib.sha256(chunk).digest()).decode()
        # The client leaves checksums out where the settings say so.
        answer = self._client.upload_part(
            **upload, PartNumber=number, Body=bytes(chunk), ChecksumSHA256=checksum, ContentLength=len(chunk)
        )
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum}


@contextmanager
def translated(target: Target) -> Iterator[None]:
    """Raise the StoreError that fits for what boto3 raises within."""
    try:
        yield
    except FAILURES as error:
        raise failure_of(error, target).error from None


def failure_of(error: Exception, target: Target) -> Failure:
    """Judge an error of boto3 by the status and the S3 error code in it, or by its class where nobody answered."""
    if isinstance(error, ClientError):
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return judge(status, code_of(error), error.response["Error"].get("Message", "").rstrip("."), target)
    if reason := certificate_refused(error):
        return untrusted(reason, target)
    return silence(type(error).__name__, target)


def code_of(error: Exception) -> str:
    """The S3 error code of an error of boto3, empty where nobody answered."""
    code: str = error.response["Error"].get("Code", "") if isinstance(error, ClientError) else ""
    return code
