"""The two parts that every command works on, opened from the settings: the catalog and the store."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from imgctl.config.settings import Settings
from imgctl.ops.operations import begin_current
from imgctl.run.limits import collect_from_here
from imgctl.store.blobs.base import BlobStore
from imgctl.store.catalog.engine import Catalog

REQUESTS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """An open catalog whose schema is current, and a store."""

    settings: Settings
    catalog: Catalog
    store: BlobStore

    @property
    def requests(self) -> int:
        """How many requests are in flight at once: [upload] concurrency, 16 where that is 0."""
        return self.settings.upload.concurrency or REQUESTS


@contextmanager
def open_parts(settings: Settings, *, connections: int = 4, create: bool = False) -> Iterator[Parts]:
    """Open both; see `open_current`.

    A caller with many threads keeps more `connections` open: opening one costs more than a query.
    """
    from imgctl.store.blobs.open import open_store

    store = open_store(settings.store)
    with closing(open_current(settings.catalog.url, connections=connections, create=create)) as catalog:
        collect_from_here()
        yield Parts(settings=settings, catalog=catalog, store=store)


def open_current(url: str, *, connections: int = 4, create: bool = False) -> Catalog:
    """Open a catalog; SchemaNotCurrent if it does not exist or its tables are of another version.

    With `create`, for commands that may begin an archive, a catalog that does not exist is made. All others would make an
    empty one at a mistyped URL and report that there are no images.
    """
    from imgctl.store.catalog.engine import open_catalog
    from imgctl.store.catalog.upgrade import ABSENT, check_current, found, upgrade

    catalog = open_catalog(url, connections=connections)
    try:
        if create and found(catalog).revision == ABSENT:
            upgrade(catalog)
        check_current(catalog)
        begin_current(catalog)
    except BaseException:
        catalog.close()
        raise
    return catalog


@contextmanager
def catalog_of(settings: Settings) -> Iterator[Catalog]:
    """Open the catalog alone, for bills, which need no store; see `open_current`."""
    with closing(open_current(settings.catalog.url)) as catalog:
        collect_from_here()
        yield catalog
