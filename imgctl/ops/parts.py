"""The two parts that every command works on, opened from the settings: the catalog and the store."""

from collections.abc import Iterator
from contextlib import contextmanager
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
def open_parts(settings: Settings, *, connections: int = 4) -> Iterator[Parts]:
    """Open both; an empty database gets its tables, one of another version raises SchemaNotCurrent.

    A caller with many threads keeps more `connections` open: opening one costs more than a query.
    """
    from imgctl.store.blobs.open import open_store

    store = open_store(settings.store)
    catalog = open_current(settings.catalog.url, connections=connections)
    try:
        collect_from_here()
        yield Parts(settings=settings, catalog=catalog, store=store)
    finally:
        catalog.close()


def open_current(url: str, *, connections: int = 4) -> Catalog:
    """Open a catalog; an empty database gets its tables, one of another version raises SchemaNotCurrent."""
    from imgctl.store.catalog.engine import open_catalog
    from imgctl.store.catalog.upgrade import ABSENT, check_current, state

    catalog = open_catalog(url, connections=connections)
    try:
        if state(catalog) == ABSENT:
            from imgctl.store.catalog.upgrade import upgrade

            upgrade(catalog)
        check_current(catalog)
        begin_current(catalog)
    except BaseException:
        catalog.close()
        raise
    return catalog


@contextmanager
def catalog_of(settings: Settings) -> Iterator[Catalog]:
    """Open the catalog alone, for bills, which need no store; SchemaNotCurrent for missing or outdated tables."""
    from imgctl.store.catalog.engine import open_catalog
    from imgctl.store.catalog.upgrade import check_current

    catalog = open_catalog(settings.catalog.url)
    try:
        check_current(catalog)
        collect_from_here()
        yield catalog
    finally:
        catalog.close()
