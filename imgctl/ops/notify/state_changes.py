"""Waiting for images to change state: one thread reads them for all watchers, notified by Postgres, else polling."""

import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from uuid import UUID

from imgctl.errors import CatalogError
from imgctl.model import Status
from imgctl.ops.common.retry import CATALOG_OUTAGES
from imgctl.run.stop import Flag
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.listen import open_wait
from imgctl.store.catalog.queries.reservations import ENDED_CHANNEL, lookup
from imgctl.store.catalog.schema import POSTGRES

# Without a notification changes are still found, only later.
LISTENING_SECONDS, LOOKING_SECONDS = 5.0, 0.5
SHORTEST_SECONDS = 0.1

Notify = Callable[[UUID, Status], None]


@dataclass(eq=False, slots=True, kw_only=True)
class Watcher:
    """A caller's callback, its images, and the last status sent for each."""

    notify: Notify
    sent: dict[UUID, Status | None] = field(default_factory=dict)


class Watch:
    """Sends watchers the status of their images, first as it is and then whenever it changes."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._watchers: set[Watcher] = set()
        self._changed = threading.Condition()
        self._closed = Flag()
        self._thread: threading.Thread | None = None

    def add(self, ids: Iterable[UUID], notify: Notify) -> Watcher:
        """Begin to watch; `notify` is called by another thread and must not block."""
        watcher = Watcher(notify=notify, sent=dict.fromkeys(ids))
        with self._changed:
            self._watchers.add(watcher)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="imgctl watch", daemon=True)
                self._thread.start()
            self._changed.notify()
        return watcher

    def remove(self, watcher: Watcher) -> None:
        """End one watcher."""
        with self._changed:
            self._watchers.discard(watcher)

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        with self._changed:
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        seconds = LISTENING_SECONDS if self._catalog.dialect == POSTGRES else LOOKING_SECONDS
        with closing(open_wait(self._catalog, ENDED_CHANNEL)) as wait:
            while not self._closed.is_set():
                if not self._watchers:
                    wait.busy()
                    with self._changed:
                        self._changed.wait_for(lambda: self._watchers or self._closed.is_set())
                self._look()
                wait.wait(seconds, self._closed)
                # Workers finish many images a second: one query reads them together.
                self._closed.wait(SHORTEST_SECONDS)

    def _look(self) -> None:
        with self._changed:
            watchers = tuple(self._watchers)
        ids = {one for watcher in watchers for one in watcher.sent}
        if not ids:
            return
        try:
            with self._catalog.read() as connection:
                found = lookup(connection, ids)
        except CatalogError as error:
            CATALOG_OUTAGES.failed(error)
            return
        CATALOG_OUTAGES.succeeded()
        for watcher in watchers:
            for image, before in watcher.sent.items():
                status = found[image][1] if image in found else before
                if status is not None and status != before:
                    watcher.sent[image] = status
                    watcher.notify(image, status)
