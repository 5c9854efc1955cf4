"""Add `promised_at`: when a row was written, by the database's clock; existing rows get their date, at most now.

Postgres adds the column without rewriting the table, under a brief lock, then fills it in batches of 10,000 rows by
primary key, each its own transaction: no lock is kept, old programs continue, and after a kill the upgrade can be
repeated. SQLite has one writer at a time and copies the table in one transaction.
"""

from datetime import datetime
from importlib import import_module
from uuid import UUID

import sqlalchemy as sa
from alembic import op

from imgctl.store.catalog.migrations.online import add_column, brief
from imgctl.store.catalog.schema import SQLITE, UtcTime, now

revision = "0002"
down_revision = "0001"

_BATCH_ROWS = 10_000
_EARLIER = "UPDATE images SET promised_at = uploaded_at WHERE uploaded_at < promised_at"
# Rows written meanwhile already have their own time, later than the default that all old rows got with the column.
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


def upgrade() -> None:
    """Add the column, and fill it in each row."""
    context = op.get_context()
    if context.dialect.name == SQLITE:
        _rebuild()
        return
    # The default is not volatile: Postgres evaluates it once for all existing rows.
    add_column("images", _promised_at())
    if context.as_sql:
        op.execute(_EARLIER)
        return
    with context.autocommit_block():
        added = op.get_bind().execute(sa.text(_ADDED)).scalar_one()
    after: UUID | None = UUID(int=0)

    def fill() -> None:
        nonlocal after
        values = {"after": after, "rows": _BATCH_ROWS, "added": added}
        after = op.get_bind().execute(sa.text(_FILL), values).scalar()

    while after is not None:
        brief(fill)


def _rebuild() -> None:
    """Copy the rows into a new table: SQLite cannot add a column with a non-constant default."""
    earlier = import_module("imgctl.store.catalog.migrations.versions.0001_images")
    names = ", ".join(column.name for column in earlier.columns())
    for index in ("idx_user_recent", "uq_user_digest", "idx_claimable"):
        op.drop_index(index, "images")
    op.rename_table("images", "images_0001")
    op.create_table("images", *earlier.columns(), _promised_at(), earlier.is_a_status())
    op.execute(f"INSERT INTO images ({names}) SELECT {names} FROM images_0001")  # noqa: S608 - names of 0001
    op.execute(_EARLIER)
    op.drop_table("images_0001")
    earlier.index()


def _promised_at() -> sa.Column[datetime]:
    return sa.Column("promised_at", UtcTime, nullable=False, server_default=now())
