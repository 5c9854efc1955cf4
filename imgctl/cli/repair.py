"""`imgctl repair`: repairs what an audit found; dry unless told otherwise."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgctl.cli.base import Running, Session, running, subcommand
from imgctl.cli.options import ScopeOptions, flag, option, optional, order_of
from imgctl.cli.repair_words import conclude, show, undelete_day
from imgctl.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from imgctl.ops.audit.findings import FindingsFile
    from imgctl.ops.parts import Parts
    from imgctl.ops.repair.order import RepairOrder
    from imgctl.ops.rows import Chosen

GRACE = timedelta(hours=1)
_COUNT = click.IntRange(min=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(ScopeOptions):
    findings: str | None = optional("[FINDINGS|-]")
    apply: bool = flag("Do it; without it only what would be done is said.")
    id: tuple[str, ...] = option((), "Audit and repair this image (repeatable).", metavar="ID|KEY|URL")
    grace: float | None = option(None, "What is younger is in flight.  [default: 1h; with --id 0s]")
    stuck_after: float = option(900.0, "As for audit.", text="15m")
    storage_class: bool = flag("Also let rows say the class their originals are in.")
    failed: bool = flag("Also try images again that failed.")
    delete_orphans: bool = flag("Also move blobs that no row names to the trash.")
    orphan_age: float = option(7 * 86_400.0, "Younger orphans stay.", text="7d")
    max_delete: int = option(1000, "Refuse to delete anything where there are more orphans.", kind=_COUNT, metavar="N")
    max_delete_percent: float = option(
        1.0, "The same, as a share of the keys in scope.", kind=click.FloatRange(0, 100), metavar="P"
    )
    max_lost: int = option(100, "Refuse to act where more originals than that are gone.", kind=_COUNT, metavar="N")
    plan: Path | None = option(None, "Write down what would be done, for imgctl apply.")
    undelete: str | None = option(
        None, "Bring back what went to the trash that day (UTC), or ever.", metavar="DATE|all"
    )

    @property
    def has_scope(self) -> bool:
        """Whether any rows were chosen."""
        return bool(self.id) or self.is_scoped


@subcommand(
    Asked,
    examples="""
imgctl repair
imgctl repair --apply
imgctl audit --json | imgctl repair - --apply
imgctl repair findings.ndjson --plan repairs.jsonl
imgctl repair --id 0190b2b4-0000-7000-8000-000000000001 --failed --apply
imgctl repair findings.ndjson --delete-orphans --orphan-age 30d --apply
""",
    main="--apply --user --ids-from --id --failed --delete-orphans --plan --undelete",
)
def command(session: Session, asked: Asked) -> ExitCode:
    """Repair what an audit found: the lines that `imgctl audit --json` printed, or a fresh audit of the same scope.

    Stuck rows and rows that lack variants go back to the queue, variants that exist are named again, promises whose
    bytes never came are dropped, lost originals are marked failed with their variants kept, and orphans, if asked
    for, go to the trash (trash/DATE/ in the store, until somebody deletes it). Each finding is looked at again at the
    moment of acting; what changed since is left alone. Exit code 3 says that something could not be done.
    """
    from imgctl.ops.parts import open_parts

    if asked.undelete and (asked.findings or asked.has_scope or asked.plan):
        raise UsageError("--undelete goes by the day alone", hint="leave FINDINGS, the scope and --plan out")
    if asked.plan and asked.apply:
        raise UsageError("--plan and --apply exclude each other", hint="write the plan, then imgctl apply it")
    with open_parts(session.settings) as parts, running(session, unit="findings") as run:
        if asked.undelete:
            return undelete_day(session, run, parts, asked.undelete, apply=asked.apply)
        with findings_of(parts, asked, run) as source:
            return _repair(session, run, parts, source, asked)


def _order(parts: "Parts", asked: Asked) -> "RepairOrder":
    from imgctl.ops.repair.order import RepairOrder

    store = parts.settings.store
    prefixes = {"originals_prefix": store.originals_prefix, "variants_prefix": store.variants_prefix}
    return order_of(RepairOrder, asked, orphan_age_seconds=asked.orphan_age, **prefixes)


def _repair(session: Session, run: Running, parts: "Parts", source: "FindingsFile", asked: Asked) -> ExitCode:
    from imgctl.ops.plan import PlanWriter
    from imgctl.ops.repair.order import Fate, check_losses, check_share
    from imgctl.ops.repair.pipeline import repair
    from imgctl.ops.repair.planning import action_of

    order = _order(parts, asked)
    if order.apply:
        check_losses(source, order)
    if order.delete_orphans:
        check_share(source, order, parts, scope=asked.scope)
    fates = dict.fromkeys(Fate, 0)
    with ExitStack() as stack:
        plan = stack.enter_context(PlanWriter(asked.plan, command="repair")) if asked.plan else None
        for outcome in repair(source, order, parts, stop=run.stop):
            fates[outcome.fate] += 1
            run.step(failed=outcome.fate in (Fate.FAILED, Fate.DRIFTED))
            if plan and (action := action_of(outcome.decision, order)):
                plan.add(action)
            show(session, run, outcome)
    conclude(session, fates, apply=order.apply, planned=asked.plan)
    return run.exit_code(partly=fates[Fate.FAILED] + fates[Fate.DRIFTED] > 0)


@contextmanager
def findings_of(parts: "Parts", asked: Asked, run: Running) -> "Iterator[FindingsFile]":
    """The findings as a file that can be read twice: a pipe's and an audit's are kept in a temporary one."""
    from imgctl.ops.audit.findings import FindingsFile

    if asked.findings and asked.has_scope:
        raise UsageError("FINDINGS say themselves what they are about", hint="leave the scope out, or FINDINGS")
    if asked.findings and asked.findings != "-":
        yield FindingsFile(file=Path(asked.findings))
        return
    from imgctl.run.scratch import Scratch

    with Scratch("findings") as scratch:
        file = scratch.path / "findings.jsonl"
        with file.open("wb") as kept:
            if asked.findings:
                shutil.copyfileobj(sys.stdin.buffer, kept)
            else:
                for record in _audited(parts, asked, run):
                    kept.write(json.dumps(record).encode() + b"\n")
        yield FindingsFile(file=file)


def _audited(parts: "Parts", asked: Asked, run: Running) -> Iterator[dict[str, str | int | None]]:
    from imgctl.ops.audit.order import AuditOrder, Tally
    from imgctl.ops.audit.start import audit
    from imgctl.ops.rows import BadId

    bad: list[BadId] = []
    with _chosen(parts, asked) as scope:
        order = AuditOrder(
            chosen=scope,
            grace=_grace(asked),
            stuck_after=timedelta(seconds=asked.stuck_after),
            classes=asked.storage_class,
        )
        for finding in audit(parts, order, tally=Tally(), stop=run.stop, bad=bad):
            yield finding.record()
    for one in bad:
        run.say(f"{one.where}: {one.detail}", always=True)


def _grace(asked: Asked) -> timedelta:
    # Who names an image wants it looked at now; leases and --stuck-after still tell what is in flight.
    usual = timedelta(0) if asked.id else GRACE
    return usual if asked.grace is None else timedelta(seconds=asked.grace)


@contextmanager
def _chosen(parts: "Parts", asked: Asked) -> "Iterator[Chosen]":
    from imgctl.ops.lookup import find_image
    from imgctl.ops.rows import Chosen
    from imgctl.run.scratch import Scratch

    if not asked.id:
        with asked.chosen() as chosen:
            yield chosen
        return
    if asked.ids_from:
        raise UsageError("--id and --ids-from exclude each other", hint="name them all in the file")
    with Scratch("ids") as scratch:
        file = scratch.path / "ids.txt"
        file.write_text("".join(f"{find_image(parts.catalog, one).id}\n" for one in asked.id))
        yield Chosen(scope=asked.scope, ids_from=file)
