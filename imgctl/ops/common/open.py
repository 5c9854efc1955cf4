"""The two parts that every command works on, opened from the settings: the catalog and the store."""

import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imgctl.config.settings import Settings
from imgctl.ops.common.operation_record import begin_current
from imgctl.ops.common.retry import StopSignal
from imgctl.ops.common.transactions import InProcess, OutOfProcess, Transactions
from imgctl.run.limits import collect_from_here, raise_open_files
from imgctl.store.blobs.base import BlobStore

if TYPE_CHECKING:
    from imgctl.store.catalog.engine import Catalog

log = logging.getLogger(__name__)

REQUESTS = 16
# The longest wait for another process that creates the catalog; an upgrade of a large one takes longer.
UPGRADE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """An open catalog whose schema is current, and a store."""

    settings: Settings
    catalog: "Catalog"
    store: BlobStore

    @property
    def requests(self) -> int:
        """How many requests are in flight at once: [upload] concurrency, 16 where that is 0."""
        return self.settings.upload.concurrency or REQUESTS


@contextmanager
def open_parts(
    settings: Settings, *, connections: int = 4, create: bool = False, stop: StopSignal | None = None
) -> Iterator[Parts]:
    """Open both; see `open_current`.

    A caller with many threads keeps more `connections` open: opening one costs more than a query.
    """
    from imgctl.store.blobs.open import open_store

    raise_open_files()
    store = open_store(settings.store)
    with closing(open_current(settings.catalog.url, connections=connections, create=create, stop=stop)) as catalog:
        collect_from_here()
        yield Parts(settings=settings, catalog=catalog, store=store)


def open_current(url: str, *, connections: int = 4, create: bool = False, stop: StopSignal | None = None) -> "Catalog":
    """Open a catalog; SchemaNotCurrent if it does not exist or its tables are of another version.

    It waits while another process creates or upgrades the tables, until `stop`.

    With `create`, for commands that may begin an archive, a catalog that does not exist is made. All others would make an
    empty one at a mistyped URL and report that there are no images.
    """
    from imgctl.store.catalog.engine import open_catalog
    from imgctl.store.catalog.upgrade import ABSENT, check_current, found, upgrade

    catalog = open_catalog(url, connections=connections)
    try:
        if create and found(catalog).revision == ABSENT:
            upgrade(catalog)
        check_current(catalog, wait_seconds=UPGRADE_SECONDS, pause=time.sleep if stop is None else stop.wait)
        begin_current(InProcess(catalog))
    except BaseException:
        catalog.close()
        raise
    return catalog


def open_or_create(url: str) -> "Catalog":
    """Open a catalog, and make it if it does not exist; SchemaNotCurrent if its tables are of another version."""
    return open_current(url, create=True)


def opening(settings: Settings, *, create: bool) -> Transactions:
    """Begin to open the catalog for an upload: in a child process if [upload] processes is 2."""
    opener = open_or_create if create else open_current
    if settings.upload.processes == 2:
        try:
            return OutOfProcess(opener, settings.catalog.url)
        except OSError as error:
            log.warning("the catalog has no process of its own: %s", error)
    return InProcess(partial(opener, settings.catalog.url))


@contextmanager
def catalog_of(settings: Settings) -> Iterator["Catalog"]:
    """Open the catalog alone, for bills, which need no store; see `open_current`."""
    with closing(open_current(settings.catalog.url)) as catalog:
        collect_from_here()
        yield catalog
