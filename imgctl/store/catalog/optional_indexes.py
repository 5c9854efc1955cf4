"""Indexes that only `[find] index` asks for: they cost room, and speed up searches over all users."""

from sqlalchemy import Connection, text

from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.find import DIGEST_START, OPTIONAL, indexes, name_start
from imgctl.store.catalog.schema import SQLITE
from imgctl.store.catalog.upgrade import alone


def make_optional(catalog: Catalog) -> list[str]:
    """Build the missing indexes of OPTIONAL without blocking reads and writes; returns their names."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    from imgctl.store.catalog.migrations.online import create_index

    start = name_start.sqlite if catalog.dialect == SQLITE else name_start.postgres
    parts = dict(zip(OPTIONAL, (start.format("name"), "taken_at", f"substr(sha256, 1, {DIGEST_START})"), strict=True))
    with catalog.read() as connection:
        made = _missing(connection)
    if not made:
        # No lock and no second connection, which a read-only user or a connection limit may not allow.
        return []
    with alone(catalog) as connection:
        made = _missing(connection)
        if catalog.dialect != SQLITE:
            # An index cannot be built concurrently within a transaction.
            connection.rollback()
        for name in made:
            where = text("name IS NOT NULL") if name == "idx_name" else None
            context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
            with Operations.context(context), context.begin_transaction(_per_migration=True):
                create_index(name, "images", [text(parts[name])], where=where)
    return made


def _missing(connection: Connection) -> list[str]:
    there = indexes(connection)
    return [name for name in OPTIONAL if name not in there]
