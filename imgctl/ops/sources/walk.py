"""Walk of a directory tree, one entry at a time, and of the directories in a flat listing, in bounded memory."""

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Iterator

from imgctl.ops.ingest.outcome import FileOutcome, Reason
from imgctl.ops.sources.base import Rules, Source, SourceFile, Stat

# Deeper directories are read in one go instead of kept open: file descriptors are scarce.
MOST_OPEN = 64

Identity = tuple[int, int]
# The most directories that are remembered; one that comes up again after as many others is judged and reported again.
_MOST = 16_384


def walk(directory: str, rules: Rules, source: Source, *, place: str = "") -> Iterator[SourceFile | FileOutcome]:
    """Yield every regular file below a directory that the rules take, and an outcome for each other entry.

    `place` is the directory's place: empty for a root, else ending in a slash. Memory is one open directory per level;
    entries come in the order the system lists them.
    """
    return _Walk(rules, source).below(directory, place)


def name_of(path: str) -> str:
    """Return the last name of a path, ignoring slashes at its end; empty for the root directory."""
    return path.rstrip("/").rpartition("/")[2]


class _Level:
    """One open directory of a walk: its remaining entries, and its identity."""

    __slots__ = ("_scan", "entries", "identity", "path", "place")

    def __init__(self, path: str, place: str, identity: Identity | None, *, hold_open: bool) -> None:
        self.path = path
        self.place = place
        self.identity = identity
        self._scan = os.scandir(path)
        self.entries: Iterator[os.DirEntry[str]] = self._scan
        if not hold_open:
            with self._scan:
                self.entries = iter(list(self._scan))

    def close(self) -> None:
        self._scan.close()


class _Walk:
    """A walk below one directory, with an explicit stack of levels, so that recursion doesn't limit the depth."""

    def __init__(self, rules: Rules, source: Source) -> None:
        self._rules = rules
        self._source = source
        self._levels: list[_Level] = []

    def below(self, directory: str, place: str) -> Iterator[SourceFile | FileOutcome]:
        try:
            if (why := self._enter(directory, place)) is not None:
                yield why
            while self._levels:
                level = self._levels[-1]
                try:
                    entry = next(level.entries, None)
                except OSError as error:
                    yield refused(level.path, error)
                    entry = None
                if entry is None:
                    self._levels.pop().close()
                elif (one := self._judged(entry, level.place + entry.name)) is not None:
                    yield one
        finally:
            for level in self._levels:
                level.close()

    def _judged(self, entry: os.DirEntry[str], place: str) -> SourceFile | FileOutcome | None:
        """Return the file or the outcome of an entry; None for a directory that was entered."""
        rules, path = self._rules, entry.path
        try:
            if entry.is_symlink() and not rules.follow_links:
                return rules.skip_entry(path, place, directory=False) or _link(path)
            directory = entry.is_dir()
            if directory:
                place += "/"
            if (skipped := rules.skip_entry(path, place, directory=directory)) is not None:
                return skipped
            return self._enter(path, place) if directory else classified(path, place, entry.stat(), rules, self._source)
        except OSError as error:
            return refused(path, error)

    def _enter(self, directory: str, place: str) -> FileOutcome | None:
        try:
            identity = _identity(directory) if self._rules.follow_links else None
            if identity is not None and any(level.identity == identity for level in self._levels):
                return _loop(directory)
            self._levels.append(_Level(directory, place, identity, hold_open=len(self._levels) < MOST_OPEN))
        except OSError as error:
            return refused(directory, error)
        return None


def _identity(directory: str) -> Identity:
    info = os.stat(directory)  # noqa: PTH116
    return info.st_dev, info.st_ino


def classified(path: str, place: str, info: os.stat_result, rules: Rules, source: Source) -> SourceFile | FileOutcome:
    """Return a file as the rules judge it, or the outcome of a link, a pipe or a device."""
    if stat.S_ISREG(info.st_mode):
        return rules.judge(path, place, stat_of(info, source))
    if stat.S_ISLNK(info.st_mode):
        return _link(path)
    return FileOutcome.skipped(path, Reason.NOT_A_FILE, f"a {_kind(info.st_mode)} is not a file")


def stat_of(info: os.stat_result, source: Source) -> Stat:
    """Return the Stat of a local file from its stat result."""
    return Stat(info.st_size, info.st_mtime_ns, info.st_ino, source)


def _kind(mode: int) -> str:
    names = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}
    return names.get(stat.S_IFMT(mode), "special file")


def _link(path: str) -> FileOutcome:
    return FileOutcome.skipped(path, Reason.LINK, "a symbolic link is not followed")


def _loop(path: str) -> FileOutcome:
    return FileOutcome.skipped(path, Reason.LOOP, "a link to a directory above it")


def refused(path: str, error: OSError | ValueError) -> FileOutcome:
    """Return the outcome of a path for which the system returns an error."""
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return _loop(path)
    missing = isinstance(error, FileNotFoundError | ValueError)
    reason = Reason.NOT_FOUND if missing else Reason.UNREADABLE
    denied = isinstance(error, PermissionError)
    step = "check the path" if missing else "check its permissions" if denied else "check it"
    message = error.strerror if isinstance(error, OSError) else None
    return FileOutcome.failed(path, reason, f"{(message or str(error)).lower()}; {step} and run the same command again")


class Branches:
    """Applies the rules to the directories above each listed file, as a walk from the `root` would."""

    def __init__(self, root: str, rules: Rules) -> None:
        self._root = root
        self._rules = rules
        self._skipped: OrderedDict[str, bool] = OrderedDict({"": False})

    def skipped(self, place: str) -> tuple[bool, FileOutcome | None]:
        """Return whether a file is skipped by its name or a directory's, and the outcome to report.

        A directory's outcome is returned only for its first file.
        """
        skipped, outcome = self._branch_skipped(place)
        if not skipped:
            outcome = self._rules.skip_entry(self._root + place, place, directory=False)
        return skipped or outcome is not None, outcome

    def _branch_skipped(self, place: str) -> tuple[bool, FileOutcome | None]:
        directory = place[: place.rfind("/") + 1]
        if (known := self._skipped.get(directory)) is not None:
            return known, None
        outcome = None
        at = place.find("/")
        while at >= 0:
            branch = place[: at + 1]
            if branch not in self._skipped:
                # An empty name between two slashes, or before a leading one, is not a directory to judge.
                nameless = branch.endswith("//") or branch == "/"
                outcome = None if nameless else self._rules.skip_entry(self._root + branch[:-1], branch, directory=True)
                self._keep(branch, skipped=outcome is not None)
            if self._skipped[branch]:
                self._keep(directory, skipped=True)
                return True, outcome
            at = place.find("/", at + 1)
        return False, None

    def _keep(self, branch: str, *, skipped: bool) -> None:
        self._skipped[branch] = skipped
        if len(self._skipped) > _MOST:
            self._skipped.popitem(last=False)
