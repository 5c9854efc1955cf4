"""`imgctl repair`: repairs what an audit found; dry unless told otherwise."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import click

from imgctl.cli.base import Running, Session, running, subcommand
from imgctl.cli.options import flag, option, optional, order_of, stdin_file
from imgctl.cli.rows import ScopeOptions
from imgctl.cli.types import ANY_COUNT
from imgctl.errors import ExitCode, UsageError
from imgctl.ops.audit.findings import FindingsFile
from imgctl.ops.audit.order import AuditOrder
from imgctl.ops.lookup import find_image
from imgctl.ops.parts import Parts, open_parts
from imgctl.ops.repair.order import Fate, Outcome, RepairOrder
from imgctl.ops.repair.start import audited, repair_all
from imgctl.ops.repair.trash import undelete
from imgctl.ops.tally import Tally
from imgctl.units import counts_of

GRACE = timedelta(hours=1)


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
    erased: bool = flag("Also delete for good what came back of erased images.")
    orphan_age: float = option(7 * 86_400.0, "Younger orphans stay.", text="7d")
    max_delete: int = option(
        1000, "Refuse to delete anything where there are more orphans.", kind=ANY_COUNT, metavar="N"
    )
    max_delete_percent: float = option(
        1.0, "The same, as a share of the keys in scope.", kind=click.FloatRange(0, 100), metavar="P"
    )
    max_lost: int = option(100, "Refuse to act where more originals than that are gone.", kind=ANY_COUNT, metavar="N")
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
    changes=lambda asked: asked.apply,
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
    if asked.undelete and (asked.findings or asked.has_scope or asked.plan):
        raise UsageError("--undelete goes by the day alone", hint="leave FINDINGS, the scope and --plan out")
    if asked.plan and asked.apply:
        raise UsageError("--plan and --apply exclude each other", hint="write the plan, then imgctl apply it")
    with open_parts(session.settings) as parts, running(session, unit="findings") as run:
        if asked.undelete:
            return _undelete(run, parts, _day(asked.undelete), apply=asked.apply)
        store = parts.settings.store
        order = order_of(
            RepairOrder,
            asked,
            orphan_age_seconds=asked.orphan_age,
            originals_prefix=store.originals_prefix,
            variants_prefix=store.variants_prefix,
        )
        tally = Tally(Fate)
        with _findings(run, parts, asked) as source:
            for outcome in repair_all(source, order, parts, scope=asked.scope, plan=asked.plan, stop=run.stop):
                tally.count(outcome.fate)
                _show(run, outcome)
        return _conclude(run, tally, apply=order.apply, planned=asked.plan)


@contextmanager
def _findings(run: Running, parts: Parts, asked: Asked) -> Iterator[FindingsFile]:
    """The findings as a file that can be read twice: a pipe's and an audit's are kept in a temporary one."""
    if asked.findings and asked.has_scope:
        raise UsageError("FINDINGS say themselves what they are about", hint="leave the scope out, or FINDINGS")
    if asked.id and asked.ids_from:
        raise UsageError("--id and --ids-from exclude each other", hint="name them all in the file")
    if asked.findings == "-":
        with stdin_file() as file:
            yield FindingsFile(file=file)
    elif asked.findings:
        yield FindingsFile(file=Path(asked.findings))
    else:
        with asked.chosen() as chosen:
            order = AuditOrder(
                chosen=replace(chosen, ids=tuple(find_image(parts.catalog, one).id for one in asked.id)),
                grace=_grace(asked),
                stuck_after=timedelta(seconds=asked.stuck_after),
                classes=asked.storage_class,
            )
            with audited(parts, order, stop=run.stop) as (file, bad):
                run.say_bad(bad)
                yield file


def _grace(asked: Asked) -> timedelta:
    # Who names an image wants it looked at now; leases and --stuck-after still tell what is in flight.
    usual = timedelta(0) if asked.id else GRACE
    return usual if asked.grace is None else timedelta(seconds=asked.grace)


def _show(run: Running, outcome: Outcome) -> None:
    decision, fate = outcome.decision, outcome.fate
    finding = decision.finding
    about = {"code": finding.code, "do": decision.do, "fate": fate, "id": finding.id, "key": decision.key}
    word = "repaired" if fate is Fate.MENDED else fate.value
    name = str(finding.id or decision.key)
    line = f"{word:<8}  {decision.do:<8}  {finding.code:<17}  {name}  {outcome.detail}"
    failed = fate in (Fate.FAILED, Fate.DRIFTED)
    run.item({"type": "repair", **about, "detail": outcome.detail}, failed=failed, line=line if failed else "")
    if not failed and (fate is not Fate.WELL or run.session.verbosity > 0):
        run.session.text(line)


def _undelete(run: Running, parts: Parts, day: str | None, *, apply: bool) -> ExitCode:
    """Bring back a day of the trash, or all of it."""
    tally = Tally(Fate)
    for one in undelete(parts, day, apply=apply, stop=run.stop):
        tally.count(one.fate)
        failed = one.fate is Fate.FAILED
        about = {"key": one.key, "trashed": one.trashed, "bytes": one.bytes, "fate": one.fate}
        line = f"{one.trashed}: {one.detail}" if failed else ""
        run.item({"type": "undelete", **about, "detail": one.detail or None}, failed=failed, size=one.bytes, line=line)
        if not failed:
            run.session.text(f"{one.fate:<8}  {one.key or one.trashed}")
    return _conclude(run, tally, apply=apply, planned=None)


def _conclude(run: Running, tally: Tally[Fate], *, apply: bool, planned: Path | None) -> ExitCode:
    """How many ended how, and the next step."""
    named = {Fate.PLANNED: "would be repaired", Fate.MENDED: "repaired"}
    told = counts_of(tally.fates, named=named, none="nothing to repair")
    run.session.summary(tally.fates, told, applied=apply)
    if planned and run.stop.is_set():
        run.say(f"stopped before everything was looked at: {planned} was not written", always=True)
    elif planned:
        run.session.note(f"imgctl apply {planned} --yes does it")
    elif tally.of(Fate.PLANNED):
        run.session.note("nothing was changed: --apply does it")
    return run.exit_code(partly=tally.of(Fate.FAILED, Fate.DRIFTED) > 0)


def _day(text: str) -> str | None:
    if text == "all":
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").date().isoformat()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise UsageError(f"--undelete {text!r} is not a day", hint="write 2026-11-22, or all") from None
