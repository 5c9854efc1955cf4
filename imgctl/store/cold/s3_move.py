"""An object copied onto itself in another storage class, with everything that is its own."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import cast
from urllib.parse import urlencode

from imgctl.errors import BlobArchived, BlobCorrupt, BlobExists, StoreError
from imgctl.model import StorageClass, is_archived
from imgctl.store.blobs.files import replaced
from imgctl.store.blobs.s3_boto import FAILURES, failure_of
from imgctl.store.blobs.s3_connect import HeadAnswer
from imgctl.store.cold.s3_client import Bucket
from imgctl.units import count_of

# The largest object one CopyObject takes (S3 API Reference).
LARGEST_COPY = 5 * 2**30
PART_BYTES = 512 * 2**20
_MOST_PARTS = 10_000
# What a copy that keeps the metadata still forgets: by HEAD's name, which is CopyObject's too.
_FORGOTTEN = ("ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled", "WebsiteRedirectLocation",
              "ObjectLockLegalHoldStatus", "ObjectLockEventHold", "ObjectLockEventHoldDurationDays",
              "ObjectLockEventHoldDurationYears")  # fmt: skip
_RETENTION = ("ObjectLockMode", "ObjectLockRetainUntilDate")
_METADATA = ("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Expires",
             "Metadata")  # fmt: skip


def moved(
    bucket: Bucket, key: str, head: Callable[[], HeadAnswer], *, to: str, etag: str, largest: int, part_bytes: int
) -> HeadAnswer:
    """The object's HEAD once it is `to`; each try begins by looking, for one before it may have been done unheard."""
    copy = partial(_copied, bucket, key, head, to=to, etag=etag, largest=largest, part_bytes=part_bytes)
    return bucket.call(key, copy)


def _copied(
    bucket: Bucket, key: str, head: Callable[[], HeadAnswer], *, to: str, etag: str, largest: int, part_bytes: int
) -> HeadAnswer:
    found = head()
    if class_of(found) == to:
        return found
    if found["ETag"].strip('"') != etag:
        raise replaced(key)
    if is_archived(class_of(found)) and 'ongoing-request="false"' not in found.get("Restore", ""):
        hint = f"restore it first: imgctl restore {key}"
        raise BlobArchived(f"{key} lies in an archive storage class", hint=hint)
    copy = partial(_in_parts, part_bytes=part_bytes) if found["ContentLength"] > largest else _at_once
    try:
        copy(bucket, key, found, to)
    except FAILURES as error:
        failure = failure_of(error, bucket.target(key))
        if failure.transient:
            raise
        return _moved_by_another(key, found, head(), to, failure.error)
    return _arrived(key, found, head(), to)


def _at_once(bucket: Bucket, key: str, found: HeadAnswer, to: str) -> None:
    wanted = _copy_of(bucket, key, found) | _unsaid(found) | {"StorageClass": to, "TaggingDirective": "COPY"}
    if bucket.is_aws:
        wanted["IfMatch"] = found["ETag"]
    try:
        bucket.client.copy_object(**wanted, MetadataDirective="COPY")
    except FAILURES as error:
        # SeaweedFS takes a copy onto itself for a mistake unless the metadata are replaced.
        if bucket.is_aws or failure_of(error, bucket.target(key)).error.__class__ is not StoreError:
            raise
        bucket.client.copy_object(**wanted, **_said(key, found), MetadataDirective="REPLACE")


def _in_parts(bucket: Bucket, key: str, found: HeadAnswer, to: str, *, part_bytes: int) -> None:
    """Copied in parts an object keeps nothing but its bytes: all else is said again."""
    client, place = bucket.client, bucket.object(key)
    said = _said(key, found) | _unsaid(found) | _tags(bucket, key)
    upload = place | {"UploadId": client.create_multipart_upload(**place, **said, StorageClass=to)["UploadId"]}
    try:
        parts = _parts(bucket, upload | _copy_of(bucket, key, found), found["ContentLength"], part_bytes)
        only = {"IfMatch": found["ETag"]} if bucket.is_aws else {}
        client.complete_multipart_upload(**upload, **only, MultipartUpload={"Parts": parts})
    except BaseException:
        # What isn't aborted is billed until a lifecycle rule ends it.
        with suppress(*FAILURES):
            client.abort_multipart_upload(**upload)
        raise


def _parts(bucket: Bucket, copy: Mapping[str, object], size: int, part_bytes: int) -> list[dict[str, object]]:
    step = max(part_bytes, -(-size // _MOST_PARTS))
    parts: list[dict[str, object]] = []
    for number, start in enumerate(range(0, size, step), start=1):
        wanted = f"bytes={start}-{min(start + step, size) - 1}"
        answer = bucket.client.upload_part_copy(**copy, PartNumber=number, CopySourceRange=wanted)
        parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
    return parts


def _copy_of(bucket: Bucket, key: str, found: HeadAnswer) -> dict[str, object]:
    place = bucket.object(key)
    version = {"VersionId": found["VersionId"]} if "VersionId" in found else {}
    return {**place, "CopySource": {**place, **version}, "CopySourceIfMatch": f'"{found["ETag"].strip(chr(34))}"'}


def _said(key: str, found: HeadAnswer) -> dict[str, object]:
    if found.get("MissingMeta"):
        raise StoreError(f"{key} has metadata that no header can say, and would lose it", hint="it was left as it is")
    return _kept(found, _METADATA)


def _tags(bucket: Bucket, key: str) -> dict[str, object]:
    tags = bucket.client.get_object_tagging(**bucket.object(key))["TagSet"]
    return {"Tagging": urlencode({tag["Key"]: tag["Value"] for tag in tags})} if tags else {}


def _unsaid(found: HeadAnswer) -> dict[str, object]:
    until = cast("Mapping[str, object]", found).get("ObjectLockRetainUntilDate")
    # S3 takes no retention that has ended.
    lasts = isinstance(until, datetime) and until > datetime.now(UTC)
    return _kept(found, _FORGOTTEN + _RETENTION if lasts else _FORGOTTEN)


def _kept(found: HeadAnswer, names: tuple[str, ...]) -> dict[str, object]:
    answer = cast("Mapping[str, object]", found)
    return {name: answer[name] for name in names if answer.get(name)}


def _moved_by_another(key: str, before: HeadAnswer, now: HeadAnswer, to: str, error: StoreError) -> HeadAnswer:
    """What a refused copy means: somebody else moved it meanwhile, or changed it, or what the store says."""
    if class_of(now) == to and now["ContentLength"] == before["ContentLength"]:
        return now
    # Said of every precondition that fails.
    raise replaced(key) if isinstance(error, BlobExists) else error


def _arrived(key: str, before: HeadAnswer, now: HeadAnswer, to: str) -> HeadAnswer:
    if class_of(now) != to or now["ContentLength"] != before["ContentLength"]:
        what = f"{count_of(now['ContentLength'], 'byte')} of {class_of(now)}"
        raise BlobCorrupt(
            f"{key} was {count_of(before['ContentLength'], 'byte')}, and is after the copy into {to} {what}",
            hint="does this server keep storage classes? Look at the object before anything else",
        )
    return now


def class_of(found: HeadAnswer) -> str:
    """The class a HEAD tells; of Intelligent-Tiering the archive tier, where the object lies in one."""
    return found.get("ArchiveStatus") or found.get("StorageClass") or StorageClass.STANDARD
