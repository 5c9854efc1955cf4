"""One file made ready to be promised: read once, hashed, recognised by its content."""

import hashlib
import os
import time
from dataclasses import dataclass
from datetime import datetime

from imgctl.errors import NotAnImage
from imgctl.imaging.probe import Probe, probe
from imgctl.ops.upload.describe import describe
from imgctl.ops.upload.outcome import Fate, FileOutcome, Reason
from imgctl.ops.upload.walk import Found

# A larger file is hashed in pieces first and streamed afterwards, so that it never fills the memory budget.
STREAM_ABOVE = 64 * 2**20
STREAM_HELD = 32 * 2**20
PIECE = 2**20
PICTURE_NAMES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".png", ".gif", ".webp", ".heic", ".heif", ".avif", ".tif", ".tiff", ".bmp", ".mpo",
     ".dng", ".cr2", ".nef", ".arw")
)  # fmt: skip
SIDECAR_NAMES = frozenset((".json", ".xmp", ".aae"))


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
    started: float

    @property
    def held(self) -> int:
        """How many bytes of memory it takes on its way."""
        return held_bytes(self.size)


def prepare(found: Found) -> Prepared | FileOutcome:
    """Read, hash and probe one file; an outcome instead where it cannot or should not be uploaded."""
    started = time.monotonic()
    try:
        if found.size == 0:
            raise NotAnImage("the file is empty")
        return _read(found, started)
    except NotAnImage as error:
        return _unfit(found, str(error))
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


def _read(found: Found, started: float) -> Prepared | FileOutcome:
    with open(found.path, "rb", buffering=0) as file:  # noqa: PTH123  # a str keeps bytes that are no UTF-8
        before = os.fstat(file.fileno())
        if before.st_size > STREAM_ABOVE:
            head = file.read(PIECE)
            digest = hashlib.sha256(head)
            seen = probe(head)
            while piece := file.read(PIECE):
                digest.update(piece)
            body = None
        else:
            head = body = file.read()
            seen = probe(body)
            digest = hashlib.sha256(body)
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        detail = "changed while reading; run again when nothing writes to it"
        return FileOutcome(path=found.path, fate=Fate.FAILED, reason=Reason.CHANGED, detail=detail)
    said = describe(found, seen, head)
    return Prepared(
        found=found,
        size=before.st_size if body is None else len(body),
        body=body,
        sha256=digest.digest(),
        probe=seen,
        caption=said.caption,
        taken_at=said.taken_at,
        started=started,
    )


def _unfit(found: Found, why: str) -> FileOutcome:
    # What is accepted is judged by content alone; the name only tells a lost picture from a stray file.
    ending = os.path.splitext(found.path)[1].lower()  # noqa: PTH122
    lost = ending in PICTURE_NAMES
    other = Reason.SIDECAR if ending in SIDECAR_NAMES else Reason.NOT_AN_IMAGE
    reason = Reason.EMPTY if found.size == 0 else other
    step = "; named like a picture: copy it again from its source" if lost else ""
    fate = Fate.FAILED if lost else Fate.SKIPPED
    return FileOutcome(path=found.path, fate=fate, reason=reason, detail=f"{why}{step}", bytes=found.size)
