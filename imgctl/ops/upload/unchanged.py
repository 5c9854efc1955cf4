"""Files that need not be read again: recorded in the journal, and still in the catalog."""

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import TYPE_CHECKING
from uuid import UUID

from imgctl import __version__
from imgctl.imaging.formats import Format
from imgctl.model import Status
from imgctl.ops.common.retry import StopSignal, retry
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.ingest.recognise import left_out_by
from imgctl.ops.sources.base import SourceFile
from imgctl.ops.upload.journal import Entry, Journal, scope_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from imgctl.ops.common.transactions import Transactions

# A journal transaction costs about as much as a hundred rows in it.
MOST_WAITING, FLUSH_SECONDS = 512, 1.0

# Owner and status by image whose original is safe: ids as bytes, which cross to another process in a tenth of the time.
Rows = dict[bytes, tuple[bytes, Status]]
# The image id in the journal of a file that is skipped by its content; its digest column then holds version, reason and
# detail.
_NO_IMAGE = UUID(int=0)
_STRAYS = frozenset((Reason.NOT_AN_IMAGE, Reason.SIDECAR, Reason.LEFT_OUT))


class AlreadyUploaded:
    """The journal of one destination, checked against its catalog; empty without a journal.

    `catalog` may still be opening: lookups wait for it, except for those in a journal without entries. Recorded files
    of formats in `leave_out` are not read again.
    """

    def __init__(
        self,
        journal: Journal | None,
        store_url: str,
        catalog: "Future[Transactions]",
        *,
        stop: StopSignal,
        leave_out: frozenset[Format] = frozenset(),
    ) -> None:
        self._journal = journal
        self._is_empty = journal is None or journal.is_empty()
        self._store_url = store_url
        self._catalog = catalog
        self._stop = stop
        self._left_out = frozenset(map(left_out_by, leave_out))
        self._lock = Lock()
        self._waiting: list[Entry] = []
        self._flushed = time.monotonic()

    def split(self, files: Sequence[SourceFile]) -> tuple[list[FileOutcome], list[SourceFile]]:
        """Return the outcomes of files that are already uploaded, and the files that must be read."""
        entries = self._remembered(files)
        ids = [entry.image for entry in entries if entry is not None and entry.image != _NO_IMAGE]
        rows = retry(lambda: self._lookup(ids), stop=self._stop) if ids else {}
        outcomes, unread = list[FileOutcome](), list[SourceFile]()
        for found, entry in zip(files, entries, strict=True):
            outcome = self._settled(entry, rows) if entry is not None else None
            if outcome is None:
                unread.append(found)
            else:
                outcomes.append(outcome)
        return outcomes, unread

    def remember_stray(self, found: SourceFile, outcome: FileOutcome) -> None:
        """Record a file skipped by its content, if reading it again costs a request or a pass over an archive."""
        if found.pinned and outcome.fate is Fate.SKIPPED and outcome.reason in _STRAYS:
            verdict = "\0".join((__version__, outcome.reason, outcome.detail)).encode(errors="surrogatepass")
            self.remember([Entry(found=found, sha256=verdict, image=_NO_IMAGE)])

    def remember(self, entries: Iterable[Entry]) -> None:
        """Record files whose images are in the catalog and whose bytes are in the store.

        Entries of local files are written within about a second; those that cost a request or a pass over an archive to
        read again, at once.
        """
        if self._journal is None:
            return
        entries = list(entries)
        with self._lock:
            self._waiting += entries
        pinned = any(entry.found.pinned for entry in entries)
        if pinned or len(self._waiting) >= MOST_WAITING or time.monotonic() > self._flushed + FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the pending entries to the journal; entries lost in a kill only cost hashing those files again."""
        with self._lock:
            waiting, self._waiting, self._flushed = self._waiting, [], time.monotonic()
        by_user: dict[UUID | None, list[Entry]] = {}
        for entry in waiting:
            by_user.setdefault(entry.found.user_id, []).append(entry)
        for user, mine in by_user.items():
            if self._journal is not None:
                self._journal.record(self._scope(user), mine)
                # A watch walks its directory again.
                self._is_empty = False

    def known(self, files: Sequence[SourceFile]) -> list[Entry | None]:
        """Return the journal's entry of each file, None unless it is an image and unchanged."""
        return [entry if entry is not None and entry.image != _NO_IMAGE else None for entry in self._remembered(files)]

    def _remembered(self, files: Sequence[SourceFile]) -> list[Entry | None]:
        entries: list[Entry | None] = [None] * len(files)
        if self._journal is None or self._is_empty:
            return entries
        by_user: dict[UUID | None, list[int]] = {}
        for place, found in enumerate(files):
            by_user.setdefault(found.user_id, []).append(place)
        for user, places in by_user.items():
            known = self._journal.known(self._scope(user), [files[place] for place in places])
            for place, entry in zip(places, known, strict=True):
                if entry is not None and _is_as_listed(entry):
                    entries[place] = entry
        return entries

    def _lookup(self, ids: Sequence[UUID]) -> Rows:
        return self._catalog.result().read(_lookup, [one.bytes for one in ids])

    def _settled(self, entry: Entry, rows: Rows) -> FileOutcome | None:
        """Return the outcome of a file that need not be read, or None."""
        return self._skipped(entry) if entry.image == _NO_IMAGE else _present(entry, rows.get(entry.image.bytes))

    def _skipped(self, entry: Entry) -> FileOutcome | None:
        """Return the recorded outcome of a file skipped by its content; None if it may differ today.

        Another version may support other formats, and another run may exclude others.
        """
        version, reason, detail = (entry.sha256.decode(errors="surrogatepass") + "\0\0").split("\0")[:3]
        if version != __version__ or reason not in _STRAYS:
            return None
        if reason == Reason.LEFT_OUT and detail not in self._left_out:
            return None
        found = entry.found
        return FileOutcome.skipped(found.path, Reason(reason), detail, found.size)

    def _scope(self, user: UUID | None) -> bytes:
        return scope_of(self._catalog.result().place, self._store_url, str(user))


def _lookup(connection: "Connection", ids: Sequence[bytes]) -> Rows:
    from imgctl.store.catalog.queries.reservations import lookup_safe

    found = lookup_safe(connection, [UUID(bytes=one) for one in ids])
    return {image.bytes: (user.bytes, status) for image, (user, status) in found.items()}


def _is_as_listed(entry: Entry) -> bool:
    return entry.found.sha256 in (None, entry.sha256)


def _present(entry: Entry, row: tuple[bytes, Status] | None) -> FileOutcome | None:
    """Return the outcome of a file whose image is safe and its owner's, or None."""
    owner = entry.found.user_id
    if row is None or owner is None or row[0] != owner.bytes:
        return None
    return FileOutcome(
        path=entry.found.path,
        fate=Fate.PRESENT,
        reason=Reason.ALREADY_THERE,
        detail=f"{row[1]} as {entry.image}",
        id=entry.image,
        sha256=entry.sha256,
        bytes=entry.found.size,
    )
