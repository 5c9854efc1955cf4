"""Add `name`: the file name of an image; no row is rewritten, existing rows have none."""

import sqlalchemy as sa

from imgctl.store.catalog.migrations.online import add_column

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column, under a brief lock."""
    add_column("images", sa.Column("name", sa.Text))
