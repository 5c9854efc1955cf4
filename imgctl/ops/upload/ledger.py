"""The catalog as an upload sees it: transactions, the short way where there is one."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from imgctl.run.memory import collect_from_here
from imgctl.store.catalog.address import Address, plain_address
from imgctl.store.catalog.promising import Asking

if TYPE_CHECKING:
    # Each takes long to import, and most runs need one of them.
    from imgctl.store.catalog.engine import Catalog
    from imgctl.store.catalog.short import ShortWay

T = TypeVar("T")

log = logging.getLogger(__name__)


@contextmanager
def open_ledger(url: str) -> Iterator["Ledger"]:
    """Open a catalog for an upload; an empty database gets its tables. Raises what `ops.parts.open_current` raises."""
    ledger = Ledger(url)
    try:
        collect_from_here()
        yield ledger
    finally:
        ledger.close()


class Ledger:
    """An open catalog; safe to share between threads.

    The short way is gone for good after its first failure: the long way does the same again, and explains.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = Lock()
        self._long: Catalog | None = None
        address = plain_address(url)
        self._short = _short_way(address) if address else None
        self.place = address.place if address and self._short else self._catalog().place

    def write(self, work: Callable[[Asking], T]) -> T:
        """Do some work in one transaction; raises CatalogError or one of its kinds, and then it may be done again."""
        return self._transact(work, writes=True)

    def read(self, work: Callable[[Asking], T]) -> T:
        """The same for work that changes nothing."""
        return self._transact(work, writes=False)

    def close(self) -> None:
        """Close every connection."""
        if self._short is not None:
            self._short.close()
        if self._long is not None:
            self._long.close()

    def _transact(self, work: Callable[[Asking], T], *, writes: bool) -> T:
        if (short := self._short) is not None:
            from imgctl.store.catalog.short import ShortWayClosed

            try:
                return short.transact(work)
            except ShortWayClosed as error:
                log.debug("the catalog is asked the long way from now on: %s", error)
                self._short = None
                short.close()
        from imgctl.store.catalog.promises import Asked

        catalog = self._catalog()
        with catalog.write() if writes else catalog.read() as connection:
            return work(Asked(connection))

    def _catalog(self) -> "Catalog":
        with self._lock:
            if self._long is None:
                from imgctl.ops.parts import open_current

                self._long = open_current(self._url)
            return self._long


def _short_way(address: Address) -> "ShortWay | None":
    from imgctl.store.catalog.short import ShortWay, ShortWayClosed

    short = ShortWay(address.arguments)
    with suppress(ShortWayClosed):
        if short.is_current():
            return short
    short.close()
    return None
