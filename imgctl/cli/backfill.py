"""`imgctl backfill`: variants built anew on rows that are ready already."""

from typing import TYPE_CHECKING

from imgctl.cli.backfill_options import Asked
from imgctl.cli.base import Session, running, subcommand
from imgctl.errors import ExitCode
from imgctl.model import Variant
from imgctl.ops.backfill.order import BackfillOrder, Mode, Selection

if TYPE_CHECKING:
    from imgctl.ops.rows import Chosen
    from imgctl.ops.spend import Terms


@subcommand(
    Asked,
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
    return _metadata(session, asked) if asked.metadata else _variants(session, asked)


def _metadata(session: Session, asked: Asked) -> ExitCode:
    from imgctl.cli.backfill_metadata import run_metadata
    from imgctl.ops.backfill.metadata import MetadataOrder
    from imgctl.ops.parts import open_parts
    from imgctl.store.catalog.backfill import Fact

    with (
        asked.chosen() as chosen,
        open_parts(session.settings, connections=2) as parts,
        running(session, unit="rows", max_seconds=asked.max_duration) as run,
    ):
        facts = frozenset(Fact(one) for one in asked.overwrite)
        order = MetadataOrder(chosen=chosen, overwrite=facts, sidecars_from=asked.sidecars_from, shard=asked.shard)
        return run_metadata(session, run, parts, order, asked)


def _variants(session: Session, asked: Asked) -> ExitCode:
    from imgctl.cli.backfill_job import BackfillJob
    from imgctl.ops.backfill.start import backfill
    from imgctl.ops.parts import open_parts
    from imgctl.ops.spend import agree, terms

    who = terms(session.settings, endpoint_url=session.endpoint_url)
    if asked.restore:
        agree("--restore", None, who, yes=asked.yes, max_usd=asked.max_usd, dry_run=asked.dry_run)
    with (
        asked.chosen() as chosen,
        open_parts(session.settings) as parts,
        running(session, unit="rows", max_seconds=asked.max_duration) as run,
        backfill(_order(session, asked, who, chosen), parts, stop=run.stop, anew=asked.anew) as filling,
    ):
        return BackfillJob(session, run, parts, filling, asked=asked, who=who).run()


def _order(session: Session, asked: Asked, who: "Terms", chosen: "Chosen") -> BackfillOrder:
    from imgctl.imaging.recipe import digest
    from imgctl.pricing.estimate import Billing

    selection = Selection(
        mode=Mode.FORCE if asked.force else Mode.STALE if asked.stale else Mode.MISSING,
        variants=tuple(one for one in Variant if one in asked.variant or not asked.variant),
        recipe=digest(session.settings.variants.recipe()),
        shard=asked.shard,
        verify=asked.verify,
    )
    return BackfillOrder(
        selection=selection,
        chosen=chosen,
        variants_prefix=session.settings.store.variants_prefix,
        lists_restores=who.bill is not Billing.OTHER,
    )
