"""`imgctl backfill`: builds variants again for rows that are already ready."""

from collections.abc import Sequence
from decimal import Decimal

from imgctl.cli.build.backfill_metadata import run_metadata
from imgctl.cli.build.backfill_options import Args, say_resumed
from imgctl.cli.cold.restore import outcome_record
from imgctl.cli.common.options import order_of
from imgctl.cli.common.render import say_price
from imgctl.cli.common.session import Running, Session, running, subcommand
from imgctl.errors import ExitCode
from imgctl.imaging.recipe_digest import digest
from imgctl.model import Variant
from imgctl.ops.backfill.options import BackfillOrder, Fate, ImageOutcome, Mode, Selection
from imgctl.ops.backfill.start import Backfill, Offer, backfill
from imgctl.ops.common.open import open_parts
from imgctl.ops.common.spend import Terms, agree
from imgctl.ops.restore.options import Fate as Restored
from imgctl.ops.restore.options import RestoreOrder
from imgctl.pricing.estimate import Billing, caveat
from imgctl.pricing.lines import dollars
from imgctl.pricing.moves import hours_words
from imgctl.store.blobs.base import Tier
from imgctl.units import count_of, counts_of, format_bytes

_NAMED = {Fate.PLANNED: "would be built", Fate.NEEDS_RESTORE: "to restore first"}


@subcommand(
    Args,
    changes=lambda args: not args.dry_run,
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
def command(session: Session, args: Args) -> ExitCode:
    """Build variants that are missing or out of date on images that are ready.

    Images stay available and keep their old variants until the new ones are safe. Runs may overlap: each image is
    leased to one of them. The same command continues a stopped or killed run; with --force, --metadata, or --stale
    --variant the progress is kept in the state directory (not with --ids-from). Two runs at once with --force build
    everything twice: give each a --shard. Archived originals are counted and priced, and restored only with --restore.

    With --metadata nothing is built: range requests read the first bytes of originals, and captions, capture times and
    sizes that rows lack are filled in; --overwrite replaces values that differ. Ids, keys and uploaded_at never change.
    The price is shown first; --dry-run changes no row, and reads billed originals only with --yes.
    """
    args.check()
    if args.metadata:
        return run_metadata(session, args)
    terms = session.terms
    if args.restore:
        agree("--restore", None, terms, yes=args.yes, max_usd=args.max_usd, dry_run=args.dry_run)
    selection = order_of(
        Selection,
        args,
        mode=Mode.FORCE if args.force else Mode.STALE if args.stale else Mode.MISSING,
        variants=tuple(one for one in Variant if one in args.variant or not args.variant),
        recipe=digest(session.settings.variants.recipe()),
    )
    with (
        args.chosen() as chosen,
        open_parts(session.settings) as parts,
        running(session, unit="rows", max_seconds=args.max_duration) as run,
        backfill(
            BackfillOrder(
                selection=selection,
                chosen=chosen,
                variants_prefix=session.settings.store.variants_prefix,
                lists_restores=terms.bill is not Billing.OTHER,
            ),
            parts,
            stop=run.stop,
            anew=args.anew,
        ) as filling,
    ):
        restoring = order_of(
            RestoreOrder,
            args,
            tier=Tier((args.restore or "bulk").upper()),
            concurrency=parts.requests,
            limit=None,
            terms=terms,
            budget=args.max_usd,
        )
        return _run(run, filling, restoring, args, terms)


def _run(run: Running, filling: Backfill, restoring: RestoreOrder, args: Args, terms: Terms) -> ExitCode:
    """Build variants, request restores with --restore, and print the result."""
    say_resumed(run, filling.checkpoint)
    _say_price(run, args, terms)
    cold, search, tally = filling.cold, filling.search, filling.tally
    for one in filling.outcomes(limit=args.limit, dry_run=args.dry_run):
        _watch(run, filling, failed=int(one.fate is Fate.FAILED))
        run.count(one.fate, seconds=one.seconds)
        _show(run, one)
    _watch(run, filling)
    offers = cold.offers(terms.card, days=args.days)
    _say_cold(run.session, filling, offers, args, terms)
    if args.restore and not run.stop.is_set():
        for outcome in cold.ask(restoring):
            run.session.data({"type": "restore", **outcome_record(outcome)})
            if outcome.fate in (Restored.FAILED, Restored.MISSING):
                run.say(f"restore of {outcome.seen.image.id}: {outcome.detail}", always=True)
    _conclude(run.session, filling, offers, args, terms)
    run.say_bad(search.bad)
    resumed = filling.checkpoint.resumed
    if deferred := tally.of(Fate.DEFERRED):
        run.session.note(f"{count_of(deferred, 'image')} not built: this machine lacks room or a decoder for them")
    if filling.kept:
        what = f"superseded variants of {count_of(filling.kept, 'image')} stay, as their owners are held"
        run.session.note(f"{what}: after the release, `imgctl repair --delete-orphans` moves them to the trash")
    failed = (
        tally.of(Fate.FAILED, Fate.DEFERRED)
        + resumed.failed
        + len(search.bad)
        + cold.asked.of(Restored.FAILED, Restored.MISSING)
    )
    unread = cold.needs.objects + cold.restoring + resumed.cold
    return run.exit_code(partly=failed > 0 or (args.require_all and unread > 0))


def _say_price(run: Running, args: Args, terms: Terms) -> None:
    """Print the price of an image's requests before the first one; how many images need variants is known at the end."""
    say_price(run, terms, puts=len(args.variant) or len(Variant))
    if fees := terms.fees():
        prices = " to ".join(dict.fromkeys(map(dollars, (min(fees.values()), max(fees.values())))))
        unknown = caveat(terms.card.name, terms.bill)
        run.say(f"originals in {', '.join(fees)}: {unknown}{prices} per GB read")


def _watch(run: Running, filling: Backfill, *, failed: int = 0) -> None:
    """Advance the bar by the rows examined, as few of them may need a variant."""
    run.progress.advance(filling.search.examined - run.progress.items, failed=failed)


def _show(run: Running, one: ImageOutcome) -> None:
    about = {"id": one.id, "fate": one.fate, "variants": one.variants, "error": one.error, "reason": one.reason}
    more = {"storage_class": one.storage_class, "bytes": one.size, "seconds": round(one.seconds, 3)}
    run.session.data({"type": "image", **about, **more})
    if one.error and one.fate in (Fate.FAILED, Fate.BUILT):
        label = "damaged" if one.fate is Fate.BUILT else one.fate.value
        run.say(f"{label} {one.id}: {one.error}", always=one.fate is Fate.FAILED)


def _say_cold(session: Session, filling: Backfill, offers: Sequence[Offer], args: Args, terms: Terms) -> None:
    needs, readable = filling.cold.needs, filling.search.readable_now
    counts = {"readable now": readable, "restoring": filling.cold.restoring, "to restore": needs.objects}
    if any(counts.values()):
        size = f" ({format_bytes(needs.size)})" if needs.objects else ""
        session.text(f"archived: {counts_of(counts)}{size}")
    for offer in offers:
        session.text(f"  {offer.tier.lower()}: {terms.price(offer.usd)}, {hours_words(offer.hours)}")
    if offers and not args.restore:
        session.text("  add --restore bulk --max-usd N to request them; the next run builds their variants")


def _conclude(session: Session, filling: Backfill, offers: Sequence[Offer], args: Args, terms: Terms) -> None:
    tally, search, cold, requests = filling.tally, filling.search, filling.cold, _requests(filling, terms)
    size = tally.bytes_of(Fate.BUILT, Fate.PLANNED)
    session.text(_sentence(filling, size, dry_run=args.dry_run))
    if terms.bill is not Billing.NONE:
        session.text(f"requests: {terms.price(requests)}")
    if retrieval := terms.retrieval(filling.read):
        session.text(f"reading originals in colder classes: {terms.price(retrieval)}")
    reasons = dict(sorted(tally.reasons.counts.items(), key=lambda one: -one[1]))
    if reasons:
        session.text(f"failed: {counts_of(reasons)}")
    if args.restore:
        count = cold.asked.of(Restored.REQUESTED, Restored.EXTENDED, Restored.PLANNED)
        would = "would be requested" if args.dry_run else "requested"
        session.text(f"{count_of(count, 'restore')} {would}, beyond the budget: {cold.asked.of(Restored.LEFT):,}")
    session.summary(
        {fate: count for fate, count in tally.fates.items() if fate is not Fate.NEEDS_RESTORE},
        examined=search.examined,
        variants=filling.variants,
        bytes=size,
        requests_usd=requests,
        retrieval_usd=retrieval,
        reasons=reasons,
        readable_now=search.readable_now,
        needs_restore={
            "images": cold.needs.objects,
            "bytes": cold.needs.size,
            "classes": cold.classes,
            "billing": terms.bill,
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


def _requests(filling: Backfill, terms: Terms) -> Decimal:
    """Return the cost of the requests that read originals and put variants; stored bytes are assumed not to change."""
    return terms.requests(gets=filling.tally.of(Fate.BUILT, Fate.PLANNED), puts=sum(filling.variants.values()))
