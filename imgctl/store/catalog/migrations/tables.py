"""All tables with the options of each dialect, for migrations only: importing a dialect is slow."""

from sqlalchemy import Index, MetaData, text

from imgctl.model import Status
from imgctl.store.catalog.queries.fingerprints import fingerprints
from imgctl.store.catalog.queries.holds import holds
from imgctl.store.catalog.queries.operations import operations
from imgctl.store.catalog.schema import POSTGRES, SQLITE, erased, images, metadata

TABLES = (images, erased, holds, operations, fingerprints)
# The rows of partial indexes.
_PARTIAL = {
    "idx_claimable": f"status = '{Status.PROCESSING}'",
    "idx_failed": f"status = '{Status.FAILED}'",
    "idx_erasing": "erased_at IS NULL",
    "idx_held": "released_at IS NULL",
}
# Every image is updated three times, then rarely: vacuum after a number of rows, not after a fifth of the table.
STORAGE = {
    "autovacuum_vacuum_scale_factor": 0.01,
    "autovacuum_vacuum_threshold": 20000,
    "autovacuum_analyze_scale_factor": 0.02,
}


def whole_metadata() -> MetaData:
    """Return the metadata of all tables, with the options set."""
    indexes: dict[str | None, Index] = {index.name: index for table in TABLES for index in table.indexes}
    for name, rows in _PARTIAL.items():
        for dialect in (POSTGRES, SQLITE):
            indexes[name].dialect_options[dialect]["where"] = text(rows)
    images.dialect_options[POSTGRES]["with"] = STORAGE
    return metadata
