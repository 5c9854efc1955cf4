"""Create the table of images with its indexes."""

import sqlalchemy as sa
from alembic import op

from imgctl.store.catalog.schema import Id, UtcTime

revision = "0001"
down_revision = None

_STORAGE = {
    "autovacuum_vacuum_scale_factor": 0.01,
    "autovacuum_vacuum_threshold": 20000,
    "autovacuum_analyze_scale_factor": 0.02,
}
_PROCESSING = sa.text("status = 'processing'")


def columns() -> list[sa.Column[object]]:
    """The columns of this revision; 0002 reuses them."""
    return [
        sa.Column("id", Id, primary_key=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("uploaded_at", UtcTime, nullable=False),
        sa.Column("bytes", sa.BigInteger),
        sa.Column("taken_at", UtcTime),
        sa.Column("leased_until", UtcTime),
        sa.Column("restored_until", UtcTime),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("forgiven", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("sha256", sa.LargeBinary),
        sa.Column("content_type", sa.Text),
        sa.Column("recipe", sa.CHAR(8)),
        sa.Column("storage_class", sa.Text),
        sa.Column("original_key", sa.String(255)),
        sa.Column("thumb_key", sa.String(255)),
        sa.Column("medium_key", sa.String(255)),
        sa.Column("full_key", sa.String(255)),
        sa.Column("caption", sa.Text),
        sa.Column("error", sa.Text),
    ]


def is_a_status() -> sa.CheckConstraint:
    """The check that a row is in one of the four states."""
    return sa.CheckConstraint("status IN ('uploading', 'processing', 'ready', 'failed')", name="ck_status")


def index() -> None:
    """Create the indexes."""
    op.create_index("idx_user_recent", "images", ["user_id", sa.text("uploaded_at DESC")])
    op.create_index("uq_user_digest", "images", ["user_id", sa.text("substr(sha256, 1, 16)")], unique=True)
    op.create_index("idx_claimable", "images", ["id"], postgresql_where=_PROCESSING, sqlite_where=_PROCESSING)


def upgrade() -> None:
    """Create the table and its indexes."""
    op.create_table("images", *columns(), is_a_status(), postgresql_with=_STORAGE)
    index()
