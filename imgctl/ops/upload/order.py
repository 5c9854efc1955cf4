"""What a user asks to be uploaded: which files, whose, within which bounds, and how."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from imgctl.errors import UsageError
from imgctl.imaging.formats import Format
from imgctl.users import UUIDS_ONLY, Users

STDIN = "-"


class UploadedAt(StrEnum):
    """What an image's `uploaded_at` is, where a manifest does not say."""

    NOW = "now"
    TAKEN = "taken"
    MTIME = "mtime"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOrder:
    """How to upload: how many images at most, filed under which date, without the formats to `leave_out`.

    Whether to take what an export of Google or Apple says was in the bin, and what was archived or hidden there.
    """

    limit: int | None = None
    uploaded_at: UploadedAt = UploadedAt.NOW
    dry_run: bool = False
    leave_out: frozenset[Format] = frozenset()
    takeout_trashed: bool = False
    takeout_archived: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The choice of files of one upload; sizes in bytes, both ends included; `since` <= modification time < `until`.

    Files come from `paths` and `files_from`, or from `manifest` alone; `-` is the standard input. Owners come from the
    manifest's line, else `user_id`, else `user_from`, read by `users`. Directories to `leave_out` are imgctl's own, by their real paths.
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
    """Raise UsageError for a selection that contradicts itself, names no files or leaves them without an owner."""
    _check_sources(selection)
    if selection.user_id is not None and selection.user_from is not None:
        raise UsageError("--user and --user-from both say whose the files are", hint="give one of them")
    if selection.user_id is None and selection.user_from is None and selection.manifest is None:
        raise UsageError("no owner given", hint="use --user, --user-from or --manifest")
    if selection.min_size is not None and selection.max_size is not None and selection.min_size > selection.max_size:
        raise UsageError("--min-size is larger than --max-size", hint="swap them")
    if selection.since is not None and selection.until is not None and selection.since >= selection.until:
        raise UsageError("--since is not before --until", hint="swap them")


def _check_sources(selection: Selection) -> None:
    if selection.manifest is None:
        if not selection.paths and selection.files_from is None:
            raise UsageError("no files are named", hint="give a PATH, --files-from or --manifest")
    elif selection.paths or selection.files_from is not None:
        raise UsageError("a manifest names the files itself", hint="leave out PATH and --files-from")
