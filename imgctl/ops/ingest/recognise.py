"""Recognising a file before it is taken: by its content, by the decoders where that tells nothing, by its name."""

import logging
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
    from imgctl.run.pool import Pool

OPEN_SECONDS = 20.0
# What decoders are given of a file that nothing else tells: a header and more.
TRIED_BYTES = 32 * 2**20
SIDECAR_NAMES = (".json", ".xmp", ".aae")

log = logging.getLogger(__name__)


class LeftOut(Exception):
    """A file of a format that the user leaves out."""


Unfit = NotAnImage | FormatUnsupported | LeftOut
UNFIT = (NotAnImage, FormatUnsupported, LeftOut)


class Recogniser:
    """Tells what files are; safe in many threads. Strangers' bytes are decoded in a child process, never here."""

    def __init__(self, settings: WorkSettings, *, leave_out: frozenset[Format] = frozenset()) -> None:
        self._memory = settings.memory
        self._leave_out = leave_out
        self._lock = Lock()
        self._pool: Pool | None = None

    def recognise(self, what: bytes | Source, name: str | None) -> Header:
        """What a file is by its content and its name (None: unnamed, and said to be a picture).

        Raises LeftOut, NotAnImage, or FormatUnsupported for a picture, raw or film that is not taken.
        """
        said = format_by_name(name) if name else None
        source = source_of(what)
        found = sniff_named(source, said)
        head = source.read(0, NAMED_BY_BYTES) if found is None else b""
        if found is None and not is_other(head) and (name is None or (said and KNOWN[said].taken)):
            found = self._opened(source.read(0, TRIED_BYTES), found, said)
        elif found is Format.TIFF and said and KNOWN[said].kind is Kind.RAW:
            found = self._opened(source.read(0, TRIED_BYTES), found, said) or found
        if (found or said) in self._leave_out:
            raise LeftOut(f"--leave-out {found or said}")
        if found is not None:
            header = recognise(source, found)
            # Only its header tells an MPO from a JPEG.
            if header.kind in self._leave_out:
                raise LeftOut(f"--leave-out {header.kind}")
            return header
        if is_other(head):
            raise stranger(head)
        if said and not KNOWN[said].taken:
            raise unsupported(said, by_name=True)
        if said is None and is_iso_media(head):
            raise unsupported(Format.MP4)
        raise stranger(head)

    def refuse(self, head: bytes, name: str) -> None:
        """Raise what `recognise` would for a large file that its first mebibyte tells to be none; else return."""
        said = format_by_name(name)
        if sniff_named(source_of(head), said) is None and (said is None or is_other(head)):
            self.recognise(head, name)

    def close(self) -> None:
        """End the child, if one was ever needed."""
        with self._lock:
            if self._pool is not None:
                self._pool.close(now=True)
                self._pool = None

    def _opened(self, data: bytes, found: Format | None, said: Format | None) -> Format | None:
        from imgctl.run.open import open_pool
        from imgctl.run.pool import ChildDied, PoolSettings

        try:
            with self._lock:
                if self._pool is None:
                    self._pool = open_pool(PoolSettings(jobs=1, memory_bytes=self._memory))
                future = self._pool.submit(_open, (data, found, said))
            return future.result()
        except (ChildDied, WorkerError, MemoryError) as error:
            log.warning("a file that no signature tells could not be tried: %s", error)
            return None


def unfit(error: Unfit, path: str, *, size: int) -> FileOutcome:
    """The outcome of a file that this error keeps out: a lost picture fails, a stray file is skipped."""
    name = path.rpartition("/")[2]
    fate, detail = Fate.SKIPPED, str(error)
    if isinstance(error, LeftOut):
        reason = Reason.LEFT_OUT
    elif isinstance(error, FormatUnsupported):
        fate, reason = Fate.FAILED, Reason.UNSUPPORTED
        detail = f"{error.message}; {error.hint}, or --leave-out {error.format_name}"
    else:
        reason = Reason.SIDECAR if name.lower().endswith(SIDECAR_NAMES) else Reason.NOT_AN_IMAGE
        reason, detail = reason if size else Reason.EMPTY, error.message
        if format_by_name(name) is not None:
            fate, detail = Fate.FAILED, f"{detail}; named like a picture: copy it again from its source"
    return FileOutcome(path=path, fate=fate, reason=reason, detail=detail, bytes=size)


def _open(asked: tuple[bytes, Format | None, Format | None]) -> Format | None:
    from imgctl.imaging.decoders.choose import recognised
    from imgctl.imaging.render import configure

    configure()
    with time_limit(OPEN_SECONDS):
        return recognised(*asked)
