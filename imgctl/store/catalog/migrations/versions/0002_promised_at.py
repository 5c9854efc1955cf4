"""Add `promised_at`: when a row was written, by the database's clock; rows that exist get their date, at most now.

Postgres adds the column without rewriting the table, under a lock of a moment, and then sets it in batches of 10,000
rows by the primary key, each its own transaction: no lock is held, old programs go on, and an upgrade that was killed
starts again where nothing is lost. SQLite has one writer at a time and copies the table in one transaction.
"""

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from alembic import op

from imgctl.store.catalog.schema import SQLITE, Id, UtcTime, now

revision = "0002"
down_revision = "0001"

# How long to wait for readers of the whole table (a dump) before giving up: whoever comes later waits behind us.
_LOCK_TIMEOUT = "10s"
_BATCH_ROWS = 10_000
_EARLIER = "UPDATE images SET promised_at = uploaded_at WHERE uploaded_at < promised_at"
# Rows that are written meanwhile have their own time already, later than the one all old rows got with the column.
_ADDED = """
SELECT coalesce((CAST(CAST(attmissingval AS text) AS timestamptz[]))[1], statement_timestamp())
FROM pg_attribute WHERE attrelid = CAST('images' AS regclass) AND attname = 'promised_at'
"""
_FILL = """
WITH page AS (SELECT id FROM images WHERE id > :after ORDER BY id LIMIT :rows),
     filled AS (
         UPDATE images SET promised_at = uploaded_at FROM page
         WHERE images.id = page.id AND uploaded_at < promised_at AND promised_at <= :added
     )
SELECT id FROM page ORDER BY id DESC LIMIT 1
"""
_PROCESSING = sa.text("status = 'processing'")
_COPY = """
INSERT INTO images (
    id, user_id, uploaded_at, bytes, taken_at, leased_until, restored_until, attempts, forgiven, width, height, status,
    sha256, content_type, recipe, storage_class, original_key, thumb_key, medium_key, full_key, caption, error
)
SELECT
    id, user_id, uploaded_at, bytes, taken_at, leased_until, restored_until, attempts, forgiven, width, height, status,
    sha256, content_type, recipe, storage_class, original_key, thumb_key, medium_key, full_key, caption, error
FROM images_0001
"""


def upgrade() -> None:
    """Add the column, and say of each row when it was promised."""
    context = op.get_context()
    if context.dialect.name == SQLITE:
        _rebuild()
        return
    op.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
    op.add_column("images", sa.Column("promised_at", UtcTime, nullable=False, server_default=now()), if_not_exists=True)
    if context.as_sql:
        op.execute(_EARLIER)
        return
    with context.autocommit_block():
        _fill()


def _fill() -> None:
    connection = op.get_bind()
    added = connection.execute(sa.text(_ADDED)).scalar_one()
    after: UUID | None = UUID(int=0)
    while after is not None:
        values = {"after": after, "rows": _BATCH_ROWS, "added": added}
        after = connection.execute(sa.text(_FILL), values).scalar()


def _rebuild() -> None:
    """SQLite adds no column whose default is a clock's: a new table takes the old one's rows and name."""
    for index in ("idx_user_recent", "uq_user_digest", "idx_claimable"):
        op.drop_index(index, "images")
    op.rename_table("images", "images_0001")
    op.create_table("images", *_columns())
    op.execute(_COPY)
    op.execute(_EARLIER)
    op.drop_table("images_0001")
    op.create_index("idx_user_recent", "images", ["user_id", sa.text("uploaded_at DESC")])
    op.create_index("uq_user_digest", "images", ["user_id", sa.text("substr(sha256, 1, 16)")], unique=True)
    op.create_index("idx_claimable", "images", ["id"], sqlite_where=_PROCESSING)


def _columns() -> Sequence[sa.Column[object] | sa.CheckConstraint]:
    return (
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
        sa.Column("promised_at", UtcTime, nullable=False, server_default=now()),
        sa.CheckConstraint("status IN ('uploading', 'processing', 'ready', 'failed')", name="ck_status"),
    )
