"""Add `idx_failed`: the failed images of all users, few rows of a large table."""

import sqlalchemy as sa

from imgctl.store.catalog.migrations.online import create_index

revision = "0008"
down_revision = "0007"
oldest_program = "0005"


def upgrade() -> None:
    """Build the index without blocking reads and writes."""
    create_index("idx_failed", "images", ["id"], where=sa.text("status = 'failed'"))
