"""`imgctl init`: the catalog's tables and a look at the store."""

import click

from imgctl.cli.base import Session, subcommand
from imgctl.errors import ExitCode


@subcommand(
    examples="""
imgctl init
imgctl init --catalog postgresql+psycopg://imgctl@db/photos --store s3://photos
imgctl init --sql --catalog postgresql+psycopg://imgctl@db/photos > schema.sql
""",
)
@click.option("--sql", is_flag=True, help="Print the DDL for a DBA and change nothing.")
def command(session: Session, sql: bool) -> ExitCode:  # noqa: FBT001
    """Create or upgrade the catalog's tables, and check that the store can be read and written.

    Safe to run again. Writes no secrets anywhere.
    """
    from imgctl.store.catalog.upgrade import ddl, upgrade

    settings = session.settings
    if sql:
        click.echo(ddl(settings.catalog.url), nl=False)
        return ExitCode.DONE
    from imgctl.store.blobs.open import open_store
    from imgctl.store.catalog.engine import open_catalog

    catalog = open_catalog(settings.catalog.url)
    try:
        applied = upgrade(catalog)
    finally:
        catalog.close()
    done = f"applied {', '.join(applied)}" if applied else "already current"
    session.text(f"catalog {catalog.place}: {done}")
    open_store(settings.store).check()
    session.text(f"store {settings.store.url}: readable and writable")
    session.data({"type": "summary", "applied": list(applied), "store": settings.store.url})
    return ExitCode.DONE
