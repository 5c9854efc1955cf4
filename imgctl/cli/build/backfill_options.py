"""The options of `imgctl backfill`, to build variants or to read metadata."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import click

from imgctl.cli.cold.restore import TIERS
from imgctl.cli.common.options import ScopeOptions, flag, option
from imgctl.cli.common.session import Running
from imgctl.cli.common.types import Parsed
from imgctl.errors import UsageError
from imgctl.model import Variant
from imgctl.ops.backfill.checkpoint import Checkpoint
from imgctl.ops.backfill.options import Shard

FACTS = ("caption", "taken_at", "size")


def _shard(text: str) -> Shard:
    """Parse `2/8`: the second of eight equal parts."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise UsageError(f"invalid shard {text!r}: write 1/8 to 8/8")
    return Shard(number=int(number), count=int(count))


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(ScopeOptions):
    stale: bool = flag("Also rebuild variants of an out-of-date recipe.")
    force: bool = flag("Rebuild all variants.")
    variant: tuple[Variant, ...] = option((), "Only this variant; repeatable.")
    metadata: bool = flag("Build nothing; read captions, dates and sizes that rows lack from the originals.")
    overwrite: tuple[str, ...] = option(
        (), "With --metadata: replace this value if it differs; repeatable.", kind=click.Choice(FACTS)
    )
    sidecars_from: str | None = option(
        None, "With --metadata: also read the sidecars next to the photos of this tree.", metavar="DIR"
    )
    verify: bool = flag("Also rebuild variants that are missing or empty in the store; lists the store.")
    shard: Shard | None = option(None, "Only the K-th of N equal parts of the images.", kind=Parsed("K/N", _shard))
    limit: int | None = option(None, "Stop after N images.")
    restore: str | None = option(None, "Restore archived originals, with this tier.", kind=click.Choice(TIERS))
    days: int = option(7, "Days that restored originals stay readable.", kind=click.IntRange(1, 3650))
    max_usd: Decimal | None = option(None, "Spend at most N dollars on restores (or reads); replaces --yes.")
    yes: bool = flag("Agree to the cost of the restores (or, with --metadata, of the reads).")
    require_all: bool = flag("Exit with code 3 if originals still have to be restored.")
    anew: bool = flag("Start again at the first image; ignore the progress of an unfinished run.")
    dry_run: bool = flag("Build and restore nothing; show what would be done.")
    max_duration: float | None = option(None, "Stop cleanly after: 6h; the next run continues.")

    def check(self) -> None:
        """Raise UsageError for options that exclude each other, such as one without effect under --metadata."""
        building = ("stale", "force", "variant", "verify", "restore")
        reading = ("overwrite", "sidecars_from")
        for name in building if self.metadata else reading:
            given = f"--{name.replace('_', '-')}"
            if getattr(self, name) and self.metadata:
                raise UsageError(f"--metadata builds no variants, so {given} has no effect", hint="leave it out")
            if getattr(self, name):
                raise UsageError(f"{given} is for --metadata", hint="add --metadata")
        if self.max_usd is not None and not (self.restore or self.metadata):
            raise UsageError("--max-usd limits restores and reads of metadata only", hint="add --restore or --metadata")
        if self.sidecars_from and not Path(self.sidecars_from).is_dir():
            raise UsageError(f"--sidecars-from {self.sidecars_from} is not a directory", hint="check the path")
        if self.stale and self.force:
            raise UsageError(
                "--stale and --force exclude each other", hint="leave out --stale: --force also builds stale variants"
            )


def say_resumed(run: Running, checkpoint: Checkpoint) -> None:
    """Print the image after which an unfinished run is continued."""
    if (after := checkpoint.resumed.after).int:
        run.say(f"continuing an unfinished run after {after} (--anew starts at the first image)")
