"""The leases of images in flight, renewed as long as their worker lives, whatever else delays it."""

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Self
from uuid import UUID

from imgctl.errors import CatalogError
from imgctl.model import Status
from imgctl.run.threads import ERROR_WAIT_SECONDS
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.lease import Hold, end_if_frozen, renew

RENEWALS_A_LEASE = 3

log = logging.getLogger(__name__)


class Leases:
    """Inside `with Leases(…) as leases:` a separate thread renews the held leases, of rows in `status`.

    A full pipe behind stdout, a slow transaction or a long render must not cost a living worker its images.
    """

    def __init__(self, catalog: Catalog, *, lease_seconds: float, status: Status = Status.PROCESSING) -> None:
        self._catalog = catalog
        self._status = status
        self._lease_seconds = lease_seconds
        self._held: dict[UUID, int] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="imgctl leases", daemon=True)

    def hold(self, holds: Iterable[Hold]) -> None:
        """Start renewing these leases."""
        with self._lock:
            self._held |= {one.id: one.attempts for one in holds}

    def drop(self, ids: Iterable[UUID]) -> None:
        """Stop renewing these leases; call only while `settling`."""
        for one in ids:
            self._held.pop(one, None)

    @contextmanager
    def settling(self) -> Iterator[None]:
        """Pause renewals while rows change hands: a late renewal would lengthen a back-off."""
        with self._lock:
            yield

    def renew_now(self) -> None:
        """Renew the held leases; drop those that another worker has taken over."""
        with self._lock:
            holds = [Hold(id=one, attempts=attempts) for one, attempts in self._held.items()]
            if not holds:
                return
            with self._catalog.write() as connection:
                end_if_frozen(connection, seconds=self._lease_seconds)
                kept = renew(connection, holds, lease_seconds=self._lease_seconds, status=self._status)
            self.drop(one.id for one in holds if one.id not in kept)
        if len(kept) < len(holds):
            log.warning("%d leases were lost to other workers", len(holds) - len(kept))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        # After an error the wait is bounded: the thread may itself wait for the database.
        self._thread.join(None if kind is None else ERROR_WAIT_SECONDS)

    def _run(self) -> None:
        while not self._ended.wait(self._lease_seconds / RENEWALS_A_LEASE):
            try:
                self.renew_now()
            except CatalogError as error:
                # The next renewal also covers leases that lapsed meanwhile and were not claimed.
                log.warning("leases were not renewed: %s", error.line)
