"""`imgctl init`: creates or upgrades the catalog's tables and checks the store."""

from dataclasses import dataclass

from imgctl.cli.common.options import Options, flag, option
from imgctl.cli.common.session import Session, subcommand
from imgctl.cli.doctor import show_check
from imgctl.errors import ExitCode
from imgctl.ops.common.operation_record import begin_current
from imgctl.ops.common.transactions import InProcess
from imgctl.ops.doctor import examine_store
from imgctl.store.blobs.open import open_store
from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.optional_indexes import make_optional
from imgctl.store.catalog.upgrade import ABSENT, HEAD, check_current, ddl, found, missing, upgrade


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(Options):
    check: bool = flag("List the missing migrations and change nothing; exit 5 when this imgctl cannot run.")
    sql: bool = flag("Print the DDL for a DBA and change nothing.")
    from_revision: str | None = option(
        None, "With --sql: only the DDL after this revision.", name="--from", metavar="REVISION"
    )


@subcommand(
    Args,
    changes=lambda args: not (args.sql or args.check),
    examples="""
imgctl init
imgctl init --catalog postgresql+psycopg://db/photos --store s3://photos
imgctl init --check
imgctl init --sql --from 0003 > upgrade.sql
""",
)
def command(session: Session, args: Args) -> ExitCode:
    """Create or upgrade the catalog's tables, and check that the store does what imgctl requires.

    Safe to run again, and while other commands run: no table is rewritten or locked for longer than a second at a time.
    Writes no secrets anywhere. Exit 1 when the store cannot be used.
    """
    settings = session.settings
    if args.sql:
        session.verbatim(ddl(settings.catalog.url, since=args.from_revision or ""))
        return ExitCode.DONE
    catalog = open_catalog(settings.catalog.url)
    try:
        if args.check:
            return _check(session, catalog)
        applied = upgrade(catalog)
        schema = found(catalog).revision
        made = make_optional(catalog) if settings.find.index and schema == HEAD else []
        if applied or made:
            begin_current(InProcess(catalog))
    finally:
        catalog.close()
    session.text(f"catalog {catalog.place}: {_done([*applied, *made], schema)}")
    wrong = 0
    for check in examine_store(open_store(settings.store), settings.store.url):
        wrong += not check.ok
        show_check(session, check)
    session.summary(applied=list(applied), schema=schema, wanted=HEAD, store=settings.store.url, failed=wrong)
    return ExitCode.ERROR if wrong else ExitCode.DONE


def _done(applied: list[str], schema: str) -> str:
    if applied:
        return f"applied {', '.join(applied)}"
    return "already current" if schema == HEAD else f"schema {schema} of a newer imgctl, compatible with this one"


def _check(session: Session, catalog: Catalog) -> ExitCode:
    there = found(catalog)
    if there.is_foreign:
        check_current(catalog)
    has = "no tables yet" if there.revision == ABSENT else f"schema {there.revision}"
    can_run = "current" if there.is_current else "imgctl init upgrades it"
    if there.is_newer:
        can_run = "made by a newer imgctl, compatible with this one" if there.is_current else "upgrade this imgctl"
    session.text(f"catalog {catalog.place}: {has}, this imgctl needs {HEAD}: {can_run}")
    for revision, what in missing(catalog):
        session.text(f"  {revision}  {what}")
        session.data({"type": "migration", "revision": revision, "what": what})
    session.summary(applied=[], schema=there.revision, wanted=HEAD, store=session.settings.store.url, failed=0)
    return ExitCode.DONE if there.is_current else ExitCode.SCHEMA
