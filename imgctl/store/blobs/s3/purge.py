"""Lists all that a bucket keeps under a key (versions, delete markers, parts of uploads), and deletes it permanently."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import cast

from imgctl.errors import BlobMissing, StoreDenied, StoreError
from imgctl.store.blobs.base import Blob, Remnant
from imgctl.store.blobs.s3.bucket import Bucket
from imgctl.store.blobs.s3.listing import pages_of

# The maximum for one DeleteObjects (S3 API Reference).
BATCH = 1000
_VERSION_MARKS = {"KeyMarker": "NextKeyMarker", "VersionIdMarker": "NextVersionIdMarker"}
# A copy and its source.
_BOTH = 2

Response = Mapping[str, object]
Listed = list[dict[str, object]]


def blobs_below(bucket: Bucket, stem: str) -> Iterator[Remnant]:
    """The objects of a bucket that keeps no versions."""
    for page in pages_of(bucket, prefix=stem):
        classes = page.classes or ("STANDARD",) * len(page.keys)
        for key, size, at, storage_class in zip(page.keys, page.sizes, page.times, classes, strict=True):
            yield Remnant(key=key, size=size, modified_at=at, storage_class=storage_class)


def versions_below(bucket: Bucket, stem: str) -> Iterator[Remnant]:
    """Every version and delete marker, current or not."""
    for response in _paged(bucket, bucket.client.list_object_versions, _VERSION_MARKS, Prefix=bucket.prefix + stem):
        for name in ("Versions", "DeleteMarkers"):
            for one in cast("Listed", response.get(name, [])):
                yield Remnant(
                    key=_below(bucket, one),
                    size=cast("int", one.get("Size", 0)),
                    modified_at=cast("datetime", one["LastModified"]),
                    storage_class=str(one.get("StorageClass") or "STANDARD"),
                    version_id=str(one["VersionId"]),
                    is_current=bool(one.get("IsLatest")),
                    is_marker=name == "DeleteMarkers",
                )


def copied_version(bucket: Bucket, blob: Blob) -> str | None:
    """Return the version before the current one, `blob`, if it has the same content; None if the key was ever deleted.

    The ETag of an object put in parts differs from its copy's: then the size has to suffice.
    """
    name, found = bucket.prefix + blob.key, list[dict[str, object]]()
    for response in _paged(bucket, bucket.client.list_object_versions, _VERSION_MARKS, Prefix=name):
        if any(one["Key"] == name for one in cast("Listed", response.get("DeleteMarkers", []))):
            return None
        found += [one for one in cast("Listed", response.get("Versions", [])) if one["Key"] == name]
    # The latest first (ListObjectVersions, S3 API Reference).
    if len(found) < _BOTH or found[0]["VersionId"] != blob.version_id:
        return None
    etags = {str(found[1].get("ETag", "")).strip('"'), blob.etag}
    same = found[1].get("Size") == blob.size and (len(etags) == 1 or any("-" in one for one in etags))
    return str(found[1]["VersionId"]) if same else None


def uploads_below(bucket: Bucket) -> Iterator[Remnant]:
    """Uploads in parts that are neither completed nor aborted."""
    marks = {"KeyMarker": "NextKeyMarker", "UploadIdMarker": "NextUploadIdMarker"}
    # rclone's server returns 404 NoSuchUpload until the first upload has begun.
    with suppress(BlobMissing):
        for response in _paged(bucket, bucket.client.list_multipart_uploads, marks, Prefix=bucket.prefix):
            for one in cast("Listed", response.get("Uploads", [])):
                yield Remnant(
                    key=_below(bucket, one),
                    size=0,
                    modified_at=cast("datetime", one["Initiated"]),
                    upload_id=str(one["UploadId"]),
                    is_current=False,
                )


def purge(bucket: Bucket, remnants: Iterable[Remnant], *, at_once: bool) -> Iterator[tuple[Remnant, StoreError]]:
    """Delete versions (a thousand a request, or one without bulk deletion) and abort uploads; yields the rejected ones."""
    left = iter(remnants)
    while some := list(islice(left, BATCH)):
        for one in some:
            if one.upload_id is not None:
                yield from _alone(bucket, one)
        objects = [one for one in some if one.upload_id is None]
        if at_once and objects:
            yield from _together(bucket, objects)
        else:
            for one in objects:
                yield from _alone(bucket, one)


def _together(bucket: Bucket, some: list[Remnant]) -> Iterator[tuple[Remnant, StoreError]]:
    wanted = [{"Key": bucket.prefix + one.key, **_version(one)} for one in some]
    delete = {"Objects": wanted, "Quiet": True}
    response = cast("Response", bucket.call("", bucket.client.delete_objects, Bucket=bucket.name, Delete=delete))
    errors = cast("Listed", response.get("Errors", []))
    rejected = {(error.get("Key"), error.get("VersionId")): error for error in errors}
    for one in some if rejected else ():
        name = bucket.prefix + one.key
        error = rejected.get((name, one.version_id)) or rejected.get((name, None))
        if error is not None and error.get("Code") not in ("NoSuchKey", "NoSuchVersion"):
            yield one, _rejection(bucket, one, f"{error.get('Code')}: {error.get('Message')}")


def _alone(bucket: Bucket, one: Remnant) -> Iterator[tuple[Remnant, StoreError]]:
    client = bucket.client
    try:
        if one.upload_id is not None:
            bucket.request(client.abort_multipart_upload, one.key, UploadId=one.upload_id)
        else:
            bucket.request(client.delete_object, one.key, **_version(one))
    except BlobMissing:
        return
    except StoreDenied as error:
        yield one, _rejection(bucket, one, error.message)


def _rejection(bucket: Bucket, one: Remnant, why: str) -> StoreError:
    """Return why a version cannot be deleted, from HEAD: a legal hold, a retention, or else the server's message."""
    try:
        found = cast("Response", bucket.request(bucket.client.head_object, one.key, **_version(one)))
    except StoreError:
        found = {}
    until, mode = found.get("ObjectLockRetainUntilDate"), found.get("ObjectLockMode")
    if found.get("ObjectLockLegalHoldStatus") == "ON":
        return StoreDenied(f"{one.name} is under legal hold", hint="aws s3api put-object-legal-hold lifts it")
    if until is not None:
        hint = "it can be deleted then; with GOVERNANCE a user with s3:BypassGovernanceRetention can do so now"
        return StoreDenied(f"{one.name} is locked until {until:%Y-%m-%d %H:%M} ({mode})", hint=hint)
    return StoreDenied(f"{one.name} was not deleted: {why}", hint="check the bucket's policy and its Object Lock")


def legal_hold(bucket: Bucket, one: Remnant, *, on: bool) -> None:
    """Put a version under legal hold, or lift it."""
    hold = {"Status": "ON" if on else "OFF"}
    bucket.request(bucket.client.put_object_legal_hold, one.key, LegalHold=hold, **_version(one))


def _version(one: Remnant) -> dict[str, object]:
    return {} if one.version_id is None else {"VersionId": one.version_id}


def _below(bucket: Bucket, one: Mapping[str, object]) -> str:
    return str(one["Key"])[len(bucket.prefix) :]


def _paged(
    bucket: Bucket, request: Callable[..., object], marks: Mapping[str, str], **wanted: object
) -> Iterator[Response]:
    """The pages of a listing that continues with two markers; StoreError if the markers don't advance."""
    start: dict[str, object] = {}
    while True:
        response = cast("Response", bucket.call("", request, Bucket=bucket.name, **wanted, **start))
        yield response
        if not response.get("IsTruncated"):
            return
        onward: dict[str, object] = {mark: response[name] for mark, name in marks.items() if response.get(name)}
        if not onward or onward == start:
            raise StoreError(
                "the store's listing reports more pages, but does not advance", hint="list with another tool to see why"
            )
        start = onward
