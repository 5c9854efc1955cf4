"""The backlog as metrics, read from the catalog at each scrape."""

from collections.abc import Mapping

from imgctl.errors import CatalogError
from imgctl.run.telemetry.metrics import BACKLOG, CATALOG_UP, LEASED, Metric
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.claims import backlog


def backlog_now(catalog: Catalog) -> Mapping[Metric, float]:
    """Return how many images wait and how many are leased; only CATALOG_UP = 0 if the catalog is unreachable."""
    try:
        with catalog.read() as connection:
            found = backlog(connection)
    except CatalogError:
        return {CATALOG_UP: 0}
    return {CATALOG_UP: 1, BACKLOG: found.processing, LEASED: found.leased}
