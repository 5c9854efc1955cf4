"""Files that were uploaded already and need not be read: the journal remembers them, and the catalog still has them."""

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import TYPE_CHECKING
from uuid import UUID

from imgctl import __version__
from imgctl.model import Status
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.retry import StopSignal, retry
from imgctl.ops.sources.base import SourceFile
from imgctl.ops.upload.journal import Entry, Journal, scope_of

if TYPE_CHECKING:
    from imgctl.store.catalog.engine import Catalog

# One transaction of the journal costs about as much as a hundred rows in it.
MOST_WAITING, FLUSH_SECONDS = 512, 1.0

# A manifest may name one file for several users; an archive may hold several files of one name, told apart by their stamps.
OwnedFile = tuple[UUID | None, str, int, bytes | None]
# The journal's image of a file that is none, whose digest is then what was said of it.
_NO_IMAGE = UUID(int=0)
_STRAYS = frozenset((Reason.NOT_AN_IMAGE, Reason.SIDECAR))


class AlreadyUploaded:
    """The journal of one destination, checked against its catalog; without a journal nothing is known.

    `catalog` may still be opening: whoever asks waits for it, unless the journal was empty when it was opened.
    """

    def __init__(
        self, journal: Journal | None, store_url: str, catalog: "Future[Catalog]", *, stop: StopSignal
    ) -> None:
        self._journal = journal
        self._is_empty = journal is None or journal.is_empty()
        self._store_url = store_url
        self._catalog = catalog
        self._stop = stop
        self._lock = Lock()
        self._waiting: list[Entry] = []
        self._flushed = time.monotonic()

    def split(self, files: Sequence[SourceFile]) -> tuple[list[FileOutcome], list[SourceFile]]:
        """The outcomes of files that are there already, and the files that must be read."""
        entries = self._remembered(files)
        if not entries:
            return [], list(files)
        strays = {file: stray for file, entry in entries.items() if (stray := _stray(entry)) is not None}
        ids = [entry.image for entry in entries.values() if entry.image != _NO_IMAGE]
        rows = retry(lambda: self._lookup(ids), stop=self._stop) if ids else {}
        settled = strays | {file: _present(one, rows) for file, one in entries.items() if _is_safe(one, rows)}
        outcomes = [settled[owned_file(found)] for found in files if owned_file(found) in settled]
        return outcomes, [found for found in files if owned_file(found) not in settled]

    def pass_over(self, found: SourceFile, outcome: FileOutcome) -> None:
        """Note a file in which this version knows no image, where to read it again costs a request or an archive's reading."""
        if found.pinned and outcome.fate is Fate.SKIPPED and outcome.reason in _STRAYS:
            said = "\0".join((__version__, outcome.reason, outcome.detail)).encode(errors="surrogatepass")
            self.remember([Entry(found=found, sha256=said, image=_NO_IMAGE)])

    def remember(self, entries: Iterable[Entry]) -> None:
        """Note files whose images are in the catalog, their bytes safe; files of a disk wait for `flush`, a second at most.

        What costs a request or an archive's reading to read again is written down at once.
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
        """Write down what waits: what a kill takes is hashed again, and no more."""
        with self._lock:
            waiting, self._waiting, self._flushed = self._waiting, [], time.monotonic()
        by_user: dict[UUID | None, list[Entry]] = {}
        for entry in waiting:
            by_user.setdefault(entry.found.user_id, []).append(entry)
        for user, mine in by_user.items():
            if self._journal is not None:
                self._journal.record(self._scope(user), mine)

    def known(self, files: Sequence[SourceFile]) -> dict[OwnedFile, Entry]:
        """What the journal remembers of those images that are unchanged since."""
        return {file: entry for file, entry in self._remembered(files).items() if entry.image != _NO_IMAGE}

    def _remembered(self, files: Sequence[SourceFile]) -> dict[OwnedFile, Entry]:
        entries: dict[OwnedFile, Entry] = {}
        if self._journal is not None and not self._is_empty:
            for user in {found.user_id for found in files}:
                mine = [found for found in files if found.user_id == user]
                known = self._journal.known(self._scope(user), mine)
                entries |= {owned_file(one.found): one for one in known.values() if _is_as_listed(one)}
        return entries

    def _lookup(self, ids: Sequence[UUID]) -> dict[UUID, tuple[UUID, Status]]:
        catalog = self._catalog.result()
        from imgctl.store.catalog.reservations import lookup

        with catalog.read() as connection:
            return lookup(connection, ids)

    def _scope(self, user: UUID | None) -> bytes:
        return scope_of(self._catalog.result().place, self._store_url, str(user))


def owned_file(found: SourceFile) -> OwnedFile:
    """What tells a file from all others of its run, with what its content must be."""
    return found.user_id, found.path, found.stamp, found.sha256


def _is_as_listed(entry: Entry) -> bool:
    return entry.found.sha256 in (None, entry.sha256)


def _stray(entry: Entry) -> FileOutcome | None:
    """What this version said of a file without an image; another may know more formats."""
    if entry.image != _NO_IMAGE:
        return None
    version, reason, detail = (entry.sha256.decode(errors="surrogatepass") + "\0\0").split("\0")[:3]
    if version != __version__ or reason not in _STRAYS:
        return None
    found = entry.found
    return FileOutcome(path=found.path, fate=Fate.SKIPPED, reason=Reason(reason), detail=detail, bytes=found.size)


def _is_safe(entry: Entry, rows: dict[UUID, tuple[UUID, Status]]) -> bool:
    user, status = rows.get(entry.image, (None, Status.UPLOADING))
    return user == entry.found.user_id and status is not Status.UPLOADING


def _present(entry: Entry, rows: dict[UUID, tuple[UUID, Status]]) -> FileOutcome:
    return FileOutcome(
        path=entry.found.path,
        fate=Fate.PRESENT,
        reason=Reason.ALREADY_THERE,
        detail=f"{rows[entry.image][1]} as {entry.image}",
        id=entry.image,
        sha256=entry.sha256,
        bytes=entry.found.size,
    )
