"""Format recognition before ingest: by content, by the decoders if the content has no signature, by name."""

import logging
import re
from threading import Lock
from typing import TYPE_CHECKING

from imgctl.config.settings import WorkSettings
from imgctl.errors import FormatUnsupported, NotAnImage, WorkerError
from imgctl.imaging.formats import KNOWN, Format, Kind, format_by_name
from imgctl.imaging.probe import NAMED_BY_BYTES, Header, recognise
from imgctl.imaging.recognise import is_iso_media, is_other, sniff_named, stranger, unsupported
from imgctl.imaging.source import Source, source_of
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.run.limits import time_limit

if TYPE_CHECKING:
    from imgctl.run.pools.pool import Pool

OPEN_SECONDS = 20.0
# The part of a file without a signature that the decoders get: a header and more.
TRIED_BYTES = 32 * 2**20
SIDECAR_NAMES = (".json", ".xmp", ".aae")
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz")
"""The extensions of archives that can be sources."""
# Also archives that cannot be sources, volumes of archives, and images of disks.
_ARCHIVE_NAME = re.compile(
    r"\.(?:zipx?|tar|t[bgx]z2?|tzst|tar\.[a-z0-9]+|rar|7z|cb[7rtz]|iso|dmg|[rz]\d\d|(?:zip|7z|rar)\.\d{3})$",
    re.IGNORECASE,
)
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".lz4")

_UNOPENED = "an archive within a directory or an archive is not opened: name it as a source, extract it"
_UNREAD = "an archive of a kind that imgctl does not read: extract it"

log = logging.getLogger(__name__)


class LeftOut(Exception):
    """A file of a format that the user excludes with --leave-out."""


Unfit = NotAnImage | FormatUnsupported | LeftOut
UNFIT = (NotAnImage, FormatUnsupported, LeftOut)


class Recogniser:
    """Recognises the format of files; thread-safe. Untrusted bytes are decoded in a child process, never here."""

    def __init__(self, settings: WorkSettings, *, leave_out: frozenset[Format] = frozenset()) -> None:
        self._memory = settings.memory
        self._leave_out = leave_out
        self._lock = Lock()
        self._pool: Pool | None = None

    def recognise(self, what: bytes | Source, name: str | None) -> Header:
        """Return the header of a file, recognised by its content and its name (None: no name, declared as a picture).

        Raises LeftOut, NotAnImage, or FormatUnsupported for a picture, raw or film of an unsupported format.
        """
        named = format_by_name(name) if name else None
        source = source_of(what)
        found = sniff_named(source, named)
        head = source.read(0, NAMED_BY_BYTES) if found is None else b""
        if found is None and not is_other(head) and (name is None or (named and KNOWN[named].taken)):
            found = self._opened(source.read(0, TRIED_BYTES), found, named)
        elif found is Format.TIFF and named and KNOWN[named].kind is Kind.RAW:
            found = self._opened(source.read(0, TRIED_BYTES), found, named) or found
        if (found or named) in self._leave_out:
            raise LeftOut(left_out_by(found or named))
        if found is not None:
            header = recognise(source, found)
            # Only the header distinguishes an MPO from a JPEG.
            if header.kind in self._leave_out:
                raise LeftOut(left_out_by(header.kind))
            return header
        if is_other(head):
            raise stranger(head)
        if named and not KNOWN[named].taken:
            raise unsupported(named, by_name=True)
        if named is None and is_iso_media(head):
            raise unsupported(Format.MP4)
        raise stranger(head)

    def leaves_out_by_name(self, name: str) -> bool:
        """Whether the name of a file is that of an excluded format, which its content has to confirm."""
        return format_by_name(name) in self._leave_out

    def refuse(self, head: bytes, name: str) -> None:
        """Raise the error of `recognise` for a file whose first MiB rules it out: no image, or an excluded format."""
        named = format_by_name(name)
        found = sniff_named(source_of(head), named)
        if found is None and (named is None or is_other(head)):
            self.recognise(head, name)
        # A TIFF with the name of a raw may be that raw: its first MiB does not tell.
        if found in self._leave_out and found is not Format.TIFF:
            raise LeftOut(left_out_by(found))

    def close(self) -> None:
        """End the child process, if one was started."""
        with self._lock:
            if self._pool is not None:
                self._pool.close(now=True)
                self._pool = None

    def _opened(self, data: bytes, found: Format | None, named: Format | None) -> Format | None:
        from imgctl.run.pools.open import open_pool
        from imgctl.run.pools.pool import ChildDied, PoolSettings

        try:
            with self._lock:
                if self._pool is None:
                    self._pool = open_pool(PoolSettings(jobs=1, memory_bytes=self._memory))
                future = self._pool.submit(_open, (data, found, named))
            return future.result()
        except (ChildDied, WorkerError, MemoryError) as error:
            log.warning("a file without a known signature could not be decoded: %s", error)
            return None


def left_out_by(excluded: Format | None) -> str:
    """Return the detail of a file of an excluded format."""
    return f"--leave-out {excluded}"


def unfit(error: Unfit, path: str, *, size: int) -> FileOutcome:
    """Return the outcome of a file rejected with this error: FAILED for a lost picture, SKIPPED for a stray file."""
    name = path.rpartition("/")[2]
    fate, detail = Fate.SKIPPED, str(error)
    if isinstance(error, LeftOut):
        reason = Reason.LEFT_OUT
    elif isinstance(error, FormatUnsupported):
        fate, reason = Fate.FAILED, Reason.UNSUPPORTED
        detail = f"{error.message}; {error.hint}, or --leave-out {error.format_name}"
    elif size and is_archive_name(name):
        fate, reason = Fate.FAILED, Reason.UNOPENED_ARCHIVE
        detail = f"{_UNOPENED if name.lower().endswith(ARCHIVES) else _UNREAD}, or --exclude it"
    else:
        reason = Reason.SIDECAR if name.lower().endswith(SIDECAR_NAMES) else Reason.NOT_AN_IMAGE
        reason, detail = reason if size else Reason.EMPTY, error.message
        if format_by_name(name) is not None:
            fate, detail = Fate.FAILED, f"{detail}; named like a picture: copy it again from its source"
    return FileOutcome(path=path, fate=fate, reason=reason, detail=detail, bytes=size)


def is_archive_name(name: str) -> bool:
    """Whether a file name is that of an archive, or of a packed picture: photos.rar, IMG_1.JPG.gz."""
    inner, dot, last = name.lower().rpartition(".")
    return bool(_ARCHIVE_NAME.search(name)) or (dot + last in _PACKED and format_by_name(inner) is not None)


def _open(arguments: tuple[bytes, Format | None, Format | None]) -> Format | None:
    from imgctl.imaging.decoders.choose import recognised
    from imgctl.imaging.render import configure

    configure()
    with time_limit(OPEN_SECONDS):
        return recognised(*arguments)
