"""What can be done with a blob's storage class, whatever stands behind the store."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from imgctl.errors import StoreError
from imgctl.model import INTELLIGENT_TIERING, StorageClass, is_archived


class Tier(StrEnum):
    """How fast, and how dear, a restore is; the values are the price card's names."""

    BULK = "BULK"
    STANDARD = "STANDARD"
    EXPEDITED = "EXPEDITED"


class Restore(StrEnum):
    """What the store answered to a request to restore a blob."""

    STARTED = "started"
    IN_PROGRESS = "in_progress"
    EXTENDED = "extended"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlob:
    """One blob with its storage class; `restored_until` is when its readable copy expires, `version_id` None if unversioned."""

    key: str
    size: int
    modified_at: datetime
    etag: str
    storage_class: str = StorageClass.STANDARD
    restoring: bool = False
    restored_until: datetime | None = None
    version_id: str | None = None

    @property
    def tier_unknown(self) -> bool:
        """Whether it is of Intelligent-Tiering and may lie in an archive tier: listings do not tell, HEAD does."""
        return self.storage_class == INTELLIGENT_TIERING

    @property
    def readable(self) -> bool:
        """Whether a GET would answer now."""
        return not is_archived(self.storage_class) or self.restored_until is not None


class ColdStore(Protocol):
    """The classes of a store's blobs. Every method raises the StoreError that fits and is safe to call from many threads."""

    def head(self, key: str) -> StoredBlob | None:
        """The blob with its class and its restore, or None when there is none."""

    def scan(self, *, prefix: str = "", after: str = "", until: str = "") -> Iterator[StoredBlob]:
        """Blobs with their classes in UTF-8 byte order of their keys, `after` < key <= `until`; 1,000 a request.

        Restores are told where the store lists them (AWS does).
        """

    def move(self, key: str, *, to: str, etag: str) -> StoredBlob:
        """Copy a blob onto itself in another class, its metadata, tags and encryption kept, and look at it after.

        BlobCorrupt when it no longer has this ETag or did not arrive whole; BlobArchived when it must be restored
        first; BlobMissing when it is gone. `version_id` of the answer is the new version's.
        """

    def restore(self, key: str, *, tier: Tier, days: int | None) -> Restore:
        """Ask for a readable copy for so many days; StoreUnavailable where the tier has no capacity now.

        None for what lies in an archive tier of Intelligent-Tiering, which comes back to frequent access for good.
        """

    def keeps_versions(self) -> bool:
        """Whether an overwritten blob stays, and stays billed, as an old version."""

    def delete_version(self, key: str, version_id: str) -> None:
        """Delete one old version of a blob, which nobody can bring back."""


def known_class(name: str) -> StorageClass:
    """The class of that name; StoreError where blobs are moved to no such class: some servers take any word."""
    if name not in tuple(StorageClass):
        raise StoreError(f"{name} is no storage class to move to", hint=", ".join(StorageClass))
    return StorageClass(name)
