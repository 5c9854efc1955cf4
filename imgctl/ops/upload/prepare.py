"""One file made ready to be promised: read once, hashed, recognised by its content."""

import hashlib
import os
import time
from dataclasses import dataclass
from datetime import datetime

from imgctl.imaging.probe import Header, Probe, probe_of
from imgctl.imaging.source import on_disk
from imgctl.ops.ingest.describe import describe
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.ingest.recognise import UNFIT, Recogniser, Unfit, verdict
from imgctl.ops.ingest.sidecar import SidecarFiles
from imgctl.ops.upload.walk import Found

# A larger file is hashed in pieces first and streamed afterwards, so that it never fills the memory budget.
STREAM_ABOVE = 64 * 2**20
STREAM_HELD = 32 * 2**20
PIECE = 2**20


@dataclass(slots=True, kw_only=True)
class Prepared:
    """A file that will be promised; `body` is None where it is streamed from its path, and once its put has ended."""

    found: Found
    size: int
    body: bytes | None
    sha256: bytes
    probe: Probe
    caption: str | None
    taken_at: datetime | None
    date_unlikely: bool = False
    started: float

    @property
    def held(self) -> int:
        """How many bytes of memory it takes on its way."""
        return held_bytes(self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """What was read; `body` is None where it is streamed later."""

    size: int
    body: bytes | None
    header: Header
    sha256: bytes


def prepare(found: Found, sidecars: SidecarFiles, recogniser: Recogniser) -> Prepared | FileOutcome:
    """Read, hash and probe one file, and what lies beside it; an outcome instead where it cannot or should not be uploaded."""
    started = time.monotonic()
    try:
        return _read(found, sidecars, recogniser, started)
    except UNFIT as error:
        return _unfit(found, error)
    except OSError as error:
        return unreadable(found.path, error)


def held_bytes(size: int) -> int:
    """How much memory a file of this size takes on its way: itself, or the pieces it is streamed in."""
    return size if size <= STREAM_ABOVE else STREAM_HELD


def unreadable(path: str, error: OSError) -> FileOutcome:
    """The outcome of a file that vanished after the walk, or that cannot be read."""
    detail = f"{(error.strerror or str(error)).lower()}; check the file and run again"
    reason = Reason.NOT_FOUND if isinstance(error, FileNotFoundError) else Reason.UNREADABLE
    return FileOutcome(path=path, fate=Fate.FAILED, reason=reason, detail=detail)


def _read(found: Found, sidecars: SidecarFiles, recogniser: Recogniser, started: float) -> Prepared | FileOutcome:
    content = _as_found(found, recogniser) or _as_it_is(found, recogniser)
    if content is None:
        detail = "changed while reading; run again when nothing writes to it"
        return FileOutcome(path=found.path, fate=Fate.FAILED, reason=Reason.CHANGED, detail=detail)
    said = describe(content.header, path=found.path, caption=found.caption, sidecars=sidecars)
    return Prepared(
        found=found,
        size=content.size,
        body=content.body,
        sha256=content.sha256,
        probe=probe_of(content.header),
        caption=said.caption,
        taken_at=said.taken_at,
        date_unlikely=said.date_unlikely,
        started=started,
    )


def _as_found(found: Found, recogniser: Recogniser) -> _Content | None:
    """A file in one read, if it is afterwards as the walk found it; so are most, and few calls tell."""
    if found.size > STREAM_ABOVE:
        return None
    descriptor = os.open(found.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        body = os.read(descriptor, found.size + 1)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if (len(body), after.st_size, after.st_mtime_ns) != (found.size, found.size, found.mtime_ns):
        return None
    header = recogniser.recognise(body, _name(found))
    return _Content(size=len(body), body=body, header=header, sha256=hashlib.sha256(body).digest())


def _as_it_is(found: Found, recogniser: Recogniser) -> _Content | None:
    """A file too large for one piece, or one written to since the walk; None when it changes meanwhile."""
    with open(found.path, "rb", buffering=0) as file:  # noqa: PTH123  # a str keeps bytes that are no UTF-8
        before = os.fstat(file.fileno())
        large = before.st_size > STREAM_ABOVE
        head = file.read(PIECE) if large else file.read()
        # Wherever in the file its metadata lies, it is read before all of it is hashed: what is no picture is not.
        source = on_disk(file.fileno(), before.st_size, head=head) if large else head
        header, digest = recogniser.recognise(source, _name(found)), hashlib.sha256(head)
        while large and (piece := file.read(PIECE)):
            digest.update(piece)
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return None
    size = before.st_size if large else len(head)
    return _Content(size=size, body=None if large else head, header=header, sha256=digest.digest())


def _name(found: Found) -> str:
    return found.path.rpartition("/")[2]


def _unfit(found: Found, error: Unfit) -> FileOutcome:
    why = verdict(error, _name(found), size=found.size)
    return FileOutcome(path=found.path, fate=why.fate, reason=why.reason, detail=why.detail, bytes=found.size)
