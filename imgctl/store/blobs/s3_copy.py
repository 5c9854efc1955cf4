"""Copies on the server: an object under another name, in the standard class, under the conditions that keep both safe."""

from collections.abc import Mapping
from contextlib import suppress

from botocore.exceptions import BotoCoreError, ClientError

from imgctl.store.blobs.s3_boto import translated
from imgctl.store.blobs.s3_connect import Boto3S3, HeadAnswer
from imgctl.store.blobs.s3_failure import Target

# The largest object one CopyObject takes (S3 API Reference).
LARGEST_COPY = 5 * 2**30
_PART_BYTES = 512 * 2**20
_MOST_PARTS = 10_000
_KEPT = ("Metadata", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage")


def copy_object(
    client: Boto3S3,
    target: Target,
    source: str,
    name: str,
    *,
    etag: str,
    content_type: str,
    largest: int = LARGEST_COPY,
    part_bytes: int = _PART_BYTES,
) -> None:
    """Copy `source` to `name`, both whole names in the target's bucket; `target` names the source in errors.

    BlobExists for either condition that fails: `name` is taken, or the source no longer has this ETag.
    """
    with translated(target):
        found = client.head_object(Bucket=target.bucket, Key=source)
        copy = {
            "Bucket": target.bucket,
            "Key": name,
            "CopySource": {"Bucket": target.bucket, "Key": source},
            "CopySourceIfMatch": f'"{etag}"',
        }
        described = {"StorageClass": "STANDARD", **_described(found, content_type)}
        if found["ContentLength"] <= largest:
            directive = "COPY" if found.get("ContentType") == content_type else "REPLACE"
            client.copy_object(**copy, **described, MetadataDirective=directive, IfNoneMatch="*")
        else:
            parts = max(part_bytes, -(-found["ContentLength"] // _MOST_PARTS))
            _copy_in_parts(client, copy, described, size=found["ContentLength"], part_bytes=parts)


def _described(found: HeadAnswer, content_type: str) -> dict[str, object]:
    """What the copy says of itself: the source's words, but its content type as the content is."""
    kept = {name: value for name, value in found.items() if name in _KEPT and value}
    return kept | {"ContentType": content_type}


def _copy_in_parts(
    client: Boto3S3, copy: Mapping[str, object], described: Mapping[str, object], *, size: int, part_bytes: int
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
        client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
    except BaseException:
        # What isn't aborted is billed until a lifecycle rule ends it.
        with suppress(BotoCoreError, ClientError):
            client.abort_multipart_upload(**upload)
        raise
