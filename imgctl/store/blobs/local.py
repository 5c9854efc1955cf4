"""The store that is a directory: what is there is whole, and what was created survives a power cut."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from uuid import uuid4

from imgctl.errors import BlobCorrupt, BlobExists
from imgctl.keys import PROBES
from imgctl.model import StorageClass
from imgctl.store.blobs.archive import Archive, Held
from imgctl.store.blobs.base import IMMUTABLE, Blob
from imgctl.store.blobs.durable import DurableDirectory
from imgctl.store.blobs.files import checked_chunks, etag_of, unchanged
from imgctl.store.blobs.local_failure import translated, writing
from imgctl.store.blobs.names import beside, checked, is_path
from imgctl.store.blobs.traits import Kept, Traits
from imgctl.store.blobs.walk import Range

_CHUNK = 4 * 2**20


class LocalStore:
    """Blobs as files below a directory, which is made on first use; it has no content types.

    Those of other storage classes lie below `archive`, by default the directory beside it named `<root>.archive`.
    """

    def __init__(self, root: Path, archive: Path | None = None) -> None:
        self._root = root
        self._files = DurableDirectory(root)
        self._archive = Archive(root, archive or beside(root))

    @property
    def pushbacks(self) -> int:
        """Never: a disk makes its callers wait instead."""
        return 0

    @property
    def put_if_absent(self) -> Kept:
        """Always: a link is never made over a name that is taken (link(2))."""
        return Kept.YES

    def traits(self) -> Traits:
        """Put-if-absent, tried: the rest are a server's."""
        with self._probe() as key:
            self.create(key, b"imgctl", content_type="text/plain")
            try:
                self.create(key, b"imgctl", content_type="text/plain")
            except BlobExists:
                return Traits(put_if_absent=Kept.YES)
        return Traits(put_if_absent=Kept.IGNORED)

    def create(self, key: str, body: bytes, *, content_type: str) -> None:
        """Write and fsync a new file, link it to its name, fsync the directory; BlobExists when the name is taken."""
        path = self._path(key)
        with writing(key, path), self._free(key, path):
            self._files.create(path, (body,))

    def create_file(self, key: str, path: Path, *, size: int, content_type: str, sha256: bytes) -> None:
        """Copy a file in chunks; BlobCorrupt when what was read is not `size` bytes with that sha256."""
        target = self._path(key)
        # The source opens outside: its errors are the caller's, not the store's.
        with path.open("rb", buffering=0) as source, writing(key, target), self._free(key, target):
            self._files.create(target, checked_chunks(source, size=size, sha256=sha256, chunk_size=_CHUNK))

    def replace(self, key: str, body: bytes, *, content_type: str, cache_control: str = IMMUTABLE) -> None:
        """Write a file, over an older one if there is one."""
        path = self._path(key)
        with writing(key, path):
            self._files.replace(path, (body,))
            self._archive.drop(key)

    def get(self, key: str) -> bytes:
        """The whole blob; BlobMissing when there is none, BlobArchived when it must be restored first."""
        with self._open(key) as source:
            return source.readall()

    def read(self, key: str, *, start: int, length: int, etag: str) -> bytes:
        """Up to `length` bytes from `start` on; BlobCorrupt when the file is no longer the one with this ETag."""
        with self._open(key) as source, translated(key, self._path(key)):
            return b"".join(unchanged(source, key, etag=etag, start=start, length=length, chunk_size=_CHUNK))

    def copy(self, source_key: str, key: str, *, etag: str, content_type: str) -> None:
        """Copy a file in chunks, never by a link: nobody who writes to the source may change an original."""
        target = self._path(key)
        with self._open(source_key) as source, writing(key, target), self._free(key, target):
            self._files.create(target, unchanged(source, source_key, etag=etag, chunk_size=_CHUNK))

    def head(self, key: str) -> Blob | None:
        """The blob's description, or None when there is none; any name that a file may have, also one we'd never write."""
        with translated(key, self._root):
            held = self._archive.find(key) if is_path(key) else None
        return _blob(key, held) if held is not None else None

    def scan(self, *, prefix: str = "", after: str = "", until: str = "") -> Iterator[Blob]:
        """Blobs in UTF-8 byte order of their keys, archived ones too; an absent root holds none."""
        with translated("", self._root):
            for key, held in self._archive.scan(Range(prefix=prefix, after=after, until=until)):
                yield _blob(key, held)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete blobs, archived ones too; their directories stay, so that nobody's create meets a vanishing one."""
        for key in keys:
            with translated(key, self._path(key)):
                self._archive.delete(key)

    def sign(self, key: str, *, seconds: int, method: str = "GET") -> str:
        """The file's URL, wherever it lies; what it allows is the file system's to say."""
        path = self._path(key)
        with translated(key, path):
            held = self._archive.find(key)
        return (held.path if held is not None else path).as_uri()

    def file(self, key: str) -> Path:
        """The file of a blob of the standard class; BlobMissing where there is none."""
        path = self._path(key)
        with translated(key, path):
            path.stat()
        return path

    def sign_create(self, key: str, *, seconds: int, size: int, content_type: str, sha256: bytes) -> None:
        """None: nobody can PUT to a file's URL."""

    def stored_sha256(self, key: str) -> None:
        """None: a file system keeps no checksums."""

    def check(self) -> None:
        """Write, read and delete a probe."""
        with self._probe() as key:
            body = b"imgctl"
            self.create(key, body, content_type="text/plain")
            if self.get(key) != body:
                raise BlobCorrupt(f"{self._root} does not give back what was written", hint="check the disk")

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
        """BlobExists when the key is taken under the archive root, also when a move took it there meanwhile."""
        taken = BlobExists(f"{key} is already in the store")
        if self._archive.is_archived(key):
            raise taken
        yield
        if self._archive.is_archived(key):
            path.unlink(missing_ok=True)
            raise taken


def _blob(key: str, held: Held) -> Blob:
    is_standard = held.storage_class is StorageClass.STANDARD
    return Blob(
        key=key,
        size=held.stat.st_size,
        modified_at=datetime.fromtimestamp(held.stat.st_mtime, UTC),
        etag=etag_of(held.stat),
        storage_class=None if is_standard else held.storage_class,
    )
