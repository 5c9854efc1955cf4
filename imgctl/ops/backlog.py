"""The backlog as metrics: asked of the catalog whenever somebody reads them."""

from collections.abc import Mapping

from imgctl.errors import CatalogError
from imgctl.run.metrics import BACKLOG, CATALOG_UP, LEASED, Metric
from imgctl.store.catalog.claims import backlog
from imgctl.store.catalog.engine import Catalog


def backlog_now(catalog: Catalog) -> Mapping[Metric, float]:
    """How many images wait and how many are leased; only that the catalog is down where it does not answer."""
    try:
        with catalog.read() as connection:
            found = backlog(connection)
    except CatalogError:
        return {CATALOG_UP: 0}
    return {CATALOG_UP: 1, BACKLOG: found.processing, LEASED: found.leased}
