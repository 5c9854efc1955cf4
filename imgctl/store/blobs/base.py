"""The protocol of blob stores, what they keep under a key, and the keys that all stores accept."""

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol

from imgctl.errors import KeyShapeError, StoreError, StoreUnsupported
from imgctl.model import INTELLIGENT_TIERING, S3_CLASSES, UNKNOWN, StorageClass, is_archived
from imgctl.store.blobs.listing_pages import Page, Restored
from imgctl.store.blobs.traits import Kept, Traits


@dataclass(frozen=True, slots=True, kw_only=True)
class Remnant:
    """Anything that a store keeps under a key: a blob, an old version, a delete marker, or the parts of an upload
    that was not completed (`upload_id`, its size unknown). `version_id` is None where the store keeps no versions.
    `until` is the approximate time when the store drops a remnant that is deleted but still retained.
    """

    key: str
    size: int
    modified_at: datetime
    storage_class: str = UNKNOWN
    version_id: str | None = None
    upload_id: str | None = None
    is_current: bool = True
    is_marker: bool = False
    until: datetime | None = None

    @property
    def name(self) -> str:
        """The key, and which version or upload of it."""
        return " ".join(filter(None, (self.key, self.version_id or self.upload_id)))


IMMUTABLE = "public, max-age=31536000, immutable"

# Keys that some store would alter, strip or reject silently: empty, `.` and `..` segments, control characters, and
# bytes that are not UTF-8 (lone surrogates in Python's file names).
_NOT_PORTABLE = re.compile(r"^/|//|/\Z|(?:^|/)\.{1,2}(?:/|\Z)|[\x00-\x1f\x7f\ud800-\udfff]|^\Z")
_NO_PATH = r"^/|//|/\Z|(?:^|/)\.{1,2}(?:/|\Z)|\x00|^\Z"


class Tier(StrEnum):
    """The speed and the price of a restore; the values are the price card's names."""

    BULK = "BULK"
    STANDARD = "STANDARD"
    EXPEDITED = "EXPEDITED"


class Restore(StrEnum):
    """The store's response to a restore request."""

    STARTED = "started"
    IN_PROGRESS = "in_progress"
    EXTENDED = "extended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """One blob as the store describes it.

    `etag` has no quotes, and is empty if the store returns none. `restored_until` is when its readable copy expires,
    `version_id` None if unversioned. `md5` and `sha256` are computed by the store over the whole content: only
    Google and Azure return `md5` (elsewhere the ETag may be it), and only `details` with `checksum` returns `sha256`.
    """

    key: str
    size: int
    modified_at: datetime
    etag: str = ""
    storage_class: str = UNKNOWN
    restoring: bool = False
    restored_until: datetime | None = None
    version_id: str | None = None
    md5: bytes | None = None
    sha256: bytes | None = None

    @property
    def tier_unknown(self) -> bool:
        """Whether it is in Intelligent-Tiering, maybe in an archive tier: `details` reports the tier, listings don't."""
        return self.storage_class == INTELLIGENT_TIERING

    @property
    def readable(self) -> bool:
        """Whether a GET would succeed now."""
        return not is_archived(self.storage_class) or self.restored_until is not None


class SignedPut(NamedTuple):
    """A signed request that creates one blob: PUT to `url` with exactly these headers."""

    url: str
    headers: dict[str, str]


class BlobStore(Protocol):
    """A store of blobs. Every method raises the matching StoreError and is thread-safe.

    The methods with a body here are those of a store without that feature: of versions, locks, or parts of uploads.

    Clients open on first use, in the process that uses them; a key that not every store can hold is a KeyShapeError.
    """

    @property
    def pushbacks(self) -> int:
        """The number of transient failures so far, retried or not: 5xx, 429, resets and timeouts."""
        return 0

    @property
    def put_if_absent(self) -> Kept | None:
        """Whether the store rejects a put under an existing key; None before the first `create` or `copy`."""

    def test_put_if_absent(self, key: str = "") -> Kept:
        """Return `put_if_absent`, tested by two small puts if it is not yet known; `key` is the key in error texts."""

    def traits(self) -> Traits:
        """Test the features that imgctl relies on, with small blobs that are deleted again."""

    def create(self, key: str, body: bytes, *, content_type: str) -> None:
        """Put a blob that must not exist yet, durably and checksummed; BlobExists if the key exists.

        BlobExists is also raised if an earlier try was committed but its response was lost: compare with `head`.
        """

    def create_file(self, key: str, path: Path, *, size: int, content_type: str, sha256: bytes) -> None:
        """Like `create`, streamed from a file in bounded memory; BlobCorrupt when it no longer has that sha256."""

    def replace(self, key: str, body: bytes, *, content_type: str) -> None:
        """Put a blob, over an older one if there is one."""

    def get(self, key: str) -> bytes:
        """The whole blob; BlobMissing, or BlobArchived if it must be restored first."""

    def read(self, key: str, *, start: int, length: int, etag: str) -> bytes:
        """Up to `length` bytes, 1 at least, from `start` on; BlobCorrupt if the blob no longer has this ETag."""

    def copy(self, source_key: str, key: str, *, etag: str, content_type: str) -> None:
        """Copy a blob within the store under a key that must be free, into the standard class, its metadata kept.

        BlobExists as for `create`; BlobCorrupt when the source no longer has this ETag, BlobMissing when it is gone.
        """

    def head(self, key: str) -> Blob | None:
        """The blob's size, time and ETag, or None when there is none; its class may be UNKNOWN."""

    def details(self, key: str, *, checksum: bool = False) -> Blob | None:
        """Like `head`, with its class, restore and version; with `checksum` also the SHA-256 stored with it.

        Slower than `head`: it uses boto3 for S3. The checksum of an encrypted object may need kms:Decrypt.
        """

    def scan(self, *, prefix: str = "", after: str = "", until: str = "") -> Iterator[Blob]:
        """Blobs with their classes in UTF-8 byte order of their keys, `after` < key <= `until`; an empty bound is none.

        Restores are included if the store lists them (AWS does).
        """

    def pages(self, after: str, until: str, *, on_request: Callable[[], None] = lambda: None) -> Iterator[Page]:
        """The same blobs as `scan` in columns, up to a thousand a page; `on_request` is called for each request."""

    def delete(self, keys: Iterable[str]) -> None:
        """Delete blobs; one that is already gone is ignored."""

    def move(self, key: str, *, to: str, etag: str) -> Blob:
        """Move a blob to another class, keep metadata, tags and encryption, and verify the result; no-op if it has the class.

        BlobCorrupt when it no longer has this ETag or did not arrive whole; BlobArchived when it must be restored
        first; BlobMissing when it is gone. The result has the new version's `version_id`.
        """

    def restore(self, key: str, *, tier: Tier, days: int | None) -> Restore:
        """Request a readable copy for `days` days; StoreUnavailable if the tier has no capacity now.

        `days` is None for archive tiers of Intelligent-Tiering, which return to frequent access permanently.
        """

    def keeps_versions(self) -> bool:
        """Whether an overwritten blob is kept, and billed, as an old version."""
        return False

    def move_keeps_source(self) -> bool:
        """Whether a `move` leaves the source as an old version, which is billed: not where classes are set in place."""
        return False

    def copied_version(self, blob: Blob) -> str | None:
        """Return the old version that a `move` copied into this current one: the one before it, with the same content.

        None if there is none, or if moves make no versions here.
        """
        return None

    def delete_version(self, key: str, version_id: str) -> None:
        """Delete one old version of a blob permanently; StoreError for the current one."""

    def remnants(self, stems: Sequence[str]) -> Iterator[Remnant]:
        """All that the store has under keys that begin with one of `stems`: blobs of all classes, versions, delete markers."""

    def uploads(self) -> Iterator[Remnant]:
        """The multipart uploads that were neither completed nor aborted, where the store lists them."""
        return iter(())

    def purge(self, remnants: Iterable[Remnant]) -> Iterator[tuple[Remnant, StoreError]]:
        """Delete these permanently and durably, in batches; yields the remnants that were not deleted, with the reason.

        Missing remnants are ignored; deleted ones that the store still retains have `until` set. A StoreError that is
        not about single remnants is raised.
        """

    def multipart(self, key: str) -> Kept:
        """Test whether a multipart put is rejected for an existing key, with this key; leaves 5 MiB there.

        NOT_APPLICABLE if imgctl makes no such puts; BlobCorrupt if the parts are not joined correctly.
        """
        return Kept.NOT_APPLICABLE

    def object_lock(self) -> str | None:
        """The default retention of new versions, empty if there is none; None without Object Lock."""
        return None

    def set_legal_hold(self, remnant: Remnant, *, on: bool) -> None:
        """Set or lift the legal hold of one version; StoreUnsupported without Object Lock."""
        raise StoreUnsupported("imgctl sets no legal holds in a store of this kind", hint="leave --object-lock out")

    def sign(self, key: str, *, seconds: int) -> str:
        """Return a URL that can be used to read the blob for `seconds` (for a file: its file:// URL)."""

    def sign_create(self, key: str, *, seconds: int, size: int, content_type: str, sha256: bytes) -> SignedPut | None:
        """Return a PUT, valid for `seconds`, that creates this key; limited to these bytes if the signature can cover them.

        None if URLs cannot do this, or if the server would allow an overwrite. Verify the stored bytes before use.
        """
        return None

    def reach(self) -> None:
        """Make one small listing; raises BucketMissing, StoreDenied or StoreUnavailable, which a HEAD cannot distinguish."""

    def check(self) -> None:
        """Raise a StoreError unless blobs can be read and written here; leaves nothing behind."""


def blobs_of(pages: Iterator[Page]) -> Iterator[Blob]:
    """The blobs of pages, one by one."""
    for page in pages:
        for at, key in enumerate(page.keys):
            restored = page.restored[at] if page.restored else Restored()
            yield Blob(
                key=key,
                size=page.sizes[at],
                modified_at=page.times[at],
                etag=page.etags[at],
                storage_class=page.classes[at] if page.classes else "STANDARD",
                restoring=restored.restoring,
                restored_until=restored.until,
                md5=base64.b64decode(page.md5s[at]) if page.md5s and page.md5s[at] else None,
            )


def known_class(name: str, known: tuple[StorageClass, ...] = S3_CLASSES) -> StorageClass:
    """Return the class of that name; StoreError for an unknown one: some servers accept any text."""
    if name not in known:
        raise StoreError(f"unknown storage class to move to: {name}", hint=", ".join(known))
    return StorageClass(name)


def checked(key: str) -> str:
    """Return the key; KeyShapeError unless every store can hold a blob under exactly this name."""
    if _NOT_PORTABLE.search(key):
        raise KeyShapeError(
            f"{key!r} cannot be a key: absolute, or with an empty, '.' or '..' part, a control character or no UTF-8"
        )
    return key


def is_portable(key: str) -> bool:
    """Whether every store can hold a blob under exactly this name; `checked` requires it for writes."""
    return not _NOT_PORTABLE.search(key)


def is_path(key: str) -> bool:
    """Whether a file below a directory may have exactly this name; anything else would name another file."""
    return not re.search(_NO_PATH, key)


def beside(root: Path) -> Path:
    """The default directory for the archived originals of a directory store."""
    return root.parent / f"{root.name}.archive"
