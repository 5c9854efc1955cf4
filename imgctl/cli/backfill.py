"""`imgctl backfill`: variants built anew on rows that are ready already."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgctl.cli.base import Session, running, subcommand
from imgctl.cli.options import ScopeOptions, flag, option
from imgctl.cli.types import Parsed
from imgctl.errors import ExitCode, UsageError
from imgctl.model import Variant
from imgctl.ops.backfill.order import BackfillOrder, Mode, Selection, Shard

if TYPE_CHECKING:
    from imgctl.ops.rows import Chosen
    from imgctl.ops.spend import Terms

TIERS = ("bulk", "standard", "expedited")
FACTS = ("caption", "taken_at", "size")


def _shard(text: str) -> Shard:
    """`2/8`: the second of eight equal parts."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise UsageError(f"invalid shard {text!r}: write 1/8 to 8/8")
    return Shard(number=int(number), count=int(count))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(ScopeOptions):
    stale: bool = flag("Variants of an out-of-date recipe too, not only missing ones.")
    force: bool = flag("All variants, whether they need it or not.")
    variant: tuple[Variant, ...] = option((), "Only this; repeatable.")
    metadata: bool = flag("Read captions, dates and sizes that rows lack from the originals instead.")
    overwrite: tuple[str, ...] = option((), "With --metadata: replace this; repeatable.", kind=click.Choice(FACTS))
    sidecars_from: str | None = option(
        None, "With --metadata: also read the sidecars beside the photos of this tree.", metavar="DIR"
    )
    verify: bool = flag("Also variants that the store lacks or has empty: lists the store.")
    shard: Shard | None = option(None, "Only the K-th of N equal parts of the images.", kind=Parsed("K/N", _shard))
    limit: int | None = option(None, "End after N images.")
    restore: str | None = option(
        None, "Ask for restores of archived originals, by this tier.", kind=click.Choice(TIERS)
    )
    days: int = option(7, "How long they stay readable.", kind=click.IntRange(1, 3650))
    max_usd: Decimal | None = option(None, "Spend N dollars on restores (or reads) at most; needs no --yes.")
    yes: bool = flag("Spend what the restores (or, with --metadata, the reads) cost.")
    require_all: bool = flag("End with 3 when originals still have to be restored.")
    anew: bool = flag("Begin with the first image though an unfinished run came further.")
    dry_run: bool = flag("Build nothing and ask for nothing; show what would be.")
    max_duration: float | None = option(None, "Stop cleanly after: 6h; the next run goes on.")

    def check(self) -> None:
        """UsageError for what does not fit together, as an option that means nothing beside --metadata."""
        building = ("stale", "force", "variant", "verify", "restore")
        reading = ("overwrite", "sidecars_from")
        for name in building if self.metadata else reading:
            given = f"--{name.replace('_', '-')}"
            if getattr(self, name) and self.metadata:
                raise UsageError(f"--metadata builds no variants, so {given} means nothing", hint="run it without")
            if getattr(self, name):
                raise UsageError(f"{given} is for --metadata", hint="add --metadata")
        if self.sidecars_from and not Path(self.sidecars_from).is_dir():
            raise UsageError(f"--sidecars-from {self.sidecars_from} is not a directory", hint="check the path")
        if self.stale and self.force:
            raise UsageError("--stale and --force together", hint="--force builds the stale ones too")


@subcommand(
    Asked,
    examples="""
imgctl backfill --dry-run
imgctl backfill --stale --max-duration 6h
imgctl backfill --force --variant thumb --user 0190b2b4-0000-7000-8000-000000000001
imgctl backfill --verify --since 30d --json
imgctl backfill --shard 1/4 --restore bulk --max-usd 20
""",
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
