"""Add `name`: the file name an image came with; no row is rewritten, rows that exist have none."""

import sqlalchemy as sa
from alembic import op

from imgctl.store.catalog.schema import POSTGRES

revision = "0003"
down_revision = "0002"

# How long to wait for readers of the whole table (a dump) before giving up: whoever comes later waits behind us.
_LOCK_TIMEOUT = "10s"


def upgrade() -> None:
    """Add the column, under a lock of a moment."""
    if op.get_context().dialect.name == POSTGRES:
        op.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
    op.add_column("images", sa.Column("name", sa.Text))
