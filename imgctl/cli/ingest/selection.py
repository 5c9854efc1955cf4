"""Options that choose files, shared by `upload` and `verify`."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from imgctl.cli.common.options import Options, arguments, flag, option, switch
from imgctl.cli.common.types import FORMATS, SIZE
from imgctl.imaging.formats import Format
from imgctl.ops.upload.order import STDIN, Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionOptions(Options):
    """Options that choose files and their owners."""

    paths: tuple[str, ...] = arguments("[SOURCE]...")
    user_id: UUID | None = option(None, "The owner of these images.", name="--user")
    user_from: str | None = option(None, "Take the owner from the path: '{user}/**'.", metavar="PATTERN")
    manifest: str | None = option(None, "CSV or JSONL: path, user_id, caption, uploaded_at, name.", metavar="FILE")
    files_from: str | None = option(None, "Take paths from FILE, one per line; - is stdin.", metavar="FILE")
    include: tuple[str, ...] = option((), "Only matching files; repeatable.", metavar="GLOB")
    exclude: tuple[str, ...] = option((), "Leave out matching files; wins over --include.", metavar="GLOB")
    min_size: int | None = option(None, "Leave out smaller files: 10KiB.", kind=SIZE)
    max_size: int | None = option(None, "Leave out larger files: 2GiB.", kind=SIZE)
    since: datetime | None = option(None, "Modified at this time or later: 24h (ago), 2026-11-22.")
    until: datetime | None = option(None, "Modified before this time.")
    leave_out: frozenset[Format] = option(frozenset(), "Leave out these formats: raw,video,psd.", kind=FORMATS)
    takeout_trashed: bool = flag("Also upload photos from the bin of Google or Apple Photos.")
    takeout_archived: bool = switch(
        "--takeout-archived/--no-takeout-archived", "Also upload photos archived or hidden there (default)."
    )
    follow_links: bool = flag("Follow symbolic links; loops are detected.")
    junk_filter: bool = switch("--junk-filter/--no-junk-filter", "Leave out hidden and system files (default).")


def lists(selection: Selection) -> list[Path]:
    """Return the list and manifest files of a selection."""
    return [Path(name) for name in (selection.files_from, selection.manifest) if name not in (None, STDIN)]
