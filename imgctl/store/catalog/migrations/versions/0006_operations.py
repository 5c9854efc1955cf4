"""Add `operations`: commands that changed something, with their user. Triggers prevent deletes and rewrites of rows."""

import sqlalchemy as sa
from alembic import op

from imgctl.store.catalog.migrations.online import brief
from imgctl.store.catalog.schema import POSTGRES, Id, UtcTime, now

revision = "0006"
down_revision = "0005"
oldest_program = "0005"

# The end may be written once. The scope may change: it loses the id of an erased user.
_FIXED = ("id", "started_at", "command", "who", "host", "pid")
_ENDED = ("ended_at", "exit_code", "counts", "report", "error")
_REFUSAL = "operations is append-only"
_POSTGRES = f"""
CREATE OR REPLACE FUNCTION imgctl_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$
"""


def upgrade() -> None:
    """Create the table, its index, and the triggers that keep it append-only."""
    brief(_make)


def _make() -> None:
    op.create_table(
        "operations",
        sa.Column("id", Id, primary_key=True),
        sa.Column("user_id", Id),
        sa.Column("started_at", UtcTime, nullable=False, server_default=now()),
        sa.Column("ended_at", UtcTime),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("exit_code", sa.Integer),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("counts", sa.Text),
        sa.Column("report", sa.Text),
        sa.Column("error", sa.Text),
        if_not_exists=True,
    )
    op.create_index("idx_operations_user", "operations", ["user_id", "id"], if_not_exists=True)
    if op.get_context().dialect.name == POSTGRES:
        _keep_on_postgres()
    else:
        _keep_on_sqlite()


def _keep_on_postgres() -> None:
    op.execute(_POSTGRES)
    refuse = "EXECUTE FUNCTION imgctl_append_only()"
    op.execute(
        f"CREATE OR REPLACE TRIGGER operations_kept BEFORE DELETE OR TRUNCATE ON operations FOR EACH STATEMENT {refuse}"
    )
    changed = _rewritten("IS DISTINCT FROM")
    op.execute(
        f"CREATE OR REPLACE TRIGGER operations_fixed BEFORE UPDATE ON operations FOR EACH ROW WHEN ({changed}) {refuse}"
    )


def _keep_on_sqlite() -> None:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
    op.execute(f"CREATE TRIGGER operations_kept BEFORE DELETE ON operations {refuse}")
    op.execute(f"CREATE TRIGGER operations_fixed BEFORE UPDATE ON operations WHEN {_rewritten('IS NOT')} {refuse}")


def _rewritten(differs: str) -> str:
    """Return the SQL condition for an update that changes written values."""
    fixed = " OR ".join(f"OLD.{name} {differs} NEW.{name}" for name in _FIXED)
    ended = " OR ".join(f"OLD.{name} {differs} NEW.{name}" for name in _ENDED)
    return f"{fixed} OR OLD.ended_at IS NOT NULL AND ({ended})"
