"""`imgctl repair`: mends what an audit found; dry unless told otherwise."""

from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack
from uuid import UUID

import click

from imgctl.cli.base import Session, subcommand
from imgctl.cli.repair_source import Asked, findings_of, has_scope
from imgctl.cli.repair_words import conclude, show, undelete_day
from imgctl.cli.running import Running, running
from imgctl.cli.scope import scope_options
from imgctl.cli.types import Seconds
from imgctl.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from imgctl.ops.audit.findings import FindingsFile
    from imgctl.ops.parts import Parts
    from imgctl.ops.repair.order import RepairOrder


class _Allowed(TypedDict):
    """The options that say how far to go."""

    failed: bool
    delete_orphans: bool
    orphan_age: float
    max_delete: int
    max_delete_percent: float
    max_lost: int


@subcommand(
    examples="""
imgctl repair
imgctl repair --apply
imgctl audit --json | imgctl repair - --apply
imgctl repair findings.ndjson --plan repairs.jsonl
imgctl repair --id 0190b2b4-0000-7000-8000-000000000001 --failed --apply
imgctl repair findings.ndjson --delete-orphans --orphan-age 30d --max-delete 500 --apply
imgctl repair --undelete 2026-11-22 --apply
""",
)
@click.argument("findings", required=False, metavar="[FINDINGS|-]")
@click.option("--apply", "apply", is_flag=True, help="Do it; without it only what would be done is said.")
@click.option("--id", "ids", multiple=True, metavar="ID|KEY|URL", help="Audit and mend this image (repeatable).")
@scope_options
@click.option(
    "--grace", type=Seconds(), metavar="TIME", help="What is younger is in flight.  [default: 1h; with --id 0s]"
)
@click.option("--stuck-after", type=Seconds(), default="15m", show_default=True, metavar="TIME", help="As for audit.")
@click.option("--storage-class", is_flag=True, help="Also let rows say the class their originals are in.")
@click.option("--failed", is_flag=True, help="Also try images again that failed.")
@click.option("--delete-orphans", is_flag=True, help="Also move blobs that no row names to the trash.")
@click.option(
    "--orphan-age",
    type=Seconds(),
    default="7d",
    show_default=True,
    metavar="TIME",
    help="Younger orphans stay.",
)
@click.option(
    "--max-delete",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    metavar="N",
    help="Refuse to delete anything where there are more orphans.",
)
@click.option(
    "--max-delete-percent",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    metavar="P",
    help="The same, as a share of the keys in scope.",
)
@click.option(
    "--max-lost",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    metavar="N",
    help="Refuse to act where more originals than that are gone.",
)
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write down what would be done, for imgctl apply.",
)
@click.option("--undelete", metavar="DATE|all", help="Bring back what went to the trash that day (UTC), or ever.")
def command(
    session: Session,
    *,
    findings: str | None,
    apply: bool,
    ids: tuple[str, ...],
    user: UUID | None,
    since: datetime | None,
    until: datetime | None,
    ids_from: Path | None,
    grace: float | None,
    stuck_after: float,
    storage_class: bool,
    plan_file: Path | None,
    undelete: str | None,
    **allowed: Unpack[_Allowed],
) -> ExitCode:
    """Mend what an audit found: the lines that `imgctl audit --json` printed, or a fresh audit of the same scope.

    Stuck rows and rows that lack variants go back to the queue, variants that exist are named again, promises whose
    bytes never came are dropped, lost originals are marked failed with their variants kept, and orphans, if asked
    for, go to the trash (trash/DATE/ in the store, until somebody deletes it). Each finding is looked at again at the
    moment of acting; what changed since is left alone. Exit code 3 says that something could not be done.
    """
    from imgctl.ops.parts import open_parts

    asked = Asked(
        findings=findings,
        ids=ids,
        user=user,
        since=since,
        until=until,
        ids_from=ids_from,
        grace_seconds=grace,
        stuck_seconds=stuck_after,
        storage_class=storage_class,
    )
    if undelete and (findings or has_scope(asked) or plan_file):
        raise UsageError("--undelete goes by the day alone", hint="leave FINDINGS, the scope and --plan out")
    if plan_file and apply:
        raise UsageError("--plan and --apply exclude each other", hint="write the plan, then imgctl apply it")
    with open_parts(session.settings) as parts, running(session, unit="findings") as run:
        if undelete:
            return undelete_day(session, run, parts, undelete, apply=apply)
        order = _order(parts, apply=apply, allowed=allowed)
        with findings_of(parts, asked, run) as source:
            return _repair(session, run, parts, source, order, asked, plan_file)


def _order(parts: "Parts", *, apply: bool, allowed: _Allowed) -> "RepairOrder":
    from imgctl.ops.repair.order import RepairOrder

    store = parts.settings.store
    return RepairOrder(
        apply=apply,
        failed=allowed["failed"],
        delete_orphans=allowed["delete_orphans"],
        orphan_age_seconds=allowed["orphan_age"],
        max_delete=allowed["max_delete"],
        max_delete_percent=allowed["max_delete_percent"],
        max_lost=allowed["max_lost"],
        originals_prefix=store.originals_prefix,
        variants_prefix=store.variants_prefix,
    )


def _repair(
    session: Session,
    run: Running,
    parts: "Parts",
    source: "FindingsFile",
    order: "RepairOrder",
    asked: Asked,
    plan_file: Path | None,
) -> ExitCode:
    from imgctl.ops.plan.file import PlanWriter
    from imgctl.ops.repair.order import Fate, check_losses, check_share
    from imgctl.ops.repair.pipeline import repair
    from imgctl.ops.repair.planning import action_of

    if order.apply:
        check_losses(source, order)
    if order.delete_orphans:
        check_share(source, order, parts, scope=asked.scope)
    fates = dict.fromkeys(Fate, 0)
    with ExitStack() as stack:
        plan = stack.enter_context(PlanWriter(plan_file, command="repair")) if plan_file else None
        for outcome in repair(source, order, parts, stop=run.stop):
            fates[outcome.fate] += 1
            run.step(failed=outcome.fate in (Fate.FAILED, Fate.DRIFTED))
            if plan and (action := action_of(outcome.decision, order)):
                plan.add(action)
            show(session, run, outcome)
    conclude(session, fates, apply=order.apply, planned=plan_file)
    return run.exit_code(partly=fates[Fate.FAILED] + fates[Fate.DRIFTED] > 0)
