"""`imgctl init`: the catalog's tables and a look at the store."""

from dataclasses import dataclass

from imgctl.cli.base import Session, subcommand
from imgctl.cli.doctor import show_check
from imgctl.cli.options import Options, flag
from imgctl.errors import ExitCode
from imgctl.ops.doctor import examine_store
from imgctl.store.blobs.open import open_store
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.upgrade import ddl, upgrade


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Options):
    sql: bool = flag("Print the DDL for a DBA and change nothing.")


@subcommand(
    Asked,
    examples="""
imgctl init
imgctl init --catalog postgresql+psycopg://db/photos --store s3://photos
imgctl init --sql --catalog postgresql+psycopg://db/photos > schema.sql
""",
)
def command(session: Session, asked: Asked) -> ExitCode:
    """Create or upgrade the catalog's tables, and check that the store does what imgctl relies on.

    Safe to run again. Writes no secrets anywhere. Exit 1 when the store cannot be used.
    """
    settings = session.settings
    if asked.sql:
        session.verbatim(ddl(settings.catalog.url))
        return ExitCode.DONE
    catalog = open_catalog(settings.catalog.url)
    try:
        applied = upgrade(catalog)
    finally:
        catalog.close()
    done = f"applied {', '.join(applied)}" if applied else "already current"
    session.text(f"catalog {catalog.place}: {done}")
    wrong = 0
    for check in examine_store(open_store(settings.store), settings.store.url):
        wrong += not check.ok
        show_check(session, check)
    session.data({"type": "summary", "applied": list(applied), "store": settings.store.url, "failed": wrong})
    return ExitCode.ERROR if wrong else ExitCode.DONE
