"""Converts Azure's responses about blobs: headers of a blob, and entries of a listing (List Blobs)."""

from base64 import b64decode
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element  # written by the container's own server

from imgctl.model import StorageClass
from imgctl.store.blobs.base import Blob, Remnant
from imgctl.store.blobs.clouds.listing import SNAPSHOT
from imgctl.store.blobs.listing_pages import Page, Restored, bare

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

# Azure's names of the tiers, and the names in rows.
_TIERS = {
    "Hot": StorageClass.STANDARD.value,
    "Cool": StorageClass.COOL.value,
    "Cold": StorageClass.COLD.value,
    "Archive": StorageClass.AZURE_ARCHIVE.value,
}
TIER_OF = {name: tier for tier, name in _TIERS.items()}


def _class(tier: str | None) -> str:
    # Accounts of other kinds return no tier; an unknown tier keeps the server's name.
    return _TIERS.get(tier or "Hot", (tier or "").upper())


def blob_of(name: str, response: "BaseHTTPResponse") -> Blob:
    """The blob of a response's headers."""
    headers = response.headers
    return Blob(
        key=name,
        size=int(headers.get("Content-Length", "0")),
        modified_at=_time(headers.get("Last-Modified", "")),
        etag=bare(headers.get("ETag", "")),
        storage_class=_class(headers.get("x-ms-access-tier")),
        restoring=headers.get("x-ms-archive-status", "").startswith("rehydrate-pending"),
        version_id=headers.get("x-ms-version-id"),
        # A blob put in blocks has no MD5.
        md5=b64decode(headers["Content-MD5"]) if headers.get("Content-MD5") else None,
    )


Row = tuple[str, int, datetime, str, str, bool, str]
"""Name, size, time, class, ETag, whether it is being rehydrated, and its MD5 in base64, if it has one."""


def row_of(blob: Element) -> Row | None:
    """A listed blob; None for a directory of a hierarchical account."""
    properties = {one.tag: one.text or "" for one in blob.iterfind("Properties/*")}
    if properties.get("ResourceType") == "directory":
        return None
    return (
        blob.findtext("Name") or "",
        int(properties.get("Content-Length", "0")),
        _time(properties.get("Last-Modified", "")),
        _class(properties.get("AccessTier")),
        bare(properties.get("Etag", "")),
        properties.get("ArchiveStatus", "").startswith("rehydrate-pending"),
        properties.get("Content-MD5", ""),
    )


def remnant_of(blob: Element) -> Remnant:
    """A listed blob, version or snapshot, soft-deleted or not."""
    row = row_of(blob)
    assert row is not None
    name, size, modified_at, storage_class, *_ = row
    version, snapshot = blob.findtext("VersionId"), blob.findtext("Snapshot")
    deleted = blob.findtext("Deleted") == "true"
    days = int(blob.findtext("Properties/RemainingRetentionDays") or "0")
    old = snapshot is not None or (version is not None and blob.findtext("IsCurrentVersion") != "true")
    return Remnant(
        key=name,
        size=size,
        modified_at=modified_at,
        storage_class=storage_class,
        version_id=version if snapshot is None else f"{SNAPSHOT}{snapshot}",
        is_current=not (old or deleted),
        until=datetime.now(UTC) + timedelta(days=days) if deleted else None,
    )


def version_query(one: Remnant) -> dict[str, str]:
    """The query parameter of a version or a snapshot."""
    version = one.version_id or ""
    return {"snapshot": version.removeprefix(SNAPSHOT)} if version.startswith(SNAPSHOT) else {"versionid": version}


def page_of(rows: list[Row]) -> Page:
    """Rows as a page."""
    if not rows:
        return Page((), (), (), ())
    keys, sizes, times, classes, etags, pending, md5s = zip(*rows, strict=True)
    restored = tuple(Restored(one) for one in pending) if any(pending) else None
    return Page(keys, sizes, times, classes, etags, restored, md5s)


@cache
def _day(text: str) -> datetime:
    return parsedate_to_datetime(text).astimezone(UTC)


def _time(text: str) -> datetime:
    """Parse `Sat, 28 Nov 2026 09:48:16 GMT`; each day is parsed once."""
    day, clock = text[:16], text[17:25]
    return _day(f"{day} 00:00:00 GMT") + timedelta(
        hours=int(clock[:2]), minutes=int(clock[3:5]), seconds=int(clock[6:8])
    )
