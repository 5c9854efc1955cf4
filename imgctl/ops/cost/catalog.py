"""The catalog alone: bills ask no store, and work where its credentials are missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from imgctl.config import Settings
from imgctl.run.limits import collect_from_here
from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.upgrade import check_current


@contextmanager
def catalog_of(settings: Settings) -> Iterator[Catalog]:
    """The catalog, whose schema is current; SchemaNotCurrent otherwise."""
    catalog = open_catalog(settings.catalog.url)
    try:
        check_current(catalog)
        collect_from_here()
        yield catalog
    finally:
        catalog.close()
