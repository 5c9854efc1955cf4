"""Copies objects on the server: to another key, or onto themselves in another storage class."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, cast
from urllib.parse import urlencode

from imgctl.errors import BlobArchived, BlobCorrupt, BlobExists, BlobMissing, StoreError
from imgctl.model import is_archived
from imgctl.store.blobs.files import replaced
from imgctl.store.blobs.s3.bucket import Bucket, once
from imgctl.store.blobs.s3.listing import class_of
from imgctl.store.blobs.s3.multipart import MOST_PARTS, Part, in_parts
from imgctl.units import count_of

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef as HeadResponse

# Attributes that a copy drops even if it keeps the metadata; the names are the same in HEAD and CopyObject.
_DROPPED = ("ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled", "WebsiteRedirectLocation",
              "ObjectLockLegalHoldStatus", "ObjectLockEventHold", "ObjectLockEventHoldDurationDays",
              "ObjectLockEventHoldDurationYears")  # fmt: skip
_RETENTION = ("ObjectLockMode", "ObjectLockRetainUntilDate")
_METADATA = ("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Expires",
             "Metadata")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyLimits:
    """Objects beyond `largest` bytes are copied in parts of `part_bytes`: 5 GiB by one CopyObject (S3 API Reference)."""

    largest: int = 5 * 2**30
    part_bytes: int = 512 * 2**20


def copy(
    bucket: Bucket,
    source_key: str,
    key: str,
    *,
    etag: str,
    content_type: str,
    condition: Mapping[str, str],
    before: Callable[[], None],
    limits: CopyLimits,
) -> None:
    """Copy into the standard class with all metadata but the content type; errors name the source.

    `condition` is put-if-absent, or empty for a server that does not implement it; `before` is called before each try.
    BlobExists if either condition fails: `key` exists, or the source no longer has this ETag.
    """
    found = bucket.request(bucket.client.head_object, source_key)
    described: dict[str, object] = _kept(found, _METADATA) | {"ContentType": content_type}
    source = _source(bucket, source_key, etag)
    if found["ContentLength"] > limits.largest:
        before()
        parts = partial(_parts, bucket, key, source, found["ContentLength"], limits.part_bytes)
        described |= {"StorageClass": "STANDARD"}
        in_parts(bucket, key, parts, described=described, condition=condition, before=before)
        return
    same = found.get("ContentType") == content_type
    metadata = {"MetadataDirective": "COPY"} if same else described | {"MetadataDirective": "REPLACE"}
    wanted = bucket.place(key) | source | metadata | {"StorageClass": "STANDARD"} | dict(condition)

    def copy_once() -> None:
        before()
        once(bucket.client.copy_object, **wanted)

    bucket.call(source_key, copy_once)


def move(bucket: Bucket, key: str, *, to: str, etag: str, limits: CopyLimits) -> "HeadResponse":
    """Move the object to class `to` and return its HEAD; each try starts with a HEAD: an earlier one may have succeeded."""
    return bucket.call(key, partial(_moved, bucket, key, to=to, etag=etag, limits=limits))


def _moved(bucket: Bucket, key: str, *, to: str, etag: str, limits: CopyLimits) -> "HeadResponse":
    head = partial(once, bucket.client.head_object, **bucket.place(key))
    found = head()
    if class_of(found) == to:
        return found
    if found["ETag"].strip('"') != etag:
        raise replaced(key)
    if is_archived(class_of(found)) and 'ongoing-request="false"' not in found.get("Restore", ""):
        hint = f"restore it first: imgctl restore {key}"
        raise BlobArchived(f"{key} is in an archive storage class", hint=hint)
    try:
        if found["ContentLength"] > limits.largest:
            _in_parts(bucket, key, found, to, part_bytes=limits.part_bytes)
        else:
            _at_once(bucket, key, found, to)
    except Exception as error:
        judged = error if isinstance(error, (BlobExists, BlobMissing)) else bucket.judged(error, key)
        if judged is None:
            raise
        return _moved_by_another(key, found, head(), to, judged)
    return _arrived(key, found, head(), to)


def _at_once(bucket: Bucket, key: str, found: "HeadResponse", to: str) -> None:
    wanted = bucket.place(key) | _same(bucket, key, found) | _settings_of(found)
    wanted |= {"StorageClass": to, "TaggingDirective": "COPY"}
    if bucket.is_aws:
        wanted["IfMatch"] = found["ETag"]
    try:
        once(bucket.client.copy_object, **wanted, MetadataDirective="COPY")
    except Exception as error:
        # SeaweedFS rejects a copy onto itself unless the metadata are replaced.
        if bucket.is_aws or type(bucket.judged(error, key)) is not StoreError:
            raise
        once(bucket.client.copy_object, **wanted, **_metadata_of(key, found), MetadataDirective="REPLACE")


def _in_parts(bucket: Bucket, key: str, found: "HeadResponse", to: str, *, part_bytes: int) -> None:
    """Copy in parts, which keeps only the bytes: metadata, tags and settings are sent again."""
    tags = bucket.request(bucket.client.get_object_tagging, key)["TagSet"]
    tagged = {"Tagging": urlencode({tag["Key"]: tag["Value"] for tag in tags})} if tags else {}
    described = _metadata_of(key, found) | _settings_of(found) | tagged | {"StorageClass": to}
    condition = {"IfMatch": found["ETag"]} if bucket.is_aws else {}
    parts = partial(_parts, bucket, key, _same(bucket, key, found), found["ContentLength"], part_bytes)
    in_parts(bucket, key, parts, described=described, condition=condition)


def _parts(
    bucket: Bucket, key: str, source: Mapping[str, object], size: int, part_bytes: int, upload: Mapping[str, str]
) -> Iterator[Part]:
    step = max(part_bytes, -(-size // MOST_PARTS))
    for number, start in enumerate(range(0, size, step), start=1):
        part = {"PartNumber": number, "CopySourceRange": f"bytes={start}-{min(start + step, size) - 1}"}
        response = bucket.request(bucket.client.upload_part_copy, key, **source, **upload, **part)
        yield {"PartNumber": number, "ETag": response["CopyPartResult"]["ETag"]}


def _source(bucket: Bucket, key: str, etag: str) -> dict[str, object]:
    return {"CopySource": bucket.place(key), "CopySourceIfMatch": f'"{etag}"'}


def _same(bucket: Bucket, key: str, found: "HeadResponse") -> dict[str, object]:
    """The source of a copy onto itself: exactly the version that HEAD returned."""
    version = {"VersionId": found["VersionId"]} if "VersionId" in found else {}
    source = _source(bucket, key, found["ETag"].strip('"'))
    return source | {"CopySource": bucket.place(key) | version}


def _metadata_of(key: str, found: "HeadResponse") -> dict[str, object]:
    if found.get("MissingMeta"):
        raise StoreError(
            f"{key} has metadata that no header can hold; a copy would lose it", hint="it was left as it is"
        )
    return _kept(found, _METADATA)


def _settings_of(found: "HeadResponse") -> dict[str, object]:
    until = cast("Mapping[str, object]", found).get("ObjectLockRetainUntilDate")
    # S3 rejects a retention that has ended.
    lasts = isinstance(until, datetime) and until > datetime.now(UTC)
    return _kept(found, _DROPPED + _RETENTION if lasts else _DROPPED)


def _kept(found: "HeadResponse", names: tuple[str, ...]) -> dict[str, object]:
    response = cast("Mapping[str, object]", found)
    return {name: response[name] for name in names if response.get(name)}


def _moved_by_another(
    key: str, before: "HeadResponse", now: "HeadResponse", to: str, error: StoreError
) -> "HeadResponse":
    """Resolve a rejected copy: return the HEAD if another process moved it; raise `replaced` or the store's error."""
    if class_of(now) == to and now["ContentLength"] == before["ContentLength"]:
        return now
    # Raised for any failed precondition.
    raise replaced(key) if isinstance(error, BlobExists) else error


def _arrived(key: str, before: "HeadResponse", now: "HeadResponse", to: str) -> "HeadResponse":
    if class_of(now) != to or now["ContentLength"] != before["ContentLength"]:
        what = f"{count_of(now['ContentLength'], 'byte')} of {class_of(now)}"
        raise BlobCorrupt(
            f"{key} was {count_of(before['ContentLength'], 'byte')}, but after the copy into {to} it is {what}",
            hint="check the object before anything else; this server may not support storage classes",
        )
    return now
