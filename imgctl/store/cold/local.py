"""Storage classes of a directory: the archive root plays the cold store, its restores are done at once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from imgctl.errors import BlobCorrupt, BlobMissing, StoreError
from imgctl.model import is_archived
from imgctl.store.blobs.archive import Archive, Held
from imgctl.store.blobs.archive_move import move
from imgctl.store.blobs.files import etag_of
from imgctl.store.blobs.local_failure import translated
from imgctl.store.blobs.names import checked, is_path
from imgctl.store.blobs.walk import Range
from imgctl.store.cold.base import Restore, StoredBlob, Tier, known_class

_DAY = timedelta(days=1)


class LocalCold:
    """The classes of a directory's blobs; `archive` is its second root."""

    def __init__(self, root: Path, archive: Path) -> None:
        self._archive = Archive(root, archive)

    def head(self, key: str) -> StoredBlob | None:
        """The blob with its class and its restore, or None when there is none."""
        with translated(key, self._archive.root):
            held = self._archive.find(key) if is_path(key) else None
        return _stored(key, held) if held is not None else None

    def scan(self, *, prefix: str = "", after: str = "", until: str = "") -> Iterator[StoredBlob]:
        """Blobs with their classes and restores in UTF-8 byte order of their keys."""
        with translated("", self._archive.root):
            for key, held in self._archive.scan(Range(prefix=prefix, after=after, until=until)):
                yield _stored(key, held)

    def move(self, key: str, *, to: str, etag: str) -> StoredBlob:
        """Move the file to the class's directory; its ETag stays where the file system keeps times as exactly."""
        wanted = known_class(to)
        with translated(key, self._path(key)):
            moved = _stored(key, move(self._archive, key, to=wanted, etag=etag))
        if moved.storage_class != to:
            raise BlobCorrupt(f"{key} did not arrive in {to}", hint="run the same again")
        return moved

    def restore(self, key: str, *, tier: Tier, days: int | None) -> Restore:
        """Let it be read at once, until the midnight (UTC) that so many days reach, as AWS rounds."""
        path = self._path(key)
        with translated(key, path), self._archive.locked(key):
            held = self._archive.find(key)
            if held is None:
                raise BlobMissing(f"there is no blob {key}", hint=f"looked for {path}")
            if not is_archived(held.storage_class):
                raise StoreError(f"{key} is {held.storage_class}: there is nothing to restore", hint="read it as it is")
            self._archive.note_restore(key, midnight_after(datetime.now(UTC) + (days or 1) * _DAY))
            return Restore.STARTED if held.restored_until is None else Restore.EXTENDED

    def keeps_versions(self) -> bool:
        """Never: a directory has one version of a file."""
        return False

    def delete_version(self, key: str, version_id: str) -> None:
        """Always a StoreError: there are none."""
        raise StoreError(f"{key} has no versions: a directory keeps none", hint="leave --delete-noncurrent out")

    def _path(self, key: str) -> Path:
        return self._archive.root / checked(key)


def midnight_after(at: datetime) -> datetime:
    """The first midnight (UTC) at or after a time: when a restore that lasts until then ends (S3 User Guide)."""
    midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if midnight == at else midnight + _DAY


def _stored(key: str, held: Held) -> StoredBlob:
    return StoredBlob(
        key=key,
        size=held.stat.st_size,
        modified_at=datetime.fromtimestamp(held.stat.st_mtime, UTC),
        etag=etag_of(held.stat),
        storage_class=held.storage_class,
        restored_until=held.restored_until,
    )
