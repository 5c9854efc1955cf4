"""`imgctl backfill`: variants built anew on rows that are ready already."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from imgctl.cli.base import Session, subcommand
from imgctl.cli.cost_types import Amount
from imgctl.cli.running import running
from imgctl.cli.scope import chosen, scope_options
from imgctl.cli.types import Seconds
from imgctl.errors import ExitCode, UsageError
from imgctl.model import Variant
from imgctl.ops.backfill.order import BackfillOrder, Mode, Selection, Shard

if TYPE_CHECKING:
    from imgctl.ops.restore.start import Terms
    from imgctl.ops.rows import Chosen

TIERS = ("bulk", "standard", "expedited")
FACTS = ("caption", "taken_at", "size")


class ShardOf(click.ParamType[Shard]):
    """`2/8`: the second of eight equal parts."""

    name = "k/n"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        if isinstance(value, Shard):
            return value
        number, _, count = str(value).partition("/")
        if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            self.fail(f"invalid shard {value!r}: write 1/8 to 8/8", param, ctx)
        return Shard(number=int(number), count=int(count))


@subcommand(
    examples="""
imgctl backfill --dry-run
imgctl backfill --stale --max-duration 6h
imgctl backfill --force --variant thumb --user 0190b2b4-0000-7000-8000-000000000001
imgctl backfill --verify --since 30d --json
imgctl backfill --shard 1/4 --restore bulk --max-usd 20
""",
    flags={"jobs": "work.jobs", "timeout": "work.timeout", "scheduler": "work.scheduler"},
)
@click.option("--stale", is_flag=True, help="Variants of an out-of-date recipe too, not only missing ones.")
@click.option("--force", is_flag=True, help="All variants, whether they need it or not.")
@click.option(
    "--variant",
    "variants",
    type=click.Choice([one.value for one in Variant]),
    multiple=True,
    help="Only this; repeatable.",
)
@click.option(
    "--metadata", is_flag=True, help="Read captions, dates and sizes that rows lack from the originals instead."
)
@click.option("--overwrite", type=click.Choice(FACTS), multiple=True, help="With --metadata: replace this; repeatable.")
@click.option(
    "--sidecars-from",
    metavar="DIR",
    help="With --metadata: what lies beside the photos of this tree counts too.",
)
@click.option("--verify", is_flag=True, help="Also variants that the store lacks or has empty: lists the store.")
@scope_options
@click.option("--shard", type=ShardOf(), metavar="K/N", help="Only the K-th of N equal parts of the images.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after N images.")
@click.option("--restore", type=click.Choice(TIERS), help="Ask for restores of archived originals, by this tier.")
@click.option("--days", type=click.IntRange(1, 3650), default=7, show_default=True, help="How long they stay readable.")
@click.option(
    "--max-usd", type=Amount(), metavar="N", help="Spend that much on restores (or reads) at most; needs no --yes."
)
@click.option("--yes", is_flag=True, help="Spend what the restores (or, with --metadata, the reads) cost.")
@click.option("--require-all", is_flag=True, help="End with 3 when originals still have to be restored.")
@click.option("--anew", is_flag=True, help="Begin with the first image though an unfinished run came further.")
@click.option("--dry-run", is_flag=True, help="Build nothing and ask for nothing; show what would be.")
@click.option("--max-duration", metavar="TIME", type=Seconds(), help="Stop cleanly after: 6h; the next run goes on.")
@click.option("--jobs", metavar="N", help="Pictures rendered at once; 0: one a core. [work] jobs")
@click.option("--timeout", metavar="TIME", help="A picture that renders longer is given up. [work] timeout")
@click.option("--scheduler", metavar="URL", help="Render on this Dask cluster: tcp://HOST:8786. [work] scheduler")
def command(
    session: Session,
    *,
    stale: bool,
    force: bool,
    variants: tuple[str, ...],
    metadata: bool,
    overwrite: tuple[str, ...],
    sidecars_from: str | None,
    verify: bool,
    user: UUID | None,
    since: datetime | None,
    until: datetime | None,
    ids_from: Path | None,
    shard: Shard | None,
    limit: int | None,
    restore: str | None,
    days: int,
    max_usd: Decimal | None,
    yes: bool,
    require_all: bool,
    anew: bool,
    dry_run: bool,
    max_duration: float | None,
) -> ExitCode:
    """Build variants that are missing or out of date on images that are ready.

    The images stay in service and keep their old variants until the new ones are safe. Runs may overlap: each image is
    leased to one of them. A run that was stopped or killed goes on with the same command; so does --force, which
    remembers in the state directory how far it came (not with --ids-from). Two at once with --force build
    everything twice: give each a --shard. Archived originals are counted and priced, and never restored unasked.

    With --metadata nothing is built: the heads of originals are read by range requests, and captions, capture times and
    sizes that rows lack are filled in; --overwrite replaces those that differ. An id, a key and uploaded_at never change.
    The price is shown first; --dry-run changes no row, and where reading is billed reads only with --yes.
    """
    from imgctl.cli.backfill_job import BackfillJob, Wishes
    from imgctl.cli.backfill_metadata import MetadataWishes, run_metadata
    from imgctl.imaging.recipe import digest
    from imgctl.ops.backfill.metadata import MetadataOrder
    from imgctl.ops.backfill.start import backfill
    from imgctl.ops.parts import open_parts
    from imgctl.ops.restore.start import Request, order_of, terms
    from imgctl.pricing.estimate import Billing
    from imgctl.store.blobs.base import Tier
    from imgctl.store.catalog.backfill import Fact

    building = {"--stale": stale, "--force": force, "--variant": variants, "--verify": verify, "--restore": restore}
    _check(metadata, building, {"--overwrite": overwrite, "--sidecars-from": sidecars_from})
    if sidecars_from and not Path(sidecars_from).is_dir():
        raise UsageError(f"--sidecars-from {sidecars_from} is not a directory", hint="check the path")
    if metadata:
        wanted = MetadataWishes(
            dry_run=dry_run, yes=yes, max_usd=max_usd, limit=limit, require_all=require_all, anew=anew
        )
        with (
            chosen(user=user, since=since, until=until, ids_from=ids_from) as which,
            open_parts(session.settings, connections=2) as parts,
            running(session, unit="rows", max_seconds=max_duration) as run,
        ):
            facts = frozenset(Fact(one) for one in overwrite)
            reread = MetadataOrder(chosen=which, overwrite=facts, sidecars_from=sidecars_from, shard=shard)
            return run_metadata(session, run, parts, reread, wanted)
    selection = Selection(
        mode=_mode(stale=stale, force=force),
        variants=tuple(one for one in Variant if one in variants or not variants),
        recipe=digest(session.settings.variants.recipe()),
        shard=shard,
        verify=verify,
    )
    found = terms(session.settings, endpoint_url=session.endpoint_url)
    agreed = yes or dry_run or max_usd is not None or found.bill is Billing.NONE
    if restore and not agreed:
        raise UsageError("--restore spends money", hint="add --max-usd N or --yes, or --dry-run to see the estimate")
    asked = Request(tier=Tier((restore or TIERS[0]).upper()), days=days, max_usd=max_usd, dry_run=dry_run)
    with (
        chosen(user=user, since=since, until=until, ids_from=ids_from) as which,
        open_parts(session.settings) as parts,
        running(session, unit="rows", max_seconds=max_duration) as run,
        backfill(_order(session, found, which, selection), parts, stop=run.stop, anew=anew) as filling,
    ):
        wishes = Wishes(dry_run=dry_run, limit=limit, days=days, restores=restore is not None, require_all=require_all)
        restoring = order_of(asked, session.settings, found)
        job = BackfillJob(session, run, parts, filling, wishes=wishes, terms=found, restoring=restoring)
        return job.run()


def _check(metadata: bool, building: Mapping[str, object], reading: Mapping[str, object]) -> None:  # noqa: FBT001
    """Raise UsageError for an option that means nothing beside --metadata, or without it."""
    wrong = next((name for name, given in (building if metadata else reading).items() if given), None)
    if wrong and metadata:
        raise UsageError(f"--metadata builds no variants, so {wrong} means nothing", hint="run it without")
    if wrong:
        raise UsageError(f"{wrong} is for --metadata", hint="add --metadata")


def _order(session: Session, found: "Terms", which: "Chosen", selection: Selection) -> BackfillOrder:
    from imgctl.pricing.estimate import Billing

    return BackfillOrder(
        selection=selection,
        chosen=which,
        variants_prefix=session.settings.store.variants_prefix,
        lists_restores=found.bill is not Billing.OTHER,
    )


def _mode(*, stale: bool, force: bool) -> Mode:
    if stale and force:
        raise UsageError("--stale and --force together", hint="--force builds the stale ones too")
    return Mode.FORCE if force else Mode.STALE if stale else Mode.MISSING
