"""A directory as a store: files are always complete, and created files survive a power cut."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from io import FileIO
from itertools import islice
from pathlib import Path
from uuid import uuid4

from imgctl.errors import BlobCorrupt, BlobExists, BlobMissing, StoreDenied, StoreError
from imgctl.keys import PROBES
from imgctl.model import S3_CLASSES, StorageClass, is_archived
from imgctl.regular_files import regular
from imgctl.store.blobs.base import Blob, BlobStore, Remnant, Restore, Tier, beside, checked, is_path, known_class
from imgctl.store.blobs.files import DurableDirectory, checked_chunks, translated, unchanged, writing
from imgctl.store.blobs.fsyncs import sync_directory
from imgctl.store.blobs.listing_pages import PAGE_KEYS, Page
from imgctl.store.blobs.local_classes import Archive, move
from imgctl.store.blobs.traits import Kept, Traits
from imgctl.store.blobs.walk import Range

_CHUNK = 4 * 2**20
_DAY = timedelta(days=1)


class LocalStore(BlobStore):
    """Blobs as files below a directory, which is made on first use; content types are not stored.

    Blobs of other storage classes are below `archive`, by default the directory beside it named `<root>.archive`.
    """

    def __init__(self, root: Path, archive: Path | None = None) -> None:
        self._root = root
        self._files = DurableDirectory(root)
        self._archive = Archive(root, archive or beside(root))

    @property
    def put_if_absent(self) -> Kept:
        """Always YES: link(2) never replaces an existing name."""
        return Kept.YES

    def test_put_if_absent(self, key: str = "") -> Kept:
        """Return YES."""
        return self.put_if_absent

    def traits(self) -> Traits:
        """Test put-if-absent; the other traits apply to servers only."""
        with self._probe() as key:
            self.create(key, b"imgctl", content_type="text/plain")
            try:
                self.create(key, b"imgctl", content_type="text/plain")
            except BlobExists:
                return Traits(put_if_absent=Kept.YES)
        return Traits(put_if_absent=Kept.IGNORED)

    def create(self, key: str, body: bytes, *, content_type: str) -> None:
        """Write and fsync a new file, link it to its name, fsync the directory; BlobExists if the name exists."""
        path = self._path(key)
        with writing(key, path), self._free(key, path):
            self._files.create(path, (body,))

    def create_file(self, key: str, path: Path, *, size: int, content_type: str, sha256: bytes) -> None:
        """Copy a file in chunks; BlobCorrupt unless it has `size` bytes and that sha256."""
        target = self._path(key)
        # The source is opened outside `writing`: its errors are not the store's.
        with open(path, "rb", buffering=0, opener=regular) as source, writing(key, target), self._free(key, target):
            self._files.create(target, checked_chunks(source, size=size, sha256=sha256, chunk_size=_CHUNK))

    def replace(self, key: str, body: bytes, *, content_type: str) -> None:
        """Write a file, over an older one if there is one."""
        path = self._path(key)
        with writing(key, path):
            self._files.replace(path, (body,))
            self._archive.delete(key, but=StorageClass.STANDARD)

    def get(self, key: str) -> bytes:
        """The whole blob; BlobMissing if it does not exist, BlobArchived if it must be restored first."""
        with self._open(key) as source:
            return source.readall()

    def read(self, key: str, *, start: int, length: int, etag: str) -> bytes:
        """Up to `length` bytes from `start` on; BlobCorrupt if the file no longer has this ETag."""
        with self._open(key) as source, translated(key, self._path(key)):
            return b"".join(unchanged(source, key, etag=etag, start=start, length=length, chunk_size=_CHUNK))

    def copy(self, source_key: str, key: str, *, etag: str, content_type: str) -> None:
        """Copy a file in chunks, never by a link: later writes to the source must not change an original."""
        target = self._path(key)
        with self._open(source_key) as source, writing(key, target), self._free(key, target):
            self._files.create(target, unchanged(source, source_key, etag=etag, chunk_size=_CHUNK))

    def head(self, key: str) -> Blob | None:
        """The blob with its class and restore, or None; accepts any file name, also those that imgctl never writes."""
        with translated(key, self._root):
            return self._archive.find(key) if is_path(key) else None

    def details(self, key: str, *, checksum: bool = False) -> Blob | None:
        """The same: a file system keeps no checksums."""
        return self.head(key)

    def scan(self, *, prefix: str = "", after: str = "", until: str = "") -> Iterator[Blob]:
        """Blobs in UTF-8 byte order of their keys, archived ones too; none if the root is missing."""
        with translated("", self._root):
            yield from self._archive.scan(Range(prefix=prefix, after=after, until=until))

    def pages(self, after: str, until: str, *, on_request: Callable[[], None] = lambda: None) -> Iterator[Page]:
        """See BlobStore; `on_request` is never called, because reading a directory costs nothing."""
        blobs = self.scan(after=after, until=until)
        while some := list(islice(blobs, PAGE_KEYS)):
            yield Page(
                tuple([blob.key for blob in some]),
                tuple([blob.size for blob in some]),
                tuple([blob.modified_at for blob in some]),
                tuple([blob.storage_class for blob in some]),
            )

    def delete(self, keys: Iterable[str]) -> None:
        """Delete blobs, archived ones too; directories stay, so that concurrent creates don't lose theirs."""
        for key in keys:
            with translated(key, self._path(key)):
                self._archive.delete(key)

    def move(self, key: str, *, to: str, etag: str) -> Blob:
        """Move the file to the class's directory; it keeps its ETag if that file system stores times as precisely."""
        wanted = known_class(to)
        with translated(key, self._path(key)):
            moved = move(self._archive, key, to=wanted, etag=etag)
        if moved.storage_class != to:
            raise BlobCorrupt(f"{key} is not in {to} after the move", hint="run the same command again")
        return moved

    def restore(self, key: str, *, tier: Tier, days: int | None) -> Restore:
        """Make the blob readable at once, until midnight (UTC) after `days` days, rounded like AWS."""
        path = self._path(key)
        with translated(key, path), self._archive.locked(key):
            blob = self._archive.get(key)
            if not is_archived(blob.storage_class):
                raise StoreError(f"{key} is {blob.storage_class}: there is nothing to restore", hint="read it as it is")
            self._archive.note_restore(key, midnight_after(datetime.now(UTC) + (days or 1) * _DAY))
            return Restore.STARTED if blob.restored_until is None else Restore.EXTENDED

    def delete_version(self, key: str, version_id: str) -> None:
        """Always a StoreError: there are none."""
        raise StoreError(f"{key} has no versions: a directory keeps none", hint="leave --delete-noncurrent out")

    def remnants(self, stems: Sequence[str]) -> Iterator[Remnant]:
        """Files of both roots, and restore sidecars."""
        with translated("", self._root):
            for key, storage_class, found in self._archive.everywhere(stems):
                at = datetime.fromtimestamp(found.st_mtime, UTC)
                yield Remnant(key=key, size=found.st_size, modified_at=at, storage_class=storage_class)

    def purge(self, remnants: Iterable[Remnant]) -> Iterator[tuple[Remnant, StoreError]]:
        """Delete files in all classes, then fsync their directories."""
        parents: set[Path] = set()
        for one in remnants:
            parents |= {self._archive.place(one.key, name).parent for name in S3_CLASSES}
            try:
                with translated(one.key, self._path(one.key)):
                    self._archive.delete(one.key)
            except StoreDenied as error:
                yield one, error
        for parent in parents:
            with suppress(BlobMissing), translated("", parent):
                sync_directory(parent)

    def sign(self, key: str, *, seconds: int) -> str:
        """The file's URL in its current class; file permissions decide about access."""
        path = self._path(key)
        with translated(key, path):
            blob = self._archive.find(key)
        return (self._archive.place(key, blob.storage_class) if blob is not None else path).as_uri()

    def file(self, key: str) -> Path:
        """The file of a blob of the standard class; BlobMissing if it does not exist."""
        path = self._path(key)
        with translated(key, path):
            path.stat()
        return path

    def reach(self) -> None:
        """Do nothing: the directory is made on first use."""

    def check(self) -> None:
        """Write, read and delete a probe."""
        with self._probe() as key:
            body = b"imgctl"
            self.create(key, body, content_type="text/plain")
            if self.get(key) != body:
                raise BlobCorrupt(f"{self._root} returned other bytes than were written", hint="check the disk")

    @contextmanager
    def _probe(self) -> Iterator[str]:
        """A key for a blob that is deleted at the end."""
        key = f"{PROBES}{uuid4()}"
        try:
            yield key
        finally:
            self.delete([key])
            with suppress(OSError):
                self._path(key).parent.rmdir()

    def _path(self, key: str) -> Path:
        return self._root / checked(key)

    def _open(self, key: str) -> FileIO:
        with translated(key, self._path(key)):
            return self._archive.open(key)

    @contextmanager
    def _free(self, key: str, path: Path) -> Iterator[None]:
        """BlobExists if the key exists under the archive root, also if a concurrent move put it there."""
        taken = BlobExists(f"{key} is already in the store")
        if self._archive.is_archived(key):
            raise taken
        yield
        if self._archive.is_archived(key):
            path.unlink(missing_ok=True)
            raise taken


def midnight_after(at: datetime) -> datetime:
    """The first midnight (UTC) at or after a time: when a restore that lasts until then ends (S3 User Guide)."""
    midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if midnight == at else midnight + _DAY
