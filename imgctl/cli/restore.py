"""`imgctl restore`: archived originals brought back."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgctl.cli.base import Running, Session, running, subcommand
from imgctl.cli.options import ScopeOptions, arguments, flag, option
from imgctl.cli.render import table
from imgctl.errors import ExitCode, UsageError
from imgctl.model import ARCHIVE_TIERS
from imgctl.units import count_of, counts_of, format_bytes, format_seconds

if TYPE_CHECKING:
    from imgctl.ops.restore.job import RestoreJob
    from imgctl.ops.restore.order import Outcome, Seen
    from imgctl.ops.restore.survey import Survey
    from imgctl.pricing.estimate import Estimate

TIERS = ("bulk", "standard", "expedited")
HEADERS = ("ID", "SIZE", "CLASS", "STATE", "READABLE UNTIL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(ScopeOptions):
    images: tuple[str, ...] = arguments("[ID|KEY|URL]...")
    tier: str = option("bulk", "How fast, at what price.", kind=click.Choice(TIERS))
    days: int = option(7, "How long it stays readable.", kind=click.IntRange(1, 3650))
    max_usd: Decimal | None = option(None, "Spend N dollars at most; agrees to it without --yes.")
    yes: bool = flag("Spend what the estimate says.")
    permanent: bool = flag("Move back to STANDARD what is restored.")
    wait: bool = flag("Look again until nothing is restoring any more.")
    status: bool = flag("Only show what is archived, restoring, restored; note it in the rows.")
    plan: Path | None = option(None, "Write what would be done to FILE.")
    dry_run: bool = flag("Ask for nothing; show the estimate and each original.")
    limit: int | None = option(None, "At most N originals that cost something.")
    max_duration: float | None = option(None, "Stop cleanly after: 6h; the next run goes on.")
    rate: int = option(500, "Restores asked a second.", kind=click.IntRange(1, 1000))

    def check(self) -> None:
        """UsageError for what does not fit together."""
        if self.images and self.is_scoped:
            raise UsageError("images are named, and chosen by options too", hint="one or the other")
        if self.status and (self.wait or self.permanent or self.plan):
            raise UsageError("--status only looks", hint="leave out --wait, --permanent and --plan")
        if not self.status and not self.images and not self.is_scoped:
            hint = "name images, or choose by --user, --since, --until or --ids-from; --status shows all"
            raise UsageError("no originals are chosen", hint=hint)


@subcommand(
    Asked,
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
def command(session: Session, asked: Asked) -> ExitCode:
    """Make archived originals readable again, for some days or for good.

    Says first what it would cost, and acts with --yes or within --max-usd. What is restoring, or restored for --days or
    longer, is not asked for again; what is restored for less is kept longer, which costs no retrieval. Expedited takes
    minutes, standard 3 to 12 hours, bulk 5 to 48. --permanent moves back to STANDARD what is restored by now; with
    --wait all of it.
    """
    from imgctl.ops.lookup import find_image
    from imgctl.ops.parts import open_parts
    from imgctl.ops.restore.job import RestoreJob
    from imgctl.ops.restore.order import CONCURRENCY, RestoreOrder, Wanted
    from imgctl.ops.spend import terms
    from imgctl.pricing.estimate import Billing
    from imgctl.store.blobs.base import Tier

    asked.check()
    settings, who = session.settings, terms(session.settings, endpoint_url=session.endpoint_url)
    order = RestoreOrder(
        tier=Tier(asked.tier.upper()),
        days=asked.days,
        permanent=asked.permanent,
        concurrency=settings.upload.concurrency or CONCURRENCY,
        rate=asked.rate,
        limit=asked.limit,
        dry_run=asked.dry_run or asked.plan is not None,
        # Of those that speak S3, only AWS is known to list restores.
        lists_restores=who.bill is not Billing.OTHER,
        budget=asked.max_usd,
        card=None if who.bill is Billing.NONE else who.card,
    )
    with (
        asked.chosen() as chosen,
        open_parts(settings) as parts,
        running(session, unit="originals", max_seconds=asked.max_duration) as run,
    ):
        wanted = Wanted(ids=tuple(find_image(parts.catalog, name).id for name in asked.images), chosen=chosen)
        cold = parts.store
        job = RestoreJob(parts=parts, cold=cold, wanted=wanted, order=order, who=who, stop=run.stop)
        return _status(session, run, job) if asked.status else _restore(session, run, job, asked)


def _status(session: Session, run: Running, job: "RestoreJob") -> ExitCode:
    """Show how readable the originals are."""
    from imgctl.ops.restore.order import State

    def lines() -> Iterator[tuple[str, ...]]:
        for one in job.status():
            run.step(failed=one.error is not None)
            session.data({"type": "image", **record(one)})
            if one.error is not None:
                run.say(f"unknown {one.image.id}: {one.error.line}", always=True)
            if one.state in (State.ARCHIVED, State.EXPIRED, State.RESTORING, State.RESTORED):
                yield _cells(one)

    for line in table(HEADERS, lines()):
        session.text(line)
    _say_bad(session, run, job.found)
    session.text(_states(job.found))
    session.summary(job.found.by_state)
    return run.exit_code(partly=bool(job.found.bad) or job.found.by_state[State.UNKNOWN] > 0)


def _restore(session: Session, run: Running, job: "RestoreJob", asked: Asked) -> ExitCode:
    """Say what it costs, ask for it, and wait where that is wanted."""
    from imgctl.ops.restore.order import Fate
    from imgctl.ops.restore.wait import Round

    cost = job.survey()
    _say_bad(session, run, job.found)
    _say_cost(session, run, job, cost)
    job.check_agreed(cost, yes=asked.yes)
    run.progress.expect(job.found.states.objects.total())
    sizes: Counter[Fate] = Counter()
    for one in job.outcomes(cost, plan=asked.plan, waits=asked.wait):
        if isinstance(one, Round):
            due = f"; next look in {format_seconds(one.next_seconds)}" if one.next_seconds else ""
            run.say(counts_of({"restoring": one.restoring, "readable": one.restored}) + due)
        else:
            sizes[one.fate] += one.size
            _show(session, run, one)
    fates = {fate: job.fates[fate] for fate in Fate}
    session.text(counts_of(fates, named={Fate.PLANNED: "would be requested"}))
    session.summary(fates, bytes_requested=sizes[Fate.REQUESTED], bytes_moved=sizes[Fate.MOVED])
    if job.restoring and not asked.wait:
        then = "the same again then moves them back" if asked.permanent else "--status shows when they are readable"
        session.note(f"{count_of(job.restoring, 'original')} restoring; {then}, --wait waits for it")
    undone = any(fates[fate] for fate in (Fate.FAILED, Fate.MISSING, Fate.CHANGED, Fate.LEFT))
    return run.exit_code(partly=undone or bool(job.found.bad))


def _show(session: Session, run: Running, outcome: "Outcome") -> None:
    from imgctl.ops.restore.order import Fate

    failed = outcome.fate in (Fate.FAILED, Fate.MISSING)
    run.step(failed=failed, size=outcome.size)
    session.data({"type": "image", **outcome_record(outcome)})
    if failed:
        run.say(f"{outcome.fate} {outcome.seen.image.id}: {outcome.detail}", always=True)


def _say_bad(session: Session, run: Running, found: "Survey") -> None:
    for bad in found.bad:
        session.data({"type": "bad_id", "where": bad.where, "detail": bad.detail})
        run.say(f"{bad.where}: {bad.detail}", always=True)


def _say_cost(session: Session, run: Running, job: "RestoreJob", cost: "Estimate") -> None:
    found, bill, order = job.found, job.who.bill, job.order
    about = {"originals": found.objects, "bytes": found.needs.archived.size.total(), "tier": order.tier}
    states = {state.value: count for state, count in found.by_state.items()}
    session.data({"type": "estimate", **about, "days": order.days, **states, **cost.record(bill)})
    run.say(_states(found))
    if found.objects:
        run.say(f"to restore {count_of(found.objects, 'original')} costs: {cost.text(bill)}{_hours(job)}")


def _hours(job: "RestoreJob") -> str:
    """When what is asked for will be readable, by class."""
    from imgctl.pricing.costs import retrieval
    from imgctl.pricing.estimate import Billing
    from imgctl.pricing.moves import hours_words

    classes, order, card = sorted(job.found.needs.archived.objects), job.order, job.who.card
    if job.who.bill is Billing.NONE or not classes:
        return ""
    times = [f"{name} in {hours_words(retrieval(card, name, order.tier).hours)}" for name in classes]
    days = f" for {count_of(order.days, 'day')}" if set(classes) - set(ARCHIVE_TIERS) else ""
    return f"; readable{days}: {', '.join(times)}"


def _states(found: "Survey") -> str:
    return f"{count_of(sum(found.by_state.values()), 'original')}: {counts_of(found.by_state)}"


def _cells(one: "Seen") -> tuple[str, ...]:
    blob = one.blob
    until = f"{blob.restored_until:%Y-%m-%d %H:%M}" if blob and blob.restored_until else ""
    size, storage_class = (format_bytes(blob.size), blob.storage_class) if blob else ("", "")
    return (str(one.image.id), size, storage_class, one.state.value, until)


def record(one: "Seen") -> dict[str, object]:
    """An original for JSON."""
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


def outcome_record(outcome: "Outcome") -> dict[str, object]:
    """What became of an original, for JSON."""
    return {**record(outcome.seen), "fate": outcome.fate, "detail": outcome.detail}
