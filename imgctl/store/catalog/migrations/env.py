"""Runs migrations on the given connection, or without one writes them as SQL."""

from collections.abc import Collection, Mapping

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import Connection, text

from imgctl.store.catalog.migrations.tables import whole_metadata

_attributes = context.config.attributes
_connection: Connection | None = _attributes.get("connection")


def _note_oldest_program(
    ctx: MigrationContext, step: MigrationInfo, heads: Collection[object], run_args: Mapping[str, object]
) -> None:
    """Write the oldest program that may use the revision, in the transaction that writes the revision."""
    oldest = getattr(getattr(step.up_revision, "module", None), "oldest_program", None)
    if oldest:
        ctx.impl.execute(text(f"UPDATE alembic_version SET oldest_program = '{oldest}'"))  # noqa: S608 - a constant of the revision


def _applied(
    ctx: MigrationContext, step: MigrationInfo, heads: Collection[object], run_args: Mapping[str, object]
) -> None:
    _note_oldest_program(ctx, step, heads, run_args)
    _attributes["on_version_apply"](step)


if _connection is None:
    context.configure(
        dialect_name=_attributes["dialect"],
        dialect_opts={"paramstyle": "named"},
        target_metadata=whole_metadata(),
        literal_binds=True,
        transactional_ddl=True,
        on_version_apply=_note_oldest_program,
    )
else:
    context.configure(
        connection=_connection,
        target_metadata=whole_metadata(),
        transactional_ddl=True,
        # On Postgres no migration may keep the locks of an earlier one; SQLite runs all in one transaction.
        transaction_per_migration=True,
        on_version_apply=_applied,
    )

with context.begin_transaction():
    context.run_migrations()
