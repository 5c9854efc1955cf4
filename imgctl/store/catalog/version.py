"""Which schema is there and which is wanted; cheap, so that every command may ask."""

from sqlalchemy import text

from imgctl.errors import SchemaNotCurrent
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.names import HEAD

ABSENT = "absent"
CURRENT = "current"


def state(catalog: Catalog) -> str:
    """`current`, `absent` when no migration ever ran there, or the revision that is there instead."""
    try:
        with catalog.read() as connection:
            revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except SchemaNotCurrent:
        return ABSENT
    if revision is None:
        return ABSENT
    return CURRENT if revision == HEAD else str(revision)


def check_current(catalog: Catalog) -> None:
    """Return when the schema is the one this program was written for, or raise SchemaNotCurrent."""
    found = state(catalog)
    if found == CURRENT:
        return
    there = "has no tables yet" if found == ABSENT else f"has schema {found}"
    hint = "imgctl init" if found == ABSENT or found < HEAD else "a newer imgctl made it; upgrade this one"
    raise SchemaNotCurrent(f"catalog {catalog.place} {there}, this imgctl wants {HEAD}", hint=hint)
