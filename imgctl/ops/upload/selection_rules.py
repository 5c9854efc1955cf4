"""The compiled rules of a selection: which names, sizes and dates it takes, and the owner of each file."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from imgctl.ops.ingest.outcome import FileOutcome, Reason
from imgctl.ops.sources.base import SourceFile, Stat, own_store
from imgctl.ops.upload.globs import Globs, owner_by
from imgctl.ops.upload.options import Selection
from imgctl.units import format_bytes

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER_NS = 1 << 80
# Files that systems, cameras and NAS boxes leave among photos, and that users never mean to upload.
_FILES = frozenset(
    (
        "desktop.ini",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "icon\r",
        "picasa.ini",
        "thumbs.db",
        "thumbs.db:encryptable",
        "zbthumbnail.info",
    )
)
# Thumbnails, bins and snapshots of Synology, QNAP and Asustor; the rest are from Windows, macOS, ext4 and ZIP files.
_DIRECTORIES = frozenset(
    (
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "@__thumb",
        "@eadir",
        "@recently-snapshot",
        "@recycle",
        "@sharebin",
        "@sharesnap",
        "@syno",
        "@tmp",
        "__macosx",
        "lost+found",
        "network trash folder",
        "recycler",
        "system volume information",
        "temporary items",
    )
)


class SelectionRules:
    """Judges the entries of a walk. By name: junk, then `exclude`; by the file: `include`, size, date, owner."""

    def __init__(self, selection: Selection) -> None:
        self.follow_links = selection.follow_links
        self._junk_filter = selection.junk_filter
        self._include = Globs(selection.include)
        self._exclude = Globs(selection.exclude)
        self._smallest = selection.min_size or 0
        self._largest = selection.max_size
        self._since_ns = _nanoseconds(selection.since, otherwise=-_NEVER_NS)
        self._until_ns = _nanoseconds(selection.until, otherwise=_NEVER_NS)
        self._leave_out = frozenset(selection.leave_out)
        self._user_id = selection.user_id
        self._user_from = selection.user_from
        self._named = selection.users.namespace is not None
        self._owner: Callable[[str], UUID | None] | None = None
        if selection.user_from is not None:
            self._owner = owner_by(selection.user_from, selection.users)

    def skip_entry(self, path: str, place: str, *, directory: bool) -> FileOutcome | None:
        """Return the outcome of an entry that is junk or excluded by name, or None; one for a whole directory."""
        if directory and (own := self.own_store(path)) is not None:
            return own
        if self._junk_filter:
            name = place[:-1] if directory else place
            if why := junk(name[name.rfind("/") + 1 :], directory=directory):
                return self.junk(path, why, directory=directory)
        return self.excluded(path, place, directory=directory) if self._exclude else None

    def skip_named(self, path: str, name: str, *, directory: bool) -> FileOutcome | None:
        """Return the outcome of a path from the command line that is system junk or an excluded file, or None."""
        skipped = self.own_store(path) or self.junk(path, system_junk(name, directory=directory), directory=directory)
        return skipped if directory else skipped or self.excluded(path, name)

    def own_store(self, path: str) -> FileOutcome | None:
        """Return the outcome of a path in one of the directories to `leave_out`, or None."""
        if not self._leave_out:
            return None
        real = os.path.realpath(path)
        if not any(real == own or real.startswith(f"{own}/") for own in self._leave_out):
            return None
        return own_store(path)

    def skip_listed(self, path: str, place: str) -> FileOutcome | None:
        """Like `skip_entry` for a file from a list: the directories above it are checked as well."""
        return self.junk(path, listed_junk(place), directory=False) or self.excluded(path, place)

    def junk(self, path: str, why: str | None, *, directory: bool) -> FileOutcome | None:
        """Return the outcome of an entry that is junk because of `why`; None without a reason or a junk filter."""
        if why is None or not self._junk_filter:
            return None
        return FileOutcome.skipped(path, Reason.JUNK, f"{why}{_whole(directory)}; --no-junk-filter uploads it")

    def excluded(self, path: str, place: str, *, directory: bool = False) -> FileOutcome | None:
        """Return the outcome of an entry that matches an exclude pattern, or None."""
        pattern = self._exclude.fitting(place) if self._exclude else None
        if pattern is None:
            return None
        return FileOutcome.skipped(path, Reason.FILTERED, f"--exclude {pattern}{_whole(directory)}")

    def judge(self, path: str, place: str, info: Stat, *, user_id: UUID | None = None) -> SourceFile | FileOutcome:
        """Return the file with its owner (`user_id` if that is known), or the outcome if it is skipped."""
        if (skipped := self._outside(path, place, info)) is not None:
            return skipped
        if user_id is None:
            user_id = self._owner(place) if self._owner else self._user_id
        if user_id is None:
            return self._ownerless(path, info.size)
        return SourceFile(
            path=path,
            size=info.size,
            mtime_ns=info.mtime_ns,
            stamp=info.stamp,
            source=info.source,
            place=info.place,
            member=info.member,
            pinned=info.pinned,
            user_id=user_id,
        )

    def _ownerless(self, path: str, size: int) -> FileOutcome:
        """Return the outcome of a file without an owner."""
        what, hint = ("user", "") if self._named else ("UUID", ", or set [users] namespace to use names and numbers")
        missing = f"its path has no {what} where --user-from {self._user_from} has {{user}}"
        detail = f"{missing if self._user_from else 'no user_id'}; move it or give --user{hint}"
        return FileOutcome.failed(path, Reason.NO_USER, detail, size)

    def _outside(self, path: str, place: str, info: Stat) -> FileOutcome | None:
        """Return the outcome of a file that the patterns, sizes or dates exclude, or None."""
        if self._include and self._include.fitting(place) is None:
            reason, detail = Reason.FILTERED, "no --include pattern matches"
        elif info.size < self._smallest:
            reason, detail = Reason.TOO_SMALL, f"smaller than --min-size {format_bytes(self._smallest)}"
        elif self._largest is not None and info.size > self._largest:
            reason, detail = Reason.TOO_LARGE, f"larger than --max-size {format_bytes(self._largest)}"
        elif info.mtime_ns < self._since_ns:
            reason, detail = Reason.OUTSIDE_DATES, "last changed before --since"
        elif info.mtime_ns >= self._until_ns:
            reason, detail = Reason.OUTSIDE_DATES, "last changed at or after --until"
        else:
            return None
        return FileOutcome.skipped(path, reason, detail, info.size)


def _nanoseconds(moment: datetime | None, *, otherwise: int) -> int:
    return otherwise if moment is None else (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _whole(directory: bool) -> str:  # noqa: FBT001
    return ", with all that is in it" if directory else ""


def junk(name: str, *, directory: bool) -> str | None:
    """Return why a file or directory of this name is junk, or None; ignores case."""
    return "its name begins with a dot" if name.startswith(".") else system_junk(name, directory=directory)


def system_junk(name: str, *, directory: bool) -> str | None:
    """Return why an entry is junk even if the user names it, as `upload *` does, or None."""
    if name.lower() not in (_DIRECTORIES if directory else _FILES):
        return None
    return "a system directory" if directory else "a system file"


def listed_junk(path: str) -> str | None:
    """Return why a file from a list is junk: by its name, or by a system directory above it; or None."""
    *above, name = path.split("/")
    if any(one.lower() in _DIRECTORIES for one in above):
        return "in a system directory"
    return junk(name, directory=False)
