"""What every source of files does, and a file as its source lists it."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias
from uuid import UUID

from imgctl.imaging.probe import Header
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.ingest.sidecar import SidecarFiles
from imgctl.ops.ingest.spool import Spool

if TYPE_CHECKING:
    # Of archives, which few runs read.
    from imgctl.ops.sources.members import Member

# A larger file never fills the memory budget: it is streamed from where it lies, or from a spool.
STREAM_ABOVE = 64 * 2**20


class Stat(NamedTuple):
    """What a source knows of a file without reading it: bytes, nanoseconds since 1970, and 64 bits that change with it.

    The stamp is a file's inode, a digest of an object's ETag and version, or of a member's place and checksum. `pinned`
    says that it changes with every change of the content, however soon.
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
    """What a line of a manifest may say of a file. `sha256` is what its content must be."""

    caption: str | None = None
    name: str | None = None
    uploaded_at: datetime | None = None
    taken_at: datetime | None = None
    sha256: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile(Described):
    """A file as its source listed it, and whatever is said of it beside the file.

    `alone`: what the list says of it is all, nothing is looked for in or beside it.
    `path` is what reports and lists call it. `place` is its path within the source, where that is not `path`; `member`
    is the number of its archive, and where that finds it.
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
        """Return the file with all that this line says of it."""
        return replace(self, **{one.name: getattr(line, one.name) for one in fields(Described)})

    @property
    def beside(self) -> str:
        """The path by which the source finds what lies beside it."""
        return self.place or self.path

    @property
    def file_name(self) -> str:
        """The last name of the path."""
        return self.beside.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A file that was read once: `found` as it was then, its bytes or where they lie, what they are, their SHA-256.

    A `spool` is to be closed once the bytes are needed no more.
    """

    found: SourceFile
    size: int
    body: bytes | Path
    header: Header
    sha256: bytes
    spool: Spool | None = None


Chosen: TypeAlias = Iterator[SourceFile | FileOutcome]
"""The files that are taken, and an outcome for each thing left out."""


class Rules(Protocol):
    """What is chosen of that which a source lists; a place is a path below its root, a directory's ends in a slash."""

    follow_links: bool

    def skip_entry(self, path: str, place: str, *, directory: bool) -> FileOutcome | None:
        """What the name alone decides: the outcome of what is left out, None to go on."""

    def skip_named(self, path: str, name: str, *, directory: bool) -> FileOutcome | None:
        """The same for what a user named: hidden files are meant then."""

    def skip_listed(self, path: str, place: str) -> FileOutcome | None:
        """The same for a file that a list names, whose directories were not listed."""

    def judge(self, path: str, place: str, info: Stat, *, user_id: UUID | None = None) -> SourceFile | FileOutcome:
        """A regular file taken, with its owner (`user_id` where that is known), or why it is not."""


class Source(Protocol):
    """A tree of files, listed and read; safe in many threads but for `entries`."""

    sidecars: SidecarFiles
    # Whether a file too large for memory lies in a spool until it is put; else it is read again from where it lies.
    spools: bool

    def entries(self, rules: Rules) -> Iterator[SourceFile | FileOutcome]:
        """Every file that the rules take, and one outcome for each thing left out; streams, in bounded memory."""

    def read(self, found: SourceFile, recogniser: Recogniser) -> Read | FileOutcome:
        """One file, read once and recognised, or why it cannot be.

        Raises LeftOut, NotAnImage or FormatUnsupported for its content, StoreError for what ends the whole run.
        """

    def identity(self, found: SourceFile) -> bytes:
        """What tells this file from every other on earth, by name: the journal's key."""


def own_store(path: str) -> FileOutcome:
    """Return the outcome of imgctl's own store, or of a blob in it, among the files of an upload."""
    detail = "imgctl's own store, with all that is in it"
    return FileOutcome(path=path, fate=Fate.SKIPPED, reason=Reason.OWN_STORE, detail=detail)
