"""Add `fingerprints`: perceptual hashes to find near-duplicates, deleted with the image's row."""

import sqlalchemy as sa
from alembic import op

from imgctl.store.catalog.migrations.online import brief
from imgctl.store.catalog.schema import POSTGRES, Id

revision = "0007"
down_revision = "0006"
oldest_program = "0005"

# A trigger, so that every program, also an older one, deletes the fingerprint. It runs as the table's owner: a user who
# may delete images needs no other grant.
_POSTGRES = """
CREATE OR REPLACE FUNCTION imgctl_forget_fingerprint() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog AS
$$ BEGIN
    EXECUTE format('DELETE FROM %I.fingerprints WHERE user_id = %L AND id = %L', TG_TABLE_SCHEMA, OLD.user_id, OLD.id);
    RETURN NULL;
END $$
"""
_SQLITE = """
CREATE TRIGGER fingerprint_forgotten AFTER DELETE ON images
BEGIN DELETE FROM fingerprints WHERE user_id = OLD.user_id AND id = OLD.id; END
"""


def upgrade() -> None:
    """Create the table, and the trigger that deletes its rows."""
    brief(_make)


def _make() -> None:
    op.create_table(
        "fingerprints",
        sa.Column("user_id", Id, primary_key=True),
        sa.Column("id", Id, primary_key=True),
        sa.Column("hash", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
    if op.get_context().dialect.name != POSTGRES:
        op.execute(_SQLITE)
        return
    op.execute(_POSTGRES)
    op.execute(
        "CREATE OR REPLACE TRIGGER fingerprint_forgotten AFTER DELETE ON images "
        "FOR EACH ROW EXECUTE FUNCTION imgctl_forget_fingerprint()"
    )
