"""`imgctl backfill`: variants built anew on rows that are ready already."""

from collections.abc import Sequence
from decimal import Decimal

from imgctl.cli.base import Running, Session, running, subcommand
from imgctl.cli.build.backfill_metadata import run_metadata
from imgctl.cli.build.backfill_options import Asked, say_resumed
from imgctl.cli.cold.restore import outcome_record
from imgctl.cli.options import order_of
from imgctl.errors import ExitCode
from imgctl.imaging.recipe import digest
from imgctl.model import StorageClass, Variant
from imgctl.ops.backfill.order import BackfillOrder, Fate, ImageOutcome, Mode, Selection
from imgctl.ops.backfill.start import Backfill, Offer, backfill
from imgctl.ops.parts import open_parts
from imgctl.ops.restore.order import Fate as Restored
from imgctl.ops.restore.order import RestoreOrder
from imgctl.ops.spend import Terms, agree, terms
from imgctl.pricing.costs import Operation, request_cost
from imgctl.pricing.estimate import Billing
from imgctl.pricing.lines import dollars
from imgctl.pricing.moves import hours_words
from imgctl.store.blobs.base import Tier
from imgctl.units import count_of, counts_of, format_bytes

_NAMED = {Fate.PLANNED: "would be built", Fate.NEEDS_RESTORE: "to restore first"}


@subcommand(
    Asked,
    changes=lambda asked: not asked.dry_run,
    examples="""
imgctl backfill --dry-run
imgctl backfill --stale --max-duration 6h
imgctl backfill --force --variant thumb --since 30d
imgctl backfill --verify --since 30d --json
imgctl backfill --shard 1/4 --restore bulk --max-usd 20
""",
    main="--dry-run --stale --force --variant --verify --metadata --user",
    settings={"work.jobs": "", "work.timeout": "", "work.scheduler": ""},
)
def command(session: Session, asked: Asked) -> ExitCode:
    """Build variants that are missing or out of date on images that are ready.

    The images stay in service and keep their old variants until the new ones are safe. Runs may overlap: each image is
    leased to one of them. A run that was stopped or killed goes on with the same command; so does --force, which
    remembers in the state directory how far it came (not with --ids-from). Two at once with --force build
    everything twice: give each a --shard. Archived originals are counted and priced, and never restored unasked.

    With --metadata nothing is built: the heads of originals are read by range requests, and captions, capture times and
    sizes that rows lack are filled in; --overwrite replaces those that differ. An id, a key and uploaded_at never change.
    The price is shown first; --dry-run changes no row, and where reading is billed reads only with --yes.
    """
    asked.check()
    if asked.metadata:
        return run_metadata(session, asked)
    who = terms(session.settings, endpoint_url=session.endpoint_url)
    if asked.restore:
        agree("--restore", None, who, yes=asked.yes, max_usd=asked.max_usd, dry_run=asked.dry_run)
    selection = order_of(
        Selection,
        asked,
        mode=Mode.FORCE if asked.force else Mode.STALE if asked.stale else Mode.MISSING,
        variants=tuple(one for one in Variant if one in asked.variant or not asked.variant),
        recipe=digest(session.settings.variants.recipe()),
    )
    with (
        asked.chosen() as chosen,
        open_parts(session.settings) as parts,
        running(session, unit="rows", max_seconds=asked.max_duration) as run,
        backfill(
            BackfillOrder(
                selection=selection,
                chosen=chosen,
                variants_prefix=session.settings.store.variants_prefix,
                lists_restores=who.bill is not Billing.OTHER,
            ),
            parts,
            stop=run.stop,
            anew=asked.anew,
        ) as filling,
    ):
        restoring = order_of(
            RestoreOrder,
            asked,
            tier=Tier((asked.restore or "bulk").upper()),
            concurrency=parts.requests,
            limit=None,
            who=who,
            budget=asked.max_usd,
        )
        return _run(run, filling, restoring, asked, who)


def _run(run: Running, filling: Backfill, restoring: RestoreOrder, asked: Asked, who: Terms) -> ExitCode:
    """Build, ask for restores where they are wanted, and say what was done."""
    say_resumed(run, filling.checkpoint)
    cold, search, tally = filling.cold, filling.search, filling.tally
    for one in filling.outcomes(limit=asked.limit, dry_run=asked.dry_run):
        _watch(run, filling, failed=int(one.fate is Fate.FAILED))
        run.count(one.fate, seconds=one.seconds)
        _show(run, one)
    _watch(run, filling)
    offers = cold.offers(who.card, days=asked.days)
    _say_cold(run.session, filling, offers, asked, who)
    if asked.restore and not run.stop.is_set():
        for outcome in cold.ask(restoring):
            run.session.data({"type": "restore", **outcome_record(outcome)})
            if outcome.fate in (Restored.FAILED, Restored.MISSING):
                run.say(f"restore of {outcome.seen.image.id}: {outcome.detail}", always=True)
    _conclude(run.session, filling, offers, asked, who)
    run.say_bad(search.bad)
    resumed = filling.checkpoint.resumed
    failed = tally.of(Fate.FAILED) + resumed.failed + len(search.bad) + cold.asked.of(Restored.FAILED, Restored.MISSING)
    unread = cold.needs.objects + cold.restoring + resumed.cold
    return run.exit_code(partly=failed > 0 or (asked.require_all and unread > 0))


def _watch(run: Running, filling: Backfill, *, failed: int = 0) -> None:
    """The bar counts rows: few of them may need anything."""
    run.progress.advance(filling.search.examined - run.progress.items, failed=failed)


def _show(run: Running, one: ImageOutcome) -> None:
    about = {"id": one.id, "fate": one.fate, "variants": one.variants, "error": one.error, "reason": one.reason}
    more = {"storage_class": one.storage_class, "bytes": one.size, "seconds": round(one.seconds, 3)}
    run.session.data({"type": "image", **about, **more})
    if one.error and one.fate in (Fate.FAILED, Fate.BUILT):
        label = "damaged" if one.fate is Fate.BUILT else one.fate.value
        run.say(f"{label} {one.id}: {one.error}", always=one.fate is Fate.FAILED)


def _say_cold(session: Session, filling: Backfill, offers: Sequence[Offer], asked: Asked, who: Terms) -> None:
    needs, readable = filling.cold.needs, filling.search.readable_now
    counts = {"readable now": readable, "restoring": filling.cold.restoring, "to restore": needs.objects}
    if any(counts.values()):
        size = f" ({format_bytes(needs.size)})" if needs.objects else ""
        session.text(f"archived: {counts_of(counts)}{size}")
    for offer in offers:
        price = "free" if who.bill is Billing.NONE else dollars(offer.usd)
        session.text(f"  {offer.tier.lower()}: {price}, {hours_words(offer.hours)}")
    if offers and not asked.restore:
        session.text("  the same command with --restore bulk --max-usd N asks for them; the next run builds them")


def _conclude(session: Session, filling: Backfill, offers: Sequence[Offer], asked: Asked, who: Terms) -> None:
    tally, search, cold, requests = filling.tally, filling.search, filling.cold, _requests(filling, who)
    size = tally.bytes_of(Fate.BUILT, Fate.PLANNED)
    session.text(_sentence(filling, size, dry_run=asked.dry_run))
    if asked.dry_run and who.bill is not Billing.NONE:
        session.text(f"requests: {dollars(requests)} by {who.card.name}")
    reasons = dict(sorted(tally.reasons.counts.items(), key=lambda one: -one[1]))
    if reasons:
        session.text(f"failed: {counts_of(reasons)}")
    if asked.restore:
        count = cold.asked.of(Restored.REQUESTED, Restored.EXTENDED, Restored.PLANNED)
        would = "would be requested" if asked.dry_run else "requested"
        session.text(f"{count_of(count, 'restore')} {would}, beyond the budget: {cold.asked.of(Restored.LEFT):,}")
    session.summary(
        {fate: count for fate, count in tally.fates.items() if fate is not Fate.NEEDS_RESTORE},
        examined=search.examined,
        variants=filling.variants,
        bytes=size,
        requests_usd=requests,
        reasons=reasons,
        readable_now=search.readable_now,
        needs_restore={
            "images": cold.needs.objects,
            "bytes": cold.needs.size,
            "classes": cold.classes,
            "billing": who.bill,
            "tiers": {offer.tier.lower(): {"usd": offer.usd, "hours": offer.hours} for offer in offers},
        },
        restores={fate: count for fate, count in cold.asked.fates.items() if count},
        bad_ids=len(search.bad),
    )


def _sentence(filling: Backfill, size: int, *, dry_run: bool) -> str:
    fates = counts_of(filling.tally.fates, named=_NAMED, none="nothing to build")
    variants = counts_of(dict(sorted(filling.variants.items())), none="")
    read = "to read" if dry_run else "read"
    built = f" ({variants}; originals of {format_bytes(size)} {read})" if variants else ""
    return f"{fates}{built}; {count_of(filling.search.examined, 'row')} examined"


def _requests(filling: Backfill, who: Terms) -> Decimal:
    """What reading the originals and putting the variants costs; they stay as large as they were."""
    asked = (
        (Operation.GET, filling.tally.of(Fate.BUILT, Fate.PLANNED)),
        (Operation.PUT, sum(filling.variants.values())),
    )
    costs = (request_cost(who.card, StorageClass.STANDARD, one, count).amount for one, count in asked)
    return sum(costs, Decimal(0))
