"""An original during ingest: its content, the row that promises it, and the put that stores its bytes."""

import hashlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar
from uuid import UUID

from imgctl.errors import BlobArchived, BlobCorrupt, BlobExists, BlobMissing, ImgctlError
from imgctl.imaging.probe import Probe
from imgctl.keys import ORIGINAL, key_of, time_of
from imgctl.model import NewImage, Promised
from imgctl.ops.common.range_reads import stored_sha256
from imgctl.ops.ingest.describe import Description
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.ingest.spool import Spool
from imgctl.run.telemetry import trace
from imgctl.store.blobs.base import BlobStore
from imgctl.units import count_of

# The source of an original: a file, a line of a manifest.
S = TypeVar("S")


class NotTried(Exception):
    """The run ended before a put started: the promise stays, and the next run puts the bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The recognised content of an original; `size` in bytes; `name` is its file name, or None."""

    sha256: bytes
    size: int
    probe: Probe
    description: Description
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlob:
    """A blob of the same store, copied on condition that it still has this ETag."""

    key: str
    etag: str


# PRESENT is not traced: such files are only looked up, perhaps by the million, and pass no stages.
_TRACED = (Fate.UPLOADED, Fate.FAILED)
_LONGEST_NAME = 255
_LONGEST_EXTENSION = 16
_NO_NAMES = frozenset(("", ".", ".."))

Body: TypeAlias = bytes | Path | StoredBlob


@dataclass(slots=True, kw_only=True)
class Prepared(Generic[S]):
    """An original that is ready to be promised and put: `row` is its promise, `body` its bytes or their location.

    `held` is the memory in bytes it takes until its put has ended; `started` is the monotonic time at which reading
    began; `description` is set if a part of it comes from a sidecar or a list.
    """

    source: S
    path: str
    row: NewImage
    body: Body
    held: int = 0
    started: float
    date_unlikely: bool = False
    description: Description | None = None
    spool: Spool | None = None
    stages: tuple[trace.Stage, ...] = ()

    def note(self, stage: str, began: int) -> None:
        """Add a stage from `began` (`trace.clock`) to now; does nothing in a run without tracing."""
        if began:
            self.stages += (trace.Stage(stage, began, trace.clock()),)

    def let_go(self) -> None:
        """Free its bytes after its put."""
        if isinstance(self.body, bytes):
            self.body = b""
        if self.spool is not None:
            self.spool.close()

    def outcome(
        self, fate: Fate, reason: Reason = Reason.NONE, detail: str = "", *, image: UUID | None = None
    ) -> FileOutcome:
        """Return its outcome, and trace it."""
        if self.stages and fate in _TRACED and reason is not Reason.NOT_TRIED:
            self._trace(fate, reason, detail, image)
        return FileOutcome(
            path=self.path,
            fate=fate,
            reason=reason,
            detail=detail,
            id=image,
            sha256=self.row.sha256,
            bytes=self.row.bytes,
            seconds=time.monotonic() - self.started,
            date_unlikely=self.date_unlikely,
        )

    def _trace(self, fate: Fate, reason: Reason, detail: str, image: UUID | None) -> None:
        about: dict[str, str | int | float] = {"imgctl.fate": fate, "imgctl.bytes": self.row.bytes}
        if image is not None:
            about["imgctl.image.id"] = str(image)
        if fate is Fate.FAILED:
            about |= {"imgctl.reason": reason, "imgctl.path": self.path.encode(errors="backslashreplace").decode()}
        began, error = self.stages[0].began, detail if fate is Fate.FAILED else ""
        trace.record(
            trace.Span(
                name="file", trace=image, began=began, ended=trace.clock(), stages=self.stages, about=about, error=error
            )
        )

    def failed(self, error: Exception, *, image: UUID) -> FileOutcome:
        """Return the outcome for an error of the put."""
        reason, detail = why(error, changed=not isinstance(self.body, bytes))
        return self.outcome(Fate.FAILED, reason, detail, image=image)


def new_row(image_id: UUID, user_id: UUID, content: Content, *, prefix: str) -> NewImage:
    """Return the row that promises a content; its `uploaded_at` is the time in the id."""
    return NewImage(
        id=image_id,
        user_id=user_id,
        uploaded_at=time_of(image_id),
        original_key=key_of(image_id, ORIGINAL, content.probe.extension, prefix=prefix),
        sha256=content.sha256,
        bytes=content.size,
        content_type=content.probe.content_type,
        width=content.probe.width,
        height=content.probe.height,
        caption=content.description.caption,
        taken_at=content.description.taken_at,
        name=content.name,
    )


def file_name(path: str) -> str | None:
    """Return the file name of a path of any system, valid in every database and file system; None if there is none.

    At most 255 bytes of UTF-8, cut before the extension; no control characters; bytes that are not UTF-8 become U+FFFD.
    """
    printable = path.replace("\\", "/").rpartition("/")[2]
    if not printable.isprintable():
        whole = printable.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        printable = "".join(character if character.isprintable() else "\ufffd" for character in whole)
    elif printable.isascii() and len(printable) <= _LONGEST_NAME and printable not in _NO_NAMES:
        return printable
    if printable in _NO_NAMES:
        return None
    stem, dot, extension = printable.rpartition(".")
    if not stem or len(extension.encode()) > _LONGEST_EXTENSION:
        stem, dot, extension = printable, "", ""
    ending = dot + extension
    return stem.encode()[: _LONGEST_NAME - len(ending.encode())].decode(errors="ignore") + ending


def as_promised(row: NewImage, promised: Promised) -> NewImage:
    """Return the row with the id and the key of its promise, which may come from an earlier run."""
    if promised.created:
        return row
    key = promised.original_key or row.original_key
    return replace(row, id=promised.id, uploaded_at=time_of(promised.id), original_key=key)


def put_original(store: BlobStore, row: NewImage, body: Body) -> None:
    """Store an original's bytes under its key; raises StoreError.

    A blob that is there already counts if it has the same content: another run put it, or the client of a signed PUT.
    """
    try:
        if isinstance(body, bytes):
            store.create(row.original_key, body, content_type=row.content_type)
        elif isinstance(body, Path):
            store.create_file(row.original_key, body, size=row.bytes, content_type=row.content_type, sha256=row.sha256)
        else:
            store.copy(body.key, row.original_key, etag=body.etag, content_type=row.content_type)
    except BlobExists:
        there = store.head(row.original_key)
        if there is None or there.size != row.bytes:
            found = "nothing" if there is None else count_of(there.size, "byte")
            message = f"{row.original_key} exists, but holds {found} instead of {row.bytes}"
            raise BlobExists(message, hint="imgctl show prints its owner; check with them before deleting it") from None
        if not (_is_md5_of(there.etag, body) or stored_sha256(store, there) == row.sha256):
            message = f"{row.original_key} exists, but holds other bytes of the same size"
            hint = f"imgctl erase {row.id} deletes it with its row; then upload the photo again"
            raise BlobExists(message, hint=hint) from None


def _is_md5_of(etag: str, body: Body) -> bool:
    """Whether an ETag is the MD5 of these bytes: that of most objects in S3, which then need not be read."""
    return isinstance(body, bytes) and etag.lower() == hashlib.md5(body, usedforsecurity=False).hexdigest()


def why(error: Exception, *, changed: bool) -> tuple[Reason, str]:
    """Return the reason and the detail for a failed request; `changed`: BlobCorrupt means that the source changed."""
    if isinstance(error, BlobArchived):
        return Reason.ARCHIVED, "is in an archive class; restore it, then run the same command again"
    if isinstance(error, NotTried):
        return Reason.NOT_TRIED, str(error)
    line = error.line if isinstance(error, ImgctlError) else f"{type(error).__name__}: {error}"
    if isinstance(error, BlobCorrupt) and changed:
        return Reason.CHANGED, line
    return Reason.MISSING if isinstance(error, BlobMissing) else Reason.STORE, line
