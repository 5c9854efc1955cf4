"""The options that choose files, which `upload` and `verify` share."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from imgctl.cli.options import Options, arguments, flag, option, switch
from imgctl.cli.types import FORMATS, SIZE
from imgctl.imaging.formats import Format
from imgctl.ops.upload.order import STDIN, Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionOptions(Options):
    """Which files an upload takes, and whose they are."""

    paths: tuple[str, ...] = arguments("[SOURCE]...")
    user_id: UUID | None = option(None, "The owner of these images.", name="--user")
    user_from: str | None = option(None, "Take the owner from the path: '{user}/**'.", metavar="PATTERN")
    manifest: str | None = option(None, "CSV or JSONL: path, user_id, caption, uploaded_at, name.", metavar="FILE")
    files_from: str | None = option(None, "Take paths from a list, a line each; - is stdin.", metavar="FILE")
    include: tuple[str, ...] = option((), "Only files that match; repeatable.", metavar="GLOB")
    exclude: tuple[str, ...] = option((), "Not what matches; wins over --include.", metavar="GLOB")
    min_size: int | None = option(None, "No smaller files: 10KiB.", kind=SIZE)
    max_size: int | None = option(None, "No larger files: 2GiB.", kind=SIZE)
    since: datetime | None = option(None, "Modified at or after: 24h (ago), 2026-11-22.")
    until: datetime | None = option(None, "Modified before.")
    leave_out: frozenset[Format] = option(frozenset(), "Not these formats: raw,video,psd.", kind=FORMATS)
    takeout_trashed: bool = flag("Also what was in the bin of Google or Apple Photos.")
    takeout_archived: bool = switch(
        "--takeout-archived/--no-takeout-archived", "Also what was archived or hidden there (default)."
    )
    follow_links: bool = flag("Follow symbolic links; loops are found.")
    junk_filter: bool = switch("--junk-filter/--no-junk-filter", "Leave out hidden and system files (default).")


def lists(selection: Selection) -> list[Path]:
    """The files that a selection is read from."""
    return [Path(name) for name in (selection.files_from, selection.manifest) if name not in (None, STDIN)]
