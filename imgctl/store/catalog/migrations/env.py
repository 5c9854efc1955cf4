"""Runs migrations on the connection it is handed, or writes them out as SQL when there is none."""

from alembic import context
from sqlalchemy import Connection

from imgctl.store.catalog.schema import whole_metadata

_attributes = context.config.attributes
_connection: Connection | None = _attributes.get("connection")

if _connection is None:
    context.configure(
        dialect_name=_attributes["dialect"],
        dialect_opts={"paramstyle": "named"},
        target_metadata=whole_metadata(),
        literal_binds=True,
        transactional_ddl=True,
    )
else:
    context.configure(
        connection=_connection,
        target_metadata=whole_metadata(),
        transactional_ddl=True,
        # On Postgres no migration may hold another's locks; SQLite is handed one transaction for all of them.
        transaction_per_migration=True,
        on_version_apply=_attributes["on_version_apply"],
    )

with context.begin_transaction():
    context.run_migrations()
