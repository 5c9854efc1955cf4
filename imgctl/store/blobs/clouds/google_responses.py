"""Converts Google's responses about objects (Objects resource, JSON API)."""

from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime

from imgctl.store.blobs.base import Blob, Remnant
from imgctl.store.blobs.listing_pages import Page

Resource = dict[str, object]

FIELDS = "name,size,timeCreated,storageClass,generation,md5Hash"
# Metadata that a rewrite drops unless it is sent again (Objects: rewrite, JSON API).
_KEPT = ("contentType", "cacheControl", "contentDisposition", "contentEncoding", "contentLanguage", "customTime",
         "metadata", "eventBasedHold", "temporaryHold")  # fmt: skip


def kept_metadata(found: Resource) -> Resource:
    """The metadata that a rewrite must send again."""
    return {name: found[name] for name in _KEPT if found.get(name)}


def page_of(items: list[Mapping[str, str]]) -> Page:
    """Listed objects as a page."""
    rows = [(one["name"], int(one["size"]), _time(one["timeCreated"]), one.get("storageClass", "STANDARD"),
             one["generation"], one.get("md5Hash", "")) for one in items]  # fmt: skip
    if not rows:
        return Page((), (), (), ())
    keys, sizes, times, classes, generations, md5s = zip(*rows, strict=True)
    return Page(keys, sizes, times, classes, generations, md5s=md5s)


def blob_of(found: Resource) -> Blob:
    """An object; its ETag is its generation."""
    generation = str(found["generation"])
    return Blob(
        key=str(found["name"]),
        size=int(str(found["size"])),
        modified_at=_time(str(found["timeCreated"])),
        etag=generation,
        storage_class=str(found.get("storageClass", "STANDARD")),
        version_id=generation,
        # An object composed of others has no MD5.
        md5=b64decode(str(found["md5Hash"])) if found.get("md5Hash") else None,
    )


def remnant_of(found: Resource) -> Remnant:
    """A current, old or soft-deleted generation."""
    softly = found.get("hardDeleteTime")
    return Remnant(
        key=str(found["name"]),
        size=int(str(found["size"])),
        modified_at=_time(str(found["timeCreated"])),
        storage_class=str(found.get("storageClass", "STANDARD")),
        version_id=str(found["generation"]),
        is_current="timeDeleted" not in found and softly is None,
        until=_time(str(softly)) if softly is not None else None,
    )


def _time(text: str) -> datetime:
    """Parse a time, cut to whole seconds like those of HEAD."""
    return datetime.fromisoformat(text).astimezone(UTC).replace(microsecond=0)
