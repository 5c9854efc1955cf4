"""`imgctl backfill --metadata`: prints the price, each row, and the changes."""

from datetime import datetime

from imgctl.cli.build.backfill_options import Args, say_resumed
from imgctl.cli.common.session import Running, Session, running
from imgctl.errors import ExitCode
from imgctl.ops.backfill.metadata import Fate, MetadataOrder, Outcome, Value
from imgctl.ops.backfill.metadata_run import MetadataRun, metadata_run, price, reading
from imgctl.ops.common.open import open_parts
from imgctl.ops.common.spend import agree
from imgctl.pricing.estimate import Billing
from imgctl.store.catalog.queries.backfill import Fact
from imgctl.units import count_of, counts_of, format_bytes

WORDS = {Fact.CAPTION: "caption", Fact.TAKEN_AT: "capture time", Fact.SIZE: "size"}


def run_metadata(session: Session, args: Args) -> ExitCode:
    """Show the cost of reading, and read; raises UsageError if it is billed without --yes or --max-usd."""
    terms = session.terms
    agreed = args.yes or args.max_usd is not None
    with (
        args.chosen() as chosen,
        open_parts(session.settings, connections=2) as parts,
        running(session, unit="rows", max_seconds=args.max_duration) as run,
    ):
        order = MetadataOrder(
            chosen=chosen,
            overwrite=frozenset(Fact(one) for one in args.overwrite),
            sidecars_from=args.sidecars_from,
            shard=args.shard,
            reads=agreed or terms.bill is Billing.NONE,
            writes=not args.dry_run,
        )
        with metadata_run(order, parts, stop=run.stop, anew=args.anew or args.dry_run) as looking:
            originals, reads = reading(order, parts, after=looking.checkpoint.resumed.after, stop=run.stop)
            cost, what = price(terms.card, reads), count_of(originals, "original")
            if terms.bill is not Billing.NONE:
                session.data({"type": "estimate", "originals": originals, **cost.record(terms.bill)})
                run.say(f"reading the metadata of {what} costs about: {cost.text(terms.bill)}")
            looks = args.dry_run and not agreed
            agree(f"reading {what}", cost.one_off, terms, yes=args.yes, max_usd=args.max_usd, dry_run=looks)
            return _run(run, looking, args)


def _run(run: Running, looking: MetadataRun, args: Args) -> ExitCode:
    say_resumed(run, looking.checkpoint)
    for one in looking.index():
        run.say(f"{one.fate} {one.path}: {one.detail}", always=True)
    for outcome in looking.outcomes(limit=args.limit):
        _show(run, outcome)
    _conclude(run.session, looking, dry_run=args.dry_run)
    run.say_bad(looking.bad)
    tally, resumed = looking.tally, looking.checkpoint.resumed
    failed = tally.of(Fate.FAILED) + resumed.failed + looking.unreadable + len(looking.bad)
    cold = tally.of(Fate.NEEDS_RESTORE) + resumed.cold
    return run.exit_code(partly=failed > 0 or (args.require_all and cold > 0))


def _show(run: Running, one: Outcome) -> None:
    record = {
        "type": "image",
        "id": one.id,
        "fate": one.fate,
        "changes": {name: {"before": old, "after": new} for name, (old, new) in one.changes.items()},
        "taken_from": one.taken_from,
        "error": one.error,
        "reason": one.reason,
        "storage_class": one.storage_class,
        "bytes": one.size,
    }
    run.item(record, failed=one.fate is Fate.FAILED)
    if one.error:
        run.say(f"{one.fate} {one.id}: {one.error}", always=True)
    elif one.changes and run.session.verbosity > 0:
        run.say(f"{one.fate} {one.id}: {_words(one)}")


def _conclude(session: Session, looking: MetadataRun, *, dry_run: bool) -> None:
    tally, sidecars = looking.tally, looking.sidecars
    facts = ", ".join(count_of(looking.facts[fact], word) for fact, word in WORDS.items() if looking.facts[fact])
    named = {Fate.PLANNED: "would be read", Fate.NEEDS_RESTORE: "to restore first"}
    named |= {Fate.CHANGED: "would change"} if dry_run else {}
    if sidecars:
        session.text(f"{count_of(sidecars.photos, 'photo')} with a sidecar in the source tree")
    session.text(f"{counts_of(tally.fates, named=named, none='nothing to read')}{f' ({facts})' if facts else ''}")
    cold, size = tally.of(Fate.NEEDS_RESTORE), tally.bytes_of(Fate.NEEDS_RESTORE)
    if cold:
        session.text(
            f"archived: {count_of(cold, 'original')} ({format_bytes(size)}) not read; imgctl restore makes them readable"
        )
    session.summary(
        tally.fates,
        facts=looking.facts,
        needs_restore_bytes=size,
        sidecars=sidecars.photos if sidecars else 0,
        unreadable_sources=looking.unreadable,
        bad_ids=len(looking.bad),
        dry_run=dry_run,
    )


def _words(one: Outcome) -> str:
    changes = [f"{name} {_shown(before)} → {_shown(after)}" for name, (before, after) in one.changes.items()]
    return ", ".join(changes) + (f" (from {one.taken_from})" if one.taken_from else "")


def _shown(value: Value) -> str:
    return "nothing" if value is None else value.isoformat() if isinstance(value, datetime) else repr(value)
