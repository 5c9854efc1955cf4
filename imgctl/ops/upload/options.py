"""The options of an upload: which files, owners, bounds, and how to upload."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from imgctl.errors import UsageError
from imgctl.imaging.formats import Format
from imgctl.users import UUIDS_ONLY, Users

STDIN = "-"


class UploadedAt(StrEnum):
    """The source of an image's `uploaded_at`, if a manifest has none."""

    NOW = "now"
    TAKEN = "taken"
    MTIME = "mtime"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOrder:
    """How to upload: the most images, the date to file them under, the formats to `leave_out`.

    `takeout_trashed` and `takeout_archived`: whether to upload photos that an export of Google or Apple marks as in the
    bin, and as archived or hidden.
    """

    limit: int | None = None
    uploaded_at: UploadedAt = UploadedAt.NOW
    dry_run: bool = False
    leave_out: frozenset[Format] = frozenset()
    takeout_trashed: bool = False
    takeout_archived: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The files of one upload; sizes in bytes, bounds inclusive; `since` <= modification time < `until`.

    Files come from `paths` and `files_from`, or from `manifest` alone; `-` is the standard input. The owner comes from
    the manifest's line, else `user_id`, else `user_from`, parsed by `users`. `leave_out` holds the real paths of
    imgctl's own directories.
    """

    paths: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    min_size: int | None = None
    max_size: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    files_from: str | None = None
    manifest: str | None = None
    follow_links: bool = False
    junk_filter: bool = True
    user_id: UUID | None = None
    user_from: str | None = None
    users: Users = UUIDS_ONLY
    leave_out: tuple[str, ...] = ()


def check(selection: Selection) -> None:
    """Raise UsageError for a selection with contradictory options, without files or without an owner."""
    _check_sources(selection)
    if selection.user_id is not None and selection.user_from is not None:
        raise UsageError("--user and --user-from both set the owner", hint="give one of them")
    if selection.user_id is None and selection.user_from is None and selection.manifest is None:
        raise UsageError("no owner given", hint="use --user, --user-from or --manifest")
    if selection.min_size is not None and selection.max_size is not None and selection.min_size > selection.max_size:
        raise UsageError("--min-size is larger than --max-size", hint="swap them")
    if selection.since is not None and selection.until is not None and selection.since >= selection.until:
        raise UsageError("--since is not before --until", hint="swap them")


def _check_sources(selection: Selection) -> None:
    if selection.manifest is None:
        if not selection.paths and selection.files_from is None:
            raise UsageError("no files given", hint="give a PATH, --files-from or --manifest")
    elif selection.paths or selection.files_from is not None:
        raise UsageError("--manifest excludes PATH and --files-from", hint="leave out PATH and --files-from")
