"""Record the oldest program that can use a newer schema, so that two releases run side by side."""

import sqlalchemy as sa

from imgctl.store.catalog.migrations.online import add_column

revision = "0005"
down_revision = "0004"
oldest_program = "0005"


def upgrade() -> None:
    """Add the column; every later revision writes its `oldest_program` there."""
    add_column("alembic_version", sa.Column("oldest_program", sa.String(32)))
