"""The interface of a source, a file as a source lists it, and reads of bytes that arrive once."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias
from uuid import UUID

from imgctl.errors import os_reason
from imgctl.imaging.probe import Header
from imgctl.imaging.source import on_disk
from imgctl.ops.ingest.outcome import FileOutcome, Reason
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.ingest.sidecar import SidecarFiles
from imgctl.ops.ingest.spool import Spool, SpoolDirectory

if TYPE_CHECKING:
    from imgctl.ops.sources.members import Member

# Larger files, in bytes, are streamed from their source or a spool, so that they don't fill the memory budget.
STREAM_ABOVE = 64 * 2**20


class Stat(NamedTuple):
    """The metadata of an unread file: size in bytes, mtime in nanoseconds since 1970, and a 64-bit stamp.

    The stamp is a file's inode, or a digest of an object's ETag or of a member's offset and checksum. `pinned`: the
    stamp changes with every change of the content, however quick.
    """

    size: int
    mtime_ns: int
    stamp: int
    source: "Source"
    place: str = ""
    member: "tuple[int, Member] | None" = None
    pinned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """The optional fields of a manifest's line. `sha256` is the expected digest of the content."""

    caption: str | None = None
    name: str | None = None
    uploaded_at: datetime | None = None
    taken_at: datetime | None = None
    sha256: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile(Described):
    """A file as its source listed it, with the fields of its manifest line.

    `alone`: the list is the only source of its description; embedded metadata and sidecars are ignored. `path` is its
    name in reports and lists. `place` is its path within the source, if different from `path`; `member` is the number
    of its archive and the member in it.
    """

    path: str
    size: int
    mtime_ns: int
    stamp: int
    source: "Source" = field(compare=False, repr=False)
    place: str = ""
    member: "tuple[int, Member] | None" = None
    pinned: bool = False
    user_id: UUID | None = None
    alone: bool = False

    def described_by(self, line: Described) -> "SourceFile":
        """Return the file with the fields of this line."""
        return replace(self, **{one.name: getattr(line, one.name) for one in fields(Described)})

    @property
    def beside(self) -> str:
        """The path by which the source finds its sidecars."""
        return self.place or self.path

    @property
    def file_name(self) -> str:
        """The last name of the path."""
        return self.beside.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A file that was read once: `found` as of the read, its bytes or their path, their header and SHA-256.

    The owner closes a `spool` once it no longer needs the bytes.
    """

    found: SourceFile
    size: int
    body: bytes | Path
    header: Header
    sha256: bytes
    spool: Spool | None = None


Chosen: TypeAlias = Iterator[SourceFile | FileOutcome]
"""The chosen files, and an outcome for each entry that is left out."""


class Rules(Protocol):
    """The choice among the entries of a source; a place is a path below its root, with a slash after a directory."""

    follow_links: bool

    def skip_entry(self, path: str, place: str, *, directory: bool) -> FileOutcome | None:
        """Return the outcome of an entry that is skipped by its name alone, or None."""

    def skip_named(self, path: str, name: str, *, directory: bool) -> FileOutcome | None:
        """Like `skip_entry` for a path that the user named, which may be hidden."""

    def skip_listed(self, path: str, place: str) -> FileOutcome | None:
        """Like `skip_entry` for a file from a list, whose directories were not checked."""

    def judge(self, path: str, place: str, info: Stat, *, user_id: UUID | None = None) -> SourceFile | FileOutcome:
        """Return a regular file with its owner (`user_id` if that is known), or the outcome if it is skipped."""


class Source(Protocol):
    """A tree of files, listed and read; thread-safe except for `entries`."""

    sidecars: SidecarFiles
    # Whether a file too large for memory is spooled until its put; otherwise the put reads it again from its source.
    spools: bool

    def entries(self, rules: Rules) -> Iterator[SourceFile | FileOutcome]:
        """Yield every file that the rules take, and an outcome for each entry left out; streams, in bounded memory."""

    def read(self, found: SourceFile, recogniser: Recogniser) -> Read | FileOutcome:
        """Read and recognise one file, in one pass; return an outcome if it is unreadable.

        Raises LeftOut, NotAnImage or FormatUnsupported for its content, StoreError for errors that end the run.
        """

    def identity(self, found: SourceFile) -> bytes:
        """Return a globally unique name of the file: the journal's key."""


def own_store(path: str) -> FileOutcome:
    """Return the outcome of imgctl's own store, or of a blob in it, among the files of an upload."""
    return FileOutcome.skipped(path, Reason.OWN_STORE, "imgctl's own store, with all that is in it")


def not_spooled(path: str, error: OSError) -> FileOutcome:
    """Return the outcome of a file for which the spool has no room."""
    detail = f"no space to spool it: {os_reason(error)}; free some in TMPDIR and run the same command again"
    return FileOutcome.failed(path, Reason.UNREADABLE, detail)


def is_streamed(found: SourceFile, size: int | None, recogniser: Recogniser) -> bool:
    """Whether to read a file in pieces: it may be too large for memory, or its beginning may show an excluded format."""
    return size is None or size > STREAM_ABOVE or recogniser.leaves_out_by_name(found.file_name)


def of_bytes(found: SourceFile, body: bytes, recogniser: Recogniser) -> Read:
    """Recognise and hash a file whose bytes are in memory; raises as `Recogniser.recognise` does."""
    header = recogniser.recognise(body, found.file_name)
    return Read(found=found, size=len(body), body=body, header=header, sha256=hashlib.sha256(body).digest())


def of_pieces(found: SourceFile, pieces: Iterator[bytes], spools: SpoolDirectory, recogniser: Recogniser) -> Read:
    """Spool, recognise and hash a file too large for memory; stops early if its beginning rules it out."""
    spool = spools.open()
    try:
        for piece in pieces:
            if not spool.size:
                recogniser.refuse(piece, found.file_name)
            spool.add(piece)
        if spool.whole_in_memory:
            return of_bytes(found, spool.head, recogniser)
        with spool.path.open("rb", buffering=0) as file:
            header = recogniser.recognise(on_disk(file.fileno(), spool.size, head=spool.head), found.file_name)
    except BaseException:
        spool.close()
        raise
    return Read(found=found, size=spool.size, body=spool.path, header=header, sha256=spool.sha256, spool=spool)
