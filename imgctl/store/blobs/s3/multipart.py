"""Puts by boto3: objects in parts, each part checksummed and the whole put-if-absent; and signed puts of known bytes."""

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from imgctl.errors import StoreError
from imgctl.regular_files import regular
from imgctl.store.blobs.base import SignedPut
from imgctl.store.blobs.files import checked_chunks
from imgctl.store.blobs.s3.bucket import Bucket, once

IF_ABSENT = {"IfNoneMatch": "*"}
# S3 User Guide, multipart upload limits.
MOST_PARTS = 10_000

_PART_BYTES = 16 * 2**20

Part = dict[str, str | int]


def put_file(
    bucket: Bucket,
    key: str,
    path: Path,
    *,
    size: int,
    content_type: str,
    sha256: bytes,
    condition: Mapping[str, str],
    before: Callable[[], None],
) -> None:
    """Put the file in parts (see `in_parts`); BlobCorrupt, and nothing put, unless it has that size and sha256."""
    part_bytes = max(_PART_BYTES, -(-size // MOST_PARTS))
    with open(path, "rb", buffering=0, opener=regular) as source:
        chunks = checked_chunks(source, size=size, sha256=sha256, chunk_size=part_bytes)
        put_chunks(bucket, key, chunks, content_type, condition=condition, before=before)


def put_chunks(
    bucket: Bucket,
    key: str,
    chunks: Iterator[memoryview],
    content_type: str,
    *,
    condition: Mapping[str, str] = IF_ABSENT,
    before: Callable[[], None] = lambda: None,
) -> str:
    """Put a stream of unknown length, if `key` is absent, and return its ETag; all chunks but the last >= 5 MiB."""

    def parts(upload: Mapping[str, str]) -> Iterator[Part]:
        for number, chunk in enumerate(chunks, start=1):
            checksum = base64.b64encode(hashlib.sha256(chunk).digest()).decode()
            # The client removes checksums if the settings disable them.
            body = {"Body": bytes(chunk), "ContentLength": len(chunk), "ChecksumSHA256": checksum}
            response = bucket.request(bucket.client.upload_part, key, **upload, PartNumber=number, **body)
            yield {"PartNumber": number, "ETag": response["ETag"], "ChecksumSHA256": checksum}

    described = {"ContentType": content_type, "ChecksumAlgorithm": "SHA256"}
    return in_parts(bucket, key, parts, described=described, condition=condition, before=before)


def in_parts(
    bucket: Bucket,
    key: str,
    parts: Callable[[Mapping[str, str]], Iterable[Part]],
    *,
    described: Mapping[str, object],
    condition: Mapping[str, object],
    before: Callable[[], None] = lambda: None,
) -> str:
    """One multipart upload, completed under `condition` or aborted; returns the ETag. `parts` puts the parts of an UploadId.

    `before` is called before each try of the completion, which is what makes the object: it may raise.
    """
    client = bucket.client
    upload = {"UploadId": bucket.request(client.create_multipart_upload, key, **described)["UploadId"]}
    try:
        put = {"Parts": list(parts(upload))}
        completion = {**bucket.place(key), **upload, "MultipartUpload": put, **condition}

        def complete() -> str:
            before()
            # AWS returns 409 if the key is deleted meanwhile, and requires a new upload: a failure here.
            return once(client.complete_multipart_upload, **completion).get("ETag", "")

        return bucket.call(key, complete).strip('"')
    except BaseException:
        # An upload that is not aborted is billed until a lifecycle rule ends it.
        with suppress(StoreError):
            bucket.request(client.abort_multipart_upload, key, **upload)
        raise


def sign_put(bucket: Bucket, key: str, *, seconds: int, size: int, content_type: str, sha256: bytes) -> SignedPut:
    """Sign (SigV4, in the query) a PUT that the server rejects for other bytes and for an existing name."""
    checksum = base64.b64encode(sha256).decode()
    wanted = {"ContentType": content_type, "ContentLength": size, "ChecksumSHA256": checksum, **IF_ABSENT}
    parameters = bucket.place(key) | wanted
    url = bucket.call(
        key, lambda: bucket.client.generate_presigned_url("put_object", Params=parameters, ExpiresIn=seconds)
    )
    headers = {"Content-Type": content_type, "Content-Length": str(size), "If-None-Match": "*"}
    signed = parse_qs(urlsplit(url).query)["X-Amz-SignedHeaders"][0].split(";")
    # Headers that the client adds because of the settings: the bearer must send them.
    possible = {"x-amz-checksum-sha256": checksum, **bucket.where.headers}
    headers |= {header: value for header, value in possible.items() if header in signed}
    return SignedPut(url=url, headers=headers)
