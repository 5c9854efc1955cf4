"""`imgctl restore`: makes archived originals readable again."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import click

from imgctl.cli.common.options import ScopeOptions, arguments, flag, option, order_of
from imgctl.cli.common.render import show_table
from imgctl.cli.common.session import Running, Session, running, subcommand
from imgctl.errors import ExitCode, UsageError
from imgctl.model import RETURN_FOR_GOOD
from imgctl.ops.common.lookup import find_image
from imgctl.ops.common.open import open_parts
from imgctl.ops.restore.job import RestoreJob, Round
from imgctl.ops.restore.options import Fate, Outcome, RestoreOrder, Seen, State
from imgctl.ops.restore.survey import Survey
from imgctl.pricing.costs import retrieval
from imgctl.pricing.estimate import Billing, Estimate
from imgctl.pricing.moves import hours_words
from imgctl.store.blobs.base import Tier
from imgctl.units import count_of, counts_of, format_bytes, format_seconds

TIERS = ("bulk", "standard", "expedited")
HEADERS = ("ID", "SIZE", "CLASS", "STATE", "READABLE UNTIL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(ScopeOptions):
    images: tuple[str, ...] = arguments("[ID|KEY|URL]...")
    tier: str = option("bulk", "The speed, and with it the price.", kind=click.Choice(TIERS))
    days: int = option(7, "Days that restored originals stay readable.", kind=click.IntRange(1, 3650))
    max_usd: Decimal | None = option(None, "Spend at most N dollars; replaces --yes.")
    yes: bool = flag("Agree to the estimated cost.")
    permanent: bool = flag("Move restored originals back to STANDARD.")
    wait: bool = flag("Wait and check again until no original is restoring any more.")
    status: bool = flag("Only show which originals are archived, restoring or restored; update the rows.")
    plan: Path | None = option(None, "Write the actions to FILE, for imgctl apply.")
    dry_run: bool = flag("Restore nothing; show the estimate, with --json also each original.")
    limit: int | None = option(None, "Request, extend or move back at most N originals.")
    max_duration: float | None = option(None, "Stop cleanly after: 6h; the next run continues.")
    rate: int = option(500, "Send at most N restore requests a second.", kind=click.IntRange(1, 1000))

    def check(self) -> None:
        """Raise UsageError for options that exclude each other."""
        if self.images and self.is_scoped:
            raise UsageError("images are both named and chosen by options", hint="use one of the two")
        if self.status and (self.wait or self.permanent or self.plan):
            raise UsageError("--status changes nothing in the store", hint="leave out --wait, --permanent and --plan")
        if not self.status and not self.images and not self.is_scoped:
            hint = "name images, or use --user, --since, --until or --ids-from; --status shows all"
            raise UsageError("no originals are chosen", hint=hint)


@subcommand(
    Args,
    # --status writes what it finds to the rows.
    changes=lambda args: not (args.dry_run or args.plan),
    examples="""
imgctl restore 0190b2b4-0000-7000-8000-000000000001 --tier standard --yes
imgctl restore --user 0190b2b4-0000-7000-8000-000000000001 --dry-run
imgctl restore --since 2026-01-01 --days 14 --max-usd 20 --wait
imgctl restore --ids-from wanted.txt --permanent --yes
imgctl restore --since 30d --status --json
""",
    main="--user --tier --days --max-usd --yes --dry-run --wait",
    settings={"upload.concurrency": "Requests in flight; 0: 16."},
)
def command(session: Session, args: Args) -> ExitCode:
    """Make archived originals readable again, for some days or for good.

    Shows the cost first, and restores with --yes or within --max-usd. Originals that are restoring, or restored for --days
    or longer, are not requested again; a shorter restore is extended, which costs no retrieval. --permanent moves the
    originals that are restored by now back to STANDARD; with --wait all of them. Originals on Azure stay readable for good,
    without --permanent.

    \b
    AWS     expedited in minutes (not from DEEP_ARCHIVE), standard in 3 to 12 hours, bulk in 5 to 48
    Azure   expedited in up to an hour (below 10 GB), standard and bulk in up to 15 hours
    """
    args.check()
    terms = session.terms
    with (
        args.chosen() as scope,
        open_parts(session.settings) as parts,
        running(session, unit="originals", max_seconds=args.max_duration) as run,
    ):
        order = order_of(
            RestoreOrder,
            args,
            tier=Tier(args.tier.upper()),
            concurrency=parts.requests,
            dry_run=args.dry_run or args.plan is not None,
            waits=args.wait and args.plan is None,
            terms=terms,
            budget=args.max_usd,
        )
        chosen = replace(scope, ids=tuple(find_image(parts.catalog, name).id for name in args.images))
        job = RestoreJob(parts=parts, chosen=chosen, order=order, terms=terms, stop=run.stop)
        return _status(run, job) if args.status else _restore(run, job, args)


def _status(run: Running, job: RestoreJob) -> ExitCode:
    """Show which originals are archived, restoring or restored."""

    def lines() -> Iterator[tuple[str, ...]]:
        for one in job.status():
            line = f"unknown {one.image.id}: {one.error.line}" if one.error else ""
            run.item({"type": "image", **_record(one)}, failed=one.error is not None, line=line)
            if one.state in (State.ARCHIVED, State.EXPIRED, State.RESTORING, State.RESTORED):
                yield _cells(one)

    show_table(run.session, HEADERS, lines())
    _say_bad(run, job.found)
    run.session.summary(job.found.by_state, _states(job.found))
    return run.exit_code(partly=bool(job.found.bad) or State.UNKNOWN in job.found.states)


def _restore(run: Running, job: RestoreJob, args: Args) -> ExitCode:
    """Show the cost, request the restores, and wait for them with --wait."""
    cost = job.survey()
    _say_bad(run, job.found)
    _say_cost(run, job, cost)
    if run.stop.is_set():
        run.say("stopped before everything was checked: nothing was requested", always=True)
    else:
        job.check_agreed(cost, yes=args.yes)
    run.progress.expect(job.found.states.whole.objects)
    for one in job.outcomes(plan=args.plan, waits=args.wait):
        if isinstance(one, Round):
            due = f"; next check in {format_seconds(one.next_seconds)}" if one.next_seconds else ""
            run.say(counts_of({"restoring": one.restoring, "readable": one.restored}) + due)
        else:
            failed = one.fate in (Fate.FAILED, Fate.MISSING)
            line = f"{one.fate} {one.seen.image.id}: {one.detail}" if failed else ""
            run.item({"type": "image", **outcome_record(one)}, failed=failed, size=one.size, line=line)
    tally = job.tally
    requested, moved = tally.bytes_of(Fate.REQUESTED), tally.bytes_of(Fate.MOVED)
    sentence = counts_of(tally.fates, named={Fate.PLANNED: "would be requested"})
    run.session.summary(tally.fates, sentence, bytes_requested=requested, bytes_moved=moved)
    if job.restoring and not args.wait:
        then = (
            "run the same command then to move them back" if args.permanent else "--status shows when they are readable"
        )
        run.session.note(f"{count_of(job.restoring, 'original')} restoring; {then}, --wait waits for it")
    if args.plan and run.stop.is_set():
        run.say_unwritten(args.plan)
    elif args.plan:
        run.session.note(f"imgctl apply {args.plan} --yes does it")
    undone = tally.of(Fate.FAILED, Fate.MISSING, Fate.CHANGED, Fate.LEFT) > 0
    return run.exit_code(partly=undone or bool(job.found.bad))


def _say_bad(run: Running, found: Survey) -> None:
    for bad in found.bad:
        run.session.data({"type": "bad_id", "where": bad.where, "detail": bad.detail})
    run.say_bad(found.bad)


def _say_cost(run: Running, job: RestoreJob, cost: Estimate) -> None:
    found, bill, order = job.found, job.terms.bill, job.order
    about: dict[str, object] = {"originals": found.objects, "bytes": found.needs.archived.whole.size}
    about |= {"tier": order.tier, "days": order.days} | {state.value: count for state, count in found.by_state.items()}
    run.session.data({"type": "estimate", **about, **cost.record(bill)})
    run.say(_states(found))
    if found.objects:
        run.say(f"restoring {count_of(found.objects, 'original')} costs: {cost.text(bill)}{_hours(job)}")


def _hours(job: RestoreJob) -> str:
    """Return when the requested originals will be readable, by class."""
    classes, order, card = sorted(job.found.needs.archived), job.order, job.terms.card
    if job.terms.bill is Billing.NONE or not classes:
        return ""
    times = [f"{name} in {hours_words(retrieval(card, name, order.tier).hours)}" for name in classes]
    days = f" for {count_of(order.days, 'day')}" if set(classes) - set(RETURN_FOR_GOOD) else ""
    return f"; readable{days}: {', '.join(times)}"


def _states(found: Survey) -> str:
    return f"{count_of(found.states.whole.objects, 'original')}: {counts_of(found.by_state)}"


def _cells(one: Seen) -> tuple[str, ...]:
    blob = one.blob
    until = f"{blob.restored_until:%Y-%m-%d %H:%M}" if blob and blob.restored_until else ""
    size, storage_class = (format_bytes(blob.size), blob.storage_class) if blob else ("", "")
    return (str(one.image.id), size, storage_class, one.state.value, until)


def _record(one: Seen) -> dict[str, object]:
    blob, image = one.blob, one.image
    return {
        "id": image.id,
        "user_id": image.user_id,
        "key": image.original_key,
        "state": one.state,
        "storage_class": blob.storage_class if blob else None,
        "bytes": blob.size if blob else None,
        "restored_until": blob.restored_until if blob else None,
    }


def outcome_record(outcome: Outcome) -> dict[str, object]:
    """Return the outcome for an original as a JSON record."""
    return {**_record(outcome.seen), "fate": outcome.fate, "detail": outcome.detail}
