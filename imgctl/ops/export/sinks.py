"""Targets of an export: their interface, a directory, and a bucket."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from imgctl.errors import BlobExists, StateError, UsageError, os_reason, usable
from imgctl.ops.common.range_reads import sha256_of
from imgctl.ops.ingest.spool import SpoolDirectory
from imgctl.run.scratch import atomic_write, sweep_parts
from imgctl.store.blobs.base import BlobStore

BAGIT = "bagit.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file that is whole at its target; `crc`, `start` and `stop` are a ZIP member's. `anew`: it did not exist before."""

    sha256: bytes
    size: int
    crc: int = 0
    start: int = 0
    stop: int = 0
    anew: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file of a bag, as `Sink.finish` needs it."""

    path: str
    written: Written
    at: datetime


class Sink:
    """One target; `put` and `holds` may be called from many threads.

    By default nothing is there and nothing is to be done: a file is durable once it is put, and `bagit.txt`, the last
    one, marks the bag as complete.
    """

    # Whether a single file can be removed.
    removes = False

    def is_complete(self) -> bool:
        """Whether the target has a complete bag."""
        return False

    def begin(self, end: int) -> None:
        """Prepare the target; keeps the first `end` bytes of an unfinished ZIP. UsageError if the target is not writable."""

    def put(
        self, path: str, pieces: Iterable[bytes], *, content_type: str, at: datetime, over: bool = False
    ) -> Written:
        """Write a file, whole or not at all; UsageError if a different file exists, unless `over` replaces it."""
        raise NotImplementedError

    def holds(self, path: str, *, size: int, sha256: bytes | None = None) -> bool:
        """Whether a file of this size exists; with `sha256`, of this content."""
        return False

    def remove(self, path: str) -> None:
        """Remove a file."""
        raise NotImplementedError

    def sweep(self, path: str) -> None:
        """Remove what a killed run left of a file that it was writing."""

    def others(self, payload: str) -> Iterator[str]:
        """Yield every file below `payload`, in no order."""
        return iter(())

    def finish(self, members: Iterable[Member]) -> None:
        """Complete the target: all files are written, and these are they."""

    def sync(self) -> None:
        """Make written files survive a power loss."""

    def close(self) -> None:
        """Release the target."""


class DirectorySink(Sink):
    """A directory of this machine."""

    removes = True

    def __init__(self, root: Path, *, hint: str = "move it away, or name another --out") -> None:
        self._root = root
        self._hint = hint

    def is_complete(self) -> bool:
        return (self._root / BAGIT).is_file()

    def begin(self, end: int) -> None:
        make_directory(self._root)

    def put(
        self, path: str, pieces: Iterable[bytes], *, content_type: str, at: datetime, over: bool = False
    ) -> Written:
        file = self._root / path
        digest, size = hashlib.sha256(), 0
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            # Anew: an existing file is kept, even one created during the fetch.
            with atomic_write(file, anew=not over) as new:
                with new.open("wb") as out:
                    for piece in pieces:
                        digest.update(piece)
                        size += len(piece)
                        out.write(piece)
                with suppress(OSError, OverflowError):
                    os.utime(new, (at.timestamp(), at.timestamp()))
        except FileExistsError:
            if file.is_file() and digest_of(file) == digest.digest():
                return Written(sha256=digest.digest(), size=size, anew=False)
            raise UsageError(f"{file} exists and differs", hint=self._hint) from None
        except OSError as error:
            raise unwritable(file, error) from None
        return Written(sha256=digest.digest(), size=size)

    def holds(self, path: str, *, size: int, sha256: bytes | None = None) -> bool:
        file = self._root / path
        try:
            return file.stat().st_size == size and (sha256 is None or digest_of(file) == sha256)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise unwritable(file, error) from None

    def remove(self, path: str) -> None:
        (self._root / path).unlink(missing_ok=True)

    def sweep(self, path: str) -> None:
        sweep_parts((self._root / path).parent)

    def others(self, payload: str) -> Iterator[str]:
        places = [self._root / payload]
        while places:
            place = places.pop()
            with suppress(FileNotFoundError):
                sweep_parts(place)
                with os.scandir(place) as entries:
                    for one in entries:
                        if one.is_dir(follow_symlinks=False):
                            places.append(Path(one.path))
                        else:
                            yield Path(one.path).relative_to(self._root).as_posix()


def make_directory(out: Path) -> None:
    """Create the target directory; UsageError if that fails."""
    with usable(f"--out {out}", "name a directory"):
        out.mkdir(parents=True, exist_ok=True)


def digest_of(file: Path) -> bytes:
    """The SHA-256 of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()


def unwritable(file: Path, error: OSError) -> StateError:
    """Return the error for a file that cannot be written; it ends the run, and the next run continues there."""
    return StateError(f"{file}: {os_reason(error)}", hint="check --out, then run the same command again")


class BucketSink(Sink):
    """A prefix of a bucket. A blob larger than a piece is spooled to disk until it has been checked."""

    removes = True

    def __init__(self, store: BlobStore, url: str) -> None:
        self._store = store
        self._url = url.rstrip("/")
        self._spools = SpoolDirectory("")

    def is_complete(self) -> bool:
        return self._store.head(BAGIT) is not None

    def begin(self, end: int) -> None:
        self._store.reach()

    def put(
        self, path: str, pieces: Iterable[bytes], *, content_type: str, at: datetime, over: bool = False
    ) -> Written:
        spool = self._spools.open()
        try:
            for piece in pieces:
                spool.add(piece)
            if over:
                self._store.delete([path])
            if spool.whole_in_memory:
                self._store.create(path, spool.head, content_type=content_type)
            else:
                self._store.create_file(
                    path, spool.path, size=spool.size, content_type=content_type, sha256=spool.sha256
                )
        except BlobExists:
            if self.holds(path, size=spool.size, sha256=spool.sha256):
                return Written(sha256=spool.sha256, size=spool.size, anew=False)
            hint = "delete it, or name another --out"
            raise UsageError(f"{self._url}/{path} exists and differs", hint=hint) from None
        finally:
            spool.close()
        return Written(sha256=spool.sha256, size=spool.size)

    def holds(self, path: str, *, size: int, sha256: bytes | None = None) -> bool:
        blob = self._store.head(path)
        return blob is not None and blob.size == size and (sha256 is None or sha256_of(self._store, blob) == sha256)

    def remove(self, path: str) -> None:
        self._store.delete([path])

    def others(self, payload: str) -> Iterator[str]:
        return (blob.key for blob in self._store.scan(prefix=payload))

    def close(self) -> None:
        self._spools.close()
