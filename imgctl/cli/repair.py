"""`imgctl repair`: repairs an audit's findings; a dry run unless --apply."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import click

from imgctl.cli.common.options import ScopeOptions, flag, option, optional, order_of, stdin_file
from imgctl.cli.common.session import Running, Session, running, subcommand
from imgctl.cli.common.types import ANY_COUNT
from imgctl.errors import ExitCode, UsageError
from imgctl.ops.audit.findings import FindingsFile
from imgctl.ops.audit.options import AuditOrder
from imgctl.ops.common.lookup import find_image
from imgctl.ops.common.open import Parts, open_parts
from imgctl.ops.common.rows import BadId
from imgctl.ops.common.tally import Tally
from imgctl.ops.repair.options import Fate, Outcome, RepairOrder
from imgctl.ops.repair.price import repair_price
from imgctl.ops.repair.start import audited, repair_all
from imgctl.ops.repair.trash import undelete
from imgctl.units import counts_of

GRACE = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(ScopeOptions):
    findings: str | None = optional("[FINDINGS|-]")
    apply: bool = flag("Do the repairs; without it they are only listed.")
    id: tuple[str, ...] = option((), "Audit and repair this image (repeatable).", metavar="ID|KEY|URL")
    grace: float | None = option(
        None, "Ignore blobs and rows younger than this: they are in flight.  [default: 1h; with --id 0s]"
    )
    stuck_after: float = option(900.0, "Repair rows that are uploading or processing for longer.", text="15m")
    storage_class: bool = flag("Also record in each row the storage class of its original.")
    failed: bool = flag("Also retry failed images.")
    delete_orphans: bool = flag("Also move blobs without a row to the trash.")
    erased: bool = flag("Also delete for good blobs of erased images that came back.")
    orphan_age: float = option(7 * 86_400.0, "Keep orphans younger than this.", text="7d")
    max_delete: int = option(
        1000, "With --delete-orphans: repair nothing if there are more orphans than N.", kind=ANY_COUNT, metavar="N"
    )
    max_delete_percent: float = option(
        1.0,
        "With --delete-orphans: repair nothing if more than P percent of the keys in scope are orphans.",
        kind=click.FloatRange(0, 100),
        metavar="P",
    )
    max_lost: int = option(
        100, "Repair nothing if more than N originals are gone or never arrived.", kind=ANY_COUNT, metavar="N"
    )
    plan: Path | None = option(None, "Write the repairs to FILE, for imgctl apply.")
    undelete: str | None = option(
        None, "Restore blobs that were moved to the trash on that day (UTC), or on any day.", metavar="DATE|all"
    )

    @property
    def has_scope(self) -> bool:
        """Whether the options choose rows."""
        return bool(self.id) or self.is_scoped


@subcommand(
    Args,
    changes=lambda args: args.apply,
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
def command(session: Session, args: Args) -> ExitCode:
    """Repair an audit's findings: those printed by `imgctl audit --json`, or those of a new audit of the same scope.

    Stuck rows and rows that lack variants go back to the queue; existing variants are recorded in their rows again;
    promises whose bytes arrived are confirmed, and those whose bytes never did are dropped; rows of lost originals are
    marked failed and keep their variants; orphans go to the trash with --delete-orphans (trash/DATE/ in the store,
    until someone deletes it). Each finding is checked again before its repair; if it no longer applies, nothing is
    done. Exit code 3: a repair failed, its row or blob changed meanwhile, or --ids-from names an image without a row.
    """
    if args.undelete and (args.findings or args.has_scope or args.plan):
        raise UsageError("--undelete cannot be combined with FINDINGS, a scope or --plan", hint="leave them out")
    if args.plan and args.apply:
        raise UsageError("--plan and --apply exclude each other", hint="write the plan, then imgctl apply it")
    with open_parts(session.settings) as parts, running(session, unit="findings") as run:
        if args.undelete:
            return _undelete(run, parts, _day(args.undelete), apply=args.apply)
        store = parts.settings.store
        order = order_of(
            RepairOrder,
            args,
            orphan_age_seconds=args.orphan_age,
            originals_prefix=store.originals_prefix,
            variants_prefix=store.variants_prefix,
        )
        tally = Tally(Fate)
        with _findings(run, parts, args) as (source, bad):
            if price := repair_price(source, order, session.terms):
                # Shown before the money is spent.
                run.say(price, always=session.json)
            for outcome in repair_all(source, order, parts, scope=args.scope, plan=args.plan, stop=run.stop):
                tally.count(outcome.fate)
                _show(run, outcome)
        return _conclude(run, tally, apply=order.apply, planned=args.plan, bad=len(bad))


@contextmanager
def _findings(run: Running, parts: Parts, args: Args) -> Iterator[tuple[FindingsFile, list[BadId]]]:
    """Yield the findings as a file that can be read twice, and the lines of --ids-from that name no image.

    The findings of a pipe or an audit go to a temporary file.
    """
    if args.findings and args.has_scope:
        raise UsageError("FINDINGS and a scope exclude each other", hint="leave one of them out")
    if args.id and args.ids_from:
        raise UsageError("--id and --ids-from exclude each other", hint="list all of them in the file")
    if args.findings == "-":
        with stdin_file("FINDINGS") as file:
            yield FindingsFile(file=file), []
    elif args.findings:
        yield FindingsFile(file=Path(args.findings)), []
    else:
        with args.chosen() as chosen:
            order = AuditOrder(
                chosen=replace(chosen, ids=tuple(find_image(parts.catalog, one).id for one in args.id)),
                grace=_grace(args),
                stuck_after=timedelta(seconds=args.stuck_after),
                classes=args.storage_class,
            )
            with audited(parts, order, stop=run.stop) as (file, bad):
                run.say_bad(bad)
                yield file, bad


def _grace(args: Args) -> timedelta:
    # With --id the user wants the image checked now; leases and --stuck-after still protect rows in flight.
    usual = timedelta(0) if args.id else GRACE
    return usual if args.grace is None else timedelta(seconds=args.grace)


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
    """Restore a day of the trash, or all of it."""
    tally = Tally(Fate)
    for one in undelete(parts, day, apply=apply, stop=run.stop):
        tally.count(one.fate)
        failed = one.fate is Fate.FAILED
        about = {"key": one.key, "trashed": one.trashed, "bytes": one.bytes, "fate": one.fate}
        line = f"{one.trashed}: {one.detail}" if failed else ""
        run.item({"type": "undelete", **about, "detail": one.detail or None}, failed=failed, size=one.bytes, line=line)
        if not failed:
            run.session.text(f"{one.fate:<8}  {one.key or one.trashed}")
    return _conclude(run, tally, apply=apply, planned=None, bad=0)


def _conclude(run: Running, tally: Tally[Fate], *, apply: bool, planned: Path | None, bad: int) -> ExitCode:
    """Print the counts by fate, and the next step."""
    named = {Fate.PLANNED: "would be repaired", Fate.MENDED: "repaired"}
    sentence = counts_of(tally.fates, named=named, none="nothing to repair")
    run.session.summary(tally.fates, sentence, applied=apply, bad_ids=bad)
    if planned and run.stop.is_set():
        run.say_unwritten(planned)
    elif planned:
        run.session.note(f"imgctl apply {planned} --yes does it")
    elif tally.of(Fate.PLANNED):
        run.session.note("nothing was changed: --apply does it")
    return run.exit_code(partly=bad + tally.of(Fate.FAILED, Fate.DRIFTED) > 0)


def _day(text: str) -> str | None:
    if text == "all":
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").date().isoformat()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise UsageError(f"--undelete {text!r} is not a day", hint="write 2026-11-22, or all") from None
