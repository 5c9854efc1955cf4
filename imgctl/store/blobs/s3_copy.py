"""Copies on the server: an object under another name, in the standard class, under the conditions that keep both safe."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from imgctl.store.blobs.s3_boto import IF_ABSENT, translated
from imgctl.store.blobs.s3_connect import Boto3S3
from imgctl.store.blobs.s3_failure import Target

if TYPE_CHECKING:
    from obstore import Attributes

# The largest object one CopyObject takes (S3 API Reference).
LARGEST_COPY = 5 * 2**30
_PART_BYTES = 512 * 2**20
_MOST_PARTS = 10_000
_HEADERS = {
    "Cache-Control": "CacheControl",
    "Content-Disposition": "ContentDisposition",
    "Content-Encoding": "ContentEncoding",
    "Content-Language": "ContentLanguage",
}


def copy_object(
    client: Boto3S3,
    target: Target,
    source: str,
    name: str,
    *,
    etag: str,
    size: int,
    described: Mapping[str, object],
    replaces: bool,
    condition: Mapping[str, str] = IF_ABSENT,
    largest: int = LARGEST_COPY,
    part_bytes: int = _PART_BYTES,
) -> None:
    """Copy `source` to `name`, both whole names in the target's bucket; `target` names the source in errors.

    The copy is `described` so if it `replaces` what the source says of itself; in parts nothing is taken over unsaid.
    `condition` is put-if-absent, or empty for a server that does not implement it. BlobExists for either condition that fails: `name` is taken, or the source no longer has this ETag.
    """
    with translated(target):
        copy = {
            "Bucket": target.bucket,
            "Key": name,
            "CopySource": {"Bucket": target.bucket, "Key": source},
            "CopySourceIfMatch": f'"{etag}"',
        }
        if size <= largest:
            said = {**described, "MetadataDirective": "REPLACE"} if replaces else {"MetadataDirective": "COPY"}
            client.copy_object(**copy, **said, StorageClass="STANDARD", **condition)
        else:
            parts = max(part_bytes, -(-size // _MOST_PARTS))
            said = {**described, "StorageClass": "STANDARD"}
            _copy_in_parts(client, copy, said, condition, size=size, part_bytes=parts)


def description(attributes: "Attributes", content_type: str) -> dict[str, object]:
    """What boto3 must be told for a copy that keeps the words of obstore's attributes, but has this content type."""
    kept: dict[str, object] = {boto3: attributes[header] for header, boto3 in _HEADERS.items() if header in attributes}
    metadata = {name: value for name, value in attributes.items() if name not in _HEADERS and name != "Content-Type"}
    return kept | {"Metadata": metadata, "ContentType": content_type}


def _copy_in_parts(
    client: Boto3S3,
    copy: Mapping[str, object],
    described: Mapping[str, object],
    condition: Mapping[str, str],
    *,
    size: int,
    part_bytes: int,
) -> None:
    place = {"Bucket": copy["Bucket"], "Key": copy["Key"]}
    upload = place | {"UploadId": client.create_multipart_upload(**place, **described)["UploadId"]}
    try:
        parts = []
        for number, start in enumerate(range(0, size, part_bytes), start=1):
            wanted = f"bytes={start}-{min(start + part_bytes, size) - 1}"
            answer = client.upload_part_copy(
                **copy, UploadId=upload["UploadId"], PartNumber=number, CopySourceRange=wanted
            )
            parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
        client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, **condition)
    except BaseException:
        # What isn't aborted is billed until a lifecycle rule ends it.
        with suppress(BotoCoreError, ClientError):
            client.abort_multipart_upload(**upload)
        raise
