"""`imgctl export`: exports everything of one user as a bag."""

from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

import click

from imgctl.cli.common.options import Options, flag, option, order_of, required
from imgctl.cli.common.session import Running, Session, running, subcommand
from imgctl.cli.common.types import VARIANTS
from imgctl.cli.support.get import blob_record
from imgctl.errors import ExitCode
from imgctl.model import Variant
from imgctl.ops.common.open import Parts, open_parts
from imgctl.ops.common.rows import Chosen
from imgctl.ops.common.spend import agree
from imgctl.ops.export.cost import Found, estimate, survey
from imgctl.ops.export.job import ExportJob
from imgctl.ops.export.options import LEFT_OUT, ExportOrder, Fate, Outcome
from imgctl.ops.restore.job import RestoreJob
from imgctl.ops.restore.options import Fate as Restored
from imgctl.ops.restore.options import Outcome as RestoreOutcome
from imgctl.ops.restore.options import RestoreOrder, State
from imgctl.pricing.costs import retrieval
from imgctl.pricing.estimate import Estimate
from imgctl.pricing.moves import hours_words
from imgctl.store.blobs.base import Tier
from imgctl.store.catalog.queries.lookups import Scope
from imgctl.units import count_of, counts_of, format_bytes

TIERS = ("bulk", "standard", "expedited")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(Options):
    user: UUID = required(UUID, "The owner of the images.")
    out: str = required(str, "A directory, FILE.zip or s3://BUCKET/PREFIX.", metavar="TARGET")
    variants: frozenset[Variant] = option(frozenset(), "Also export these variants: thumb,medium,full.", kind=VARIANTS)
    restore: str | None = option(None, "Restore archived originals, with this tier.", kind=click.Choice(TIERS))
    days: int = option(7, "Days that restored originals stay readable.", kind=click.IntRange(1, 3650))
    partial: bool = flag("Complete the bag without unreadable blobs; left-out.csv in it lists them.")
    max_usd: Decimal | None = option(None, "Spend at most N dollars; replaces --yes.")
    yes: bool = flag("Agree to the estimated cost.")
    dry_run: bool = flag("Write nothing; show what would be exported and its cost.")
    max_duration: float | None = option(None, "Stop cleanly after: 6h; the next run continues.")


@subcommand(
    Args,
    changes=lambda args: not args.dry_run,
    examples="""
imgctl export --user 0190b2b4-0000-7000-8000-000000000001 --out 4711.zip
imgctl export --user 0190b2b4-0000-7000-8000-000000000001 --out s3://bags/4711
""",
    main="--user --out --variants --restore --max-usd --yes --dry-run",
    settings={"upload.concurrency": "Requests in flight; 0: 16."},
)
def command(session: Session, args: Args) -> ExitCode:
    """Export everything of one user: originals under their names, metadata, and checksums of all files.

    The result is a bag (BagIt, RFC 8493), with which the receiver can prove that nothing is missing or changed; `imgctl
    upload` imports it again. Each original is checked against its row while it is copied. The same command continues a
    killed run. Archived originals are left out until they are restored: until then the bag is incomplete, and the exit
    code is 3.
    """
    with (
        open_parts(session.settings) as parts,
        running(session, unit="files", max_seconds=args.max_duration) as run,
    ):
        variants = tuple(one for one in Variant if one in args.variants)
        job = ExportJob(parts=parts, order=order_of(ExportOrder, args, variants=variants), stop=run.stop)
        if job.is_done():
            _say_done(run, job)
            _summary(session, job)
            return run.exit_code(partly=_lacks(job))
        if not args.dry_run and (gone := job.drop_erased()):
            run.say(f"{count_of(gone, 'image')} removed from the unfinished {args.out}: not in the catalog any more")
        _prepare(run, parts, job, args)
        if args.dry_run:
            session.text("nothing was written")
            _summary(session, job)
            return ExitCode.DONE
        for one in job.outcomes():
            _show(run, one)
        _conclude(run, job)
        return run.exit_code(partly=not job.complete or job.tally.of(*LEFT_OUT) > 0)


def _prepare(run: Running, parts: Parts, job: ExportJob, args: Args) -> None:
    """Show what would be exported and its cost, check the agreement to it, and request restores of archived originals."""
    session, found = run.session, survey(parts, job.order)
    terms = session.terms
    cost = estimate(terms.card, found, job.order, store_url=session.settings.store.url)
    whole, variants = found.whole, sum(found.variants.values())
    about = {"originals": whole.objects, "bytes": whole.size, "variants": variants, "archived": found.archived}
    session.data({"type": "estimate", **about, **cost.record(terms.bill)})
    run.say(f"exporting {_words(found)} costs: {cost.text(terms.bill)}")
    # A row may miss what a lifecycle rule did, so with --restore the store is checked too.
    if found.erased:
        run.say(f"erased before: {count_of(found.erased, 'image')} of this user, not part of any export")
    restoring = _restoring(run, parts, args) if found.archived or args.restore else None
    total = cost.one_off
    if restoring is not None:
        needs = restoring.survey()
        total += needs.one_off if args.restore else 0
        _say_archived(run, restoring, args, needs)
    what = f"exporting {count_of(whole.objects, 'original')}"
    agree(what, total, terms, yes=args.yes, max_usd=args.max_usd, dry_run=args.dry_run)
    run.progress.expect(whole.objects + variants)
    if restoring is not None and args.restore and not args.dry_run:
        budget = None if args.max_usd is None else args.max_usd - cost.one_off
        restoring.order = replace(restoring.order, budget=budget)
        for one in restoring.outcomes(plan=None, waits=False):
            assert isinstance(one, RestoreOutcome)
            if one.fate in (Restored.FAILED, Restored.MISSING):
                run.say(f"{one.fate} {one.seen.image.id}: {one.detail}", always=True)
        run.say(counts_of(restoring.tally.fates))


def _restoring(run: Running, parts: Parts, args: Args) -> RestoreJob:
    terms = run.session.terms
    tier = Tier((args.restore or "bulk").upper())
    order = RestoreOrder(tier=tier, days=args.days, concurrency=parts.requests, terms=terms, budget=args.max_usd)
    return RestoreJob(
        parts=parts, chosen=Chosen(scope=Scope(user_id=args.user)), order=order, terms=terms, stop=run.stop
    )


def _say_archived(run: Running, job: RestoreJob, args: Args, cost: Estimate) -> None:
    states, card, tier = job.found.by_state, job.terms.card, job.order.tier
    archived = states[State.ARCHIVED] + states[State.EXPIRED]
    counts = {State.ARCHIVED.value: archived, State.RESTORING.value: states[State.RESTORING]}
    run.session.data({"type": "archived", "tier": tier, **counts, "estimate": cost.record(job.terms.bill)})
    if states[State.RESTORING]:
        run.say(f"{count_of(states[State.RESTORING], 'original')} restoring: run the same command again later")
    if archived:
        classes = sorted(job.found.needs.archived)
        times = ", ".join(f"{name} in {hours_words(retrieval(card, name, tier).hours)}" for name in classes)
        way = "" if args.restore else f"; to restore: --restore {tier.lower()} --max-usd N"
        run.say(
            f"restoring {count_of(archived, 'archived original')} costs: {cost.text(job.terms.bill)}; readable: {times}{way}"
        )


def _words(found: Found) -> str:
    whole, variants = found.whole, sum(found.variants.values())
    also = f" and {count_of(variants, 'variant')}" if variants else ""
    return f"{count_of(whole.objects, 'original')} ({format_bytes(whole.size)}){also}"


def _show(run: Running, one: Outcome) -> None:
    left = one.fate in LEFT_OUT
    # Archived originals are counted: a line for each would fill the screen.
    shown = left and (one.fate is not Fate.ARCHIVED or run.session.verbosity > 0)
    line = f"{one.fate} {one.role} of {one.image}: {one.detail}" if shown else ""
    run.item(blob_record(one, path=one.path), failed=one.fate is Fate.FAILED, size=one.bytes, line=line)


def _conclude(run: Running, job: ExportJob) -> None:
    session, tally, out = run.session, job.tally, job.order.out
    for path in job.strangers:
        run.say(f"{path} is not part of this export: move it away, then run the same command again", always=True)
    if archived := tally.of(Fate.ARCHIVED):
        run.say(f"{count_of(archived, 'original')} archived: use --restore", always=True)
    end = "complete" if job.complete else "not complete: run the same command again once the missing files are readable"
    if not job.complete and tally.of(Fate.FAILED):
        end += ", or with --partial"
    size = format_bytes(tally.bytes_of(Fate.SAVED))
    session.text(f"{counts_of(tally.fates)}; {size} written; {out} is {end}")
    _summary(session, job)


def _say_done(run: Running, job: ExportJob) -> None:
    done, out = job.completion, job.order.out
    assert done is not None
    run.session.text(f"{out} is complete as of {done.as_of:%Y-%m-%d %H:%M:%SZ}: an earlier run finished it")
    if job.newer:
        step = f"export to another --out, or delete {out} to export everything again"
        run.say(f"it lacks {count_of(job.newer, 'image')} uploaded since: {step}", always=True)
    if done.left_out:
        step = "if these can be read now, export to another --out"
        run.say(f"{count_of(done.left_out, 'file')} left out (left-out.csv in it): {step}", always=True)


def _lacks(job: ExportJob) -> bool:
    return job.newer > 0 or (job.completion is not None and job.completion.left_out > 0)


def _summary(session: Session, job: ExportJob) -> None:
    size, done = job.tally.bytes_of(Fate.SAVED), job.completion
    session.summary(
        job.tally.fates,
        out=job.order.out,
        complete=job.complete,
        as_of=None if done is None else done.as_of.isoformat(),
        newer=job.newer,
        left_out=0 if done is None else done.left_out,
        bytes_written=size,
    )
