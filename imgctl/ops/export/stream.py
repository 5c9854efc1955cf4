"""An export as one stream: a ZIP file that is written while it is read, and never stored whole on this machine."""

import shutil
import zlib
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from threading import Lock
from typing import BinaryIO

from imgctl.errors import StateError
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal
from imgctl.ops.export.job import ExportJob
from imgctl.ops.export.options import ExportOrder
from imgctl.ops.export.sinks import Member, Sink, Written
from imgctl.ops.export.state import State
from imgctl.ops.export.zips import directory, local_header
from imgctl.ops.ingest.spool import PIECE_BYTES, SpoolDirectory

CONCURRENCY = 4
"""Blobs of one stream fetched at once: 8 MiB of each are in memory, the rest is spooled to disk."""


class ZipStream(Sink):
    """A ZIP that is read while it is written; a member starts only after its blob was checked, so none is ever removed."""

    def __init__(self, out: BinaryIO, spools: SpoolDirectory, *, root: str) -> None:
        self._out, self._spools, self._root = out, spools, root
        self._lock = Lock()
        self._end = 0

    def put(
        self, path: str, pieces: Iterable[bytes], *, content_type: str, at: datetime, over: bool = False
    ) -> Written:
        name = (self._root + path).encode()
        with closing(self._spools.open()) as spool:
            crc = 0
            for piece in pieces:
                spool.add(piece)
                crc = zlib.crc32(piece, crc)
            header = local_header(name, at, crc=crc, size=spool.size)
            with self._lock:
                start, self._end = self._end, self._end + len(header) + spool.size
                try:
                    self._out.write(header)
                    if spool.whole_in_memory:
                        self._out.write(spool.head)
                    else:
                        with spool.path.open("rb") as file:
                            shutil.copyfileobj(file, self._out, PIECE_BYTES)
                except OSError:
                    raise _disconnected() from None
                return Written(sha256=spool.sha256, size=spool.size, crc=crc, start=start, stop=self._end)

    def finish(self, members: Iterable[Member]) -> None:
        try:
            for piece in directory(self._root, members, start=self._end):
                self._out.write(piece)
            self._out.flush()
        except OSError:
            raise _disconnected() from None


def stream(parts: Parts, order: ExportOrder, out: BinaryIO, spools: SpoolDirectory, *, stop: StopSignal) -> ExportJob:
    """Write all images of a user into `out`, and close it; returns the job with its results.

    The bag lists blobs that are unavailable. StateError if the reader disconnected; StoreError or CatalogError if the
    rest cannot be read. `complete` is False if the job was stopped.
    """
    upload = replace(parts.settings.upload, concurrency=CONCURRENCY)
    gentle = replace(parts, settings=replace(parts.settings, upload=upload))
    job = ExportJob(parts=gentle, order=replace(order, partial=True), stop=stop)
    place = spools.place()
    try:
        with closing(out), closing(State(place)) as state:
            for _ in job.write(ZipStream(out, spools, root=f"{order.user}/"), state):
                pass
    except BrokenPipeError:
        # Closing flushes the buffer, which fails if the reader disconnected.
        raise _disconnected() from None
    finally:
        place.unlink(missing_ok=True)
    return job


def _disconnected() -> StateError:
    return StateError("the reader of the export disconnected", hint="start the export again")
