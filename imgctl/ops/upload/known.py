"""Files that need not be read: those the journal remembers and the catalog still has."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING
from uuid import UUID

from imgctl.model import Status
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.retry import StopSignal, retry
from imgctl.ops.upload.journal import Entry, Journal, scope_of
from imgctl.ops.upload.walk import Found

if TYPE_CHECKING:
    from imgctl.store.catalog.engine import Catalog

# A manifest may name one file for several users.
OwnedFile = tuple[UUID | None, str]


class Known:
    """The journal of one destination, checked against its catalog; without a journal nothing is known.

    Whoever asks waits for `attach`, unless the journal was empty when it was opened.
    """

    def __init__(self, journal: Journal | None, store_url: str, stop: StopSignal) -> None:
        self._journal = journal
        self._remembers = journal is not None and not journal.is_empty()
        self._attached: Future[Catalog] = Future()
        self._store_url = store_url
        self._stop = stop

    def attach(self, catalog: "Catalog") -> None:
        """Which catalog the journal is checked against."""
        self._attached.set_result(catalog)

    def abandon(self) -> None:
        """There will be no catalog: whoever waits for it is told so by CancelledError."""
        self._attached.cancel()

    def split(self, files: Sequence[Found]) -> tuple[list[FileOutcome], list[Found]]:
        """What is already there, and what must be read."""
        entries = self._remembered(files)
        if not entries:
            return [], list(files)
        ids = [entry.image for entry in entries.values()]
        rows = retry(lambda: self._lookup(ids), stop=self._stop)
        safe = {file: entry for file, entry in entries.items() if _is_safe(entry, rows)}
        known = [safe[_file(found)] for found in files if _file(found) in safe]
        present = [_present(entry, rows[entry.image][1]) for entry in known]
        return present, [found for found in files if _file(found) not in safe]

    def remember(self, entries: Iterable[Entry]) -> None:
        """Note files whose images are in the catalog, their bytes safe."""
        if self._journal is None:
            return
        by_user: dict[UUID | None, list[Entry]] = {}
        for entry in entries:
            by_user.setdefault(entry.found.user_id, []).append(entry)
        for user, mine in by_user.items():
            self._journal.record(self._scope(user), mine)

    def _remembered(self, files: Sequence[Found]) -> dict[OwnedFile, Entry]:
        entries: dict[OwnedFile, Entry] = {}
        if self._journal is not None and self._remembers:
            for user in {found.user_id for found in files}:
                mine = [found for found in files if found.user_id == user]
                known = self._journal.known(self._scope(user), mine)
                entries |= {(user, path): entry for path, entry in known.items()}
        return entries

    def _lookup(self, ids: Sequence[UUID]) -> dict[UUID, tuple[UUID, Status]]:
        catalog = self._attached.result()
        from imgctl.store.catalog.reservations import lookup

        with catalog.read() as connection:
            return lookup(connection, ids)

    def _scope(self, user: UUID | None) -> bytes:
        return scope_of(self._attached.result().place, self._store_url, str(user))


def _file(found: Found) -> OwnedFile:
    return found.user_id, found.path


def _is_safe(entry: Entry, rows: dict[UUID, tuple[UUID, Status]]) -> bool:
    user, status = rows.get(entry.image, (None, Status.UPLOADING))
    return user == entry.found.user_id and status is not Status.UPLOADING


def _present(entry: Entry, status: Status) -> FileOutcome:
    return FileOutcome(
        path=entry.found.path,
        fate=Fate.PRESENT,
        reason=Reason.ALREADY_THERE,
        detail=f"{status} as {entry.image}",
        id=entry.image,
        sha256=entry.sha256,
        bytes=entry.found.size,
    )
