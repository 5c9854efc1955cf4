"""What a blob store can do, whatever stands behind it, and which keys every store takes."""

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from imgctl.errors import KeyShapeError, StoreError
from imgctl.model import INTELLIGENT_TIERING, S3_CLASSES, UNKNOWN, StorageClass, is_archived
from imgctl.store.blobs.pages import Page, Restored
from imgctl.store.blobs.traits import Kept, Traits

if TYPE_CHECKING:
    from imgctl.store.blobs.remnant import Remnant

IMMUTABLE = "public, max-age=31536000, immutable"

# What one kind of store would alter, strip or refuse in silence: empty, `.` and `..` segments, control characters, and
# what is not UTF-8 (a lone surrogate stands for each such byte of a file name).
_REFUSED = re.compile(r"^/|//|/\Z|(?:^|/)\.{1,2}(?:/|\Z)|[\x00-\x1f\x7f\ud800-\udfff]|^\Z")
_NO_PATH = r"^/|//|/\Z|(?:^|/)\.{1,2}(?:/|\Z)|\x00|^\Z"


class Tier(StrEnum):
    """The speed and the price of a restore; the values are the price card's names."""

    BULK = "BULK"
    STANDARD = "STANDARD"
    EXPEDITED = "EXPEDITED"


class Restore(StrEnum):
    """What the store answered to a request to restore a blob."""

    STARTED = "started"
    IN_PROGRESS = "in_progress"
    EXTENDED = "extended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """One blob as the store describes it.

    `etag` is bare, and empty where the store names none. `restored_until` is when its readable copy expires,
    `version_id` None if unversioned. `md5` and `sha256` are the store's own, of the whole content: the first is told by
    Google and Azure alone (elsewhere the ETag may be it), the second only to `details` with `checksum`.
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
        """Whether it is of Intelligent-Tiering and may lie in an archive tier: `details` tells, listings do not."""
        return self.storage_class == INTELLIGENT_TIERING

    @property
    def readable(self) -> bool:
        """Whether a GET would answer now."""
        return not is_archived(self.storage_class) or self.restored_until is not None


class SignedPut(NamedTuple):
    """What lets its bearer create one blob: PUT to `url` with exactly these headers."""

    url: str
    headers: dict[str, str]


class BlobStore(Protocol):
    """Where the bytes are. Every method raises the StoreError that fits and is safe to call from many threads.

    Clients open on first use, in the process that uses them; a key that not every store can hold is a KeyShapeError.
    """

    @property
    def pushbacks(self) -> int:
        """How many requests were throttled or failed in passing so far: 5xx, 429, resets and timeouts, retried or not."""

    @property
    def put_if_absent(self) -> Kept | None:
        """Whether the store refuses a put under a key that is taken; None before the first `create` or `copy`."""

    def traits(self) -> Traits:
        """What the store does of what imgctl's laws rest on, each tried on small blobs that are deleted again."""

    def create(self, key: str, body: bytes, *, content_type: str) -> None:
        """Put a blob that must not exist yet, durably and checksummed; BlobExists when the key is taken.

        A retry whose first try was committed without an answer also ends in BlobExists: compare with `head` to tell.
        """

    def create_file(self, key: str, path: Path, *, size: int, content_type: str, sha256: bytes) -> None:
        """Like `create`, streamed from a file in bounded memory; BlobCorrupt when it no longer has that sha256."""

    def replace(self, key: str, body: bytes, *, content_type: str) -> None:
        """Put a blob, over an older one if there is one."""

    def get(self, key: str) -> bytes:
        """The whole blob; BlobMissing, or BlobArchived where it must be restored first."""

    def read(self, key: str, *, start: int, length: int, etag: str) -> bytes:
        """Up to `length` bytes, 1 at least, from `start` on; BlobCorrupt when the blob no longer has this ETag."""

    def copy(self, source_key: str, key: str, *, etag: str, content_type: str) -> None:
        """Copy a blob within the store under a key that must be free, into the standard class, its metadata kept.

        BlobExists as for `create`; BlobCorrupt when the source no longer has this ETag, BlobMissing when it is gone.
        """

    def head(self, key: str) -> Blob | None:
        """The blob's size, time and ETag, or None when there is none; its class may be UNKNOWN."""

    def details(self, key: str, *, checksum: bool = False) -> Blob | None:
        """Like `head`, with its class, restore and version; with `checksum` also the SHA-256 that the store keeps.

        Slower than `head`: a bucket is asked by boto3. The checksum of an encrypted object may need kms:Decrypt.
        """

    def scan(self, *, prefix: str = "", after: str = "", until: str = "") -> Iterator[Blob]:
        """Blobs with their classes in UTF-8 byte order of their keys, `after` < key <= `until`; an empty bound is none.

        Restores are told where the store lists them (AWS does).
        """

    def pages(self, after: str, until: str, *, asked: Callable[[], None] = lambda: None) -> Iterator[Page]:
        """The same blobs as `scan` in columns, up to a thousand a page; `asked` is called for each request."""

    def delete(self, keys: Iterable[str]) -> None:
        """Delete blobs; one that is already gone is ignored."""

    def move(self, key: str, *, to: str, etag: str) -> Blob:
        """Give a blob another class, its metadata, tags and encryption kept, and look at it after; free if it has it.

        BlobCorrupt when it no longer has this ETag or did not arrive whole; BlobArchived when it must be restored
        first; BlobMissing when it is gone. `version_id` of the answer is the new version's.
        """

    def restore(self, key: str, *, tier: Tier, days: int | None) -> Restore:
        """Ask for a readable copy for `days` days; StoreUnavailable where the tier has no capacity now.

        None for what lies in an archive tier of Intelligent-Tiering, which comes back to frequent access for good.
        """

    def keeps_versions(self) -> bool:
        """Whether an overwritten blob stays, and stays billed, as an old version."""

    def delete_version(self, key: str, version_id: str) -> None:
        """Delete one old version of a blob for good; StoreError for the current one."""

    def remnants(self, stems: Sequence[str]) -> Iterator["Remnant"]:
        """All that is kept under keys that begin with one of `stems`: blobs of every class, versions, delete markers."""

    def uploads(self) -> Iterator["Remnant"]:
        """The uploads in parts that were begun and neither completed nor aborted."""

    def purge(self, remnants: Iterable["Remnant"]) -> Iterator[tuple["Remnant", StoreError]]:
        """Delete these for good and durably, in batches; yields what the store refused to delete, with the reason.

        What is gone already is ignored, and what stays though it is deleted has its `until`. A StoreError that is not
        about single ones is raised.
        """

    def multipart(self, key: str) -> Kept:
        """Whether a put in parts is refused for a key that is taken: tried under this one, where 5 MiB stay.

        NOT_APPLICABLE where imgctl makes no such puts; BlobCorrupt where the parts do not become one blob.
        """

    def object_lock(self) -> str | None:
        """How long each new version is locked unasked, empty for not at all; None where there is no Object Lock."""

    def set_legal_hold(self, remnant: "Remnant", *, on: bool) -> None:
        """Keep one version from being deleted by anybody, or let go of it; StoreUnsupported without Object Lock."""

    def sign(self, key: str, *, seconds: int) -> str:
        """A URL that lets its bearer read the blob for `seconds` (for a file: its file:// URL)."""

    def sign_create(self, key: str, *, seconds: int, size: int, content_type: str, sha256: bytes) -> SignedPut | None:
        """A PUT that its bearer may do for `seconds`, if the key is free; of these very bytes where a signature can hold them.

        None where no URL can, or where the server would let it overwrite. Compare what arrived before you trust it.
        """

    def reach(self) -> None:
        """One small listing: raises BucketMissing, StoreDenied or StoreUnavailable, which a HEAD does not tell apart."""

    def check(self) -> None:
        """Raise what stands in the way of reading and writing here, or return; leaves nothing behind."""


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
    """The class of that name; StoreError where blobs are moved to no such class: some servers take any word."""
    if name not in known:
        raise StoreError(f"unknown storage class to move to: {name}", hint=", ".join(known))
    return StorageClass(name)


def checked(key: str) -> str:
    """The key itself; KeyShapeError where not every store could hold a blob under exactly this name."""
    if _REFUSED.search(key):
        raise KeyShapeError(
            f"{key!r} cannot be a key: absolute, or with an empty, '.' or '..' part, a control character or no UTF-8"
        )
    return key


def is_portable(key: str) -> bool:
    """Whether every store could hold a blob under exactly this name, as `checked` demands of those that are written."""
    return not _REFUSED.search(key)


def is_path(key: str) -> bool:
    """Whether a file below a directory may have exactly this name; anything else would name another file."""
    return not re.search(_NO_PATH, key)


def beside(root: Path) -> Path:
    """Where a directory store keeps archived originals when nothing else is set."""
    return root.parent / f"{root.name}.archive"
