"""What `imgctl backfill` is asked, to build variants or to read metadata."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import click

from imgctl.cli.base import Running
from imgctl.cli.cold.restore import TIERS
from imgctl.cli.options import flag, option
from imgctl.cli.rows import ScopeOptions
from imgctl.cli.types import Parsed
from imgctl.errors import UsageError
from imgctl.model import Variant
from imgctl.ops.backfill.checkpoint import Checkpoint
from imgctl.ops.backfill.order import Shard

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


def say_resumed(run: Running, checkpoint: Checkpoint) -> None:
    """Where an unfinished run is taken up."""
    if (after := checkpoint.resumed.after).int:
        run.say(f"going on behind {after}, where an unfinished run came to (--anew begins at the first)")
