"""Add `erased`, the records of erased images, and `holds`, the users whose images must not be deleted."""

import sqlalchemy as sa
from alembic import op

from imgctl.store.catalog.migrations.online import brief
from imgctl.store.catalog.schema import Id, UtcTime, now

revision = "0004"
down_revision = "0003"

_ERASING = sa.text("erased_at IS NULL")
_HELD = sa.text("released_at IS NULL")


def upgrade() -> None:
    """Create both tables with their indexes."""
    brief(_make)


def _make() -> None:
    op.create_table(
        "erased",
        sa.Column("id", Id, primary_key=True),
        sa.Column("erasing_since", UtcTime, nullable=False, server_default=now()),
        sa.Column("settles_at", UtcTime, nullable=False),
        sa.Column("erased_at", UtcTime),
        sa.Column("bytes", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("blobs", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("owner", sa.LargeBinary, nullable=False),
        sa.Column("notes", sa.Text),
        if_not_exists=True,
    )
    op.create_index("idx_erased_owner", "erased", ["owner", "id"], if_not_exists=True)
    op.create_index(
        "idx_erasing", "erased", ["id"], postgresql_where=_ERASING, sqlite_where=_ERASING, if_not_exists=True
    )
    op.create_table(
        "holds",
        sa.Column("id", Id, primary_key=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("held_at", UtcTime, nullable=False, server_default=now()),
        sa.Column("released_at", UtcTime),
        sa.Column("object_lock", sa.Boolean, nullable=False, server_default=sa.text("FALSE")),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("held_by", sa.Text, nullable=False),
        sa.Column("released_by", sa.Text),
        if_not_exists=True,
    )
    op.create_index("idx_held", "holds", ["user_id"], postgresql_where=_HELD, sqlite_where=_HELD, if_not_exists=True)
