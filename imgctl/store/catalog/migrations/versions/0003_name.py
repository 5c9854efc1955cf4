"""Add `name`: the file name an image came with; no row is rewritten, rows that exist have none."""

import sqlalchemy as sa

from imgctl.store.catalog.migrations.online import add_column

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column, under a lock of a moment."""
    add_column("images", sa.Column("name", sa.Text))
