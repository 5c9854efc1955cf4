"""Upload of a watched directory: the existing files, then each new file once it is complete."""

import fcntl
import logging
import os
import signal
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from imgctl.config.settings import Settings
from imgctl.errors import ConfigError, ImgctlError, UsageError, out_of_files
from imgctl.keys import is_utf8
from imgctl.ops.common.retry import StopSignal
from imgctl.ops.ingest.outcome import Fate, FileOutcome
from imgctl.ops.sources.base import SourceFile
from imgctl.ops.sources.open import Sources
from imgctl.ops.sources.walk import classified, refused, walk
from imgctl.ops.upload.inotify import is_used_up
from imgctl.ops.upload.options import Selection, UploadOrder, check
from imgctl.ops.upload.selection_rules import SelectionRules
from imgctl.ops.upload.start import Taking, own_directories, taking
from imgctl.store.blobs.base import BlobStore

log = logging.getLogger(__name__)

_TICK_MILLISECONDS, _STEP_MILLISECONDS = 500, 50
# Rescans find files whose events were lost: the kernel drops events once its queue is full.
RESCAN_SECONDS = 3600.0
# The same after an event that watchfiles cannot report: one with a name that is not UTF-8. The time doubles, up to a minute,
# while such events go on: a scan causes them itself, by opening a directory of such a name.
LOST_SECONDS, MOST_LOST_SECONDS = 5.0, 60.0

# Files that are known to be reported, about 20 MB; with more the next walk reports all again.
MOST_REPORTED = 2**18


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOrder:
    """A file is uploaded after `settle` seconds without a write; `poll` polls, for network file systems."""

    settle: float = 2.0
    poll: bool = False


@contextmanager
def watching(
    settings: Settings,
    selection: Selection,
    order: UploadOrder,
    watch: WatchOrder,
    *,
    store: BlobStore,
    journal: Path | None,
    stop: StopSignal,
    report: Callable[[str], None],
) -> Iterator[Iterator[FileOutcome]]:
    """Upload the one directory of a selection, and new files in it, until stopped; one outcome per file."""
    check(selection)
    (directory,) = selection.paths
    if not os.path.isdir(directory):  # noqa: PTH112  # a str keeps bytes that are no UTF-8
        raise UsageError(f"{directory} is not a directory", hint="imgctl upload takes files")
    with closing(Sources(settings, follow_links=selection.follow_links)) as sources:
        apart = own_directories(settings.store)
        rules = SelectionRules(replace(selection, leave_out=apart))
        if rules.own_store(directory) is not None:
            raise UsageError(f"{directory} lies in the store itself", hint="watch another directory")
        found = WatchedDirectory(directory, rules, sources, watch, apart=apart, stop=stop)
        how = Taking(order=order, journal=journal, report=report)
        with taking(settings, found.files(), how, store=store, stop=stop) as outcomes:
            yield _news(outcomes)


def _news(outcomes: Iterable[FileOutcome]) -> Iterator[FileOutcome]:
    """Yield the outcomes without those of skipped and present files that were reported before and have not changed."""
    reported: set[int] = set()
    for outcome in outcomes:
        may_repeat = outcome.fate in (Fate.SKIPPED, Fate.PRESENT, Fate.UPLOADED)
        if not may_repeat or (state := _state(outcome.path)) is None:
            yield outcome
            continue
        # A hash each, as there may be many. An uploaded file is present from the next walk on.
        one = hash((outcome.path, outcome.reason if outcome.fate is Fate.SKIPPED else None, state))
        if outcome.fate is Fate.UPLOADED or one not in reported:
            yield outcome
        if len(reported) >= MOST_REPORTED:
            reported.clear()
        reported.add(one)


def _state(path: str) -> tuple[int, int] | None:
    """Return size and mtime of a file; the same for every directory, which changes with its files; None for no file."""
    try:
        info = os.stat(path, follow_symlinks=False)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return (0, 0) if stat.S_ISDIR(info.st_mode) else (info.st_size, info.st_mtime_ns)


class WatchedDirectory:
    """The files of a directory, existing and new; for one thread."""

    def __init__(
        self,
        directory: str,
        rules: SelectionRules,
        sources: Sources,
        order: WatchOrder,
        *,
        apart: tuple[str, ...] = (),
        stop: StopSignal,
    ) -> None:
        self._root = directory.rstrip("/") or "/"
        self._rules = rules
        self._source = sources.local
        self._order = order
        self._apart = tuple(f"{one}/" for one in apart)
        self._stop = stop
        self._is_limited = False
        # Files that may be incomplete: size and mtime at the last check, and the time of that check.
        self._unsettled: dict[str, tuple[tuple[int, int], float]] = {}
        self._has_lost_events = False
        self._lost_at, self._lost_seconds = -RESCAN_SECONDS, LOST_SECONDS

    def files(self) -> Iterator[SourceFile | FileOutcome | None]:
        """Yield all existing files, then new ones; None when there are no more for now."""
        changes = self._changes()
        # The watch begins before the walk, so that no new file is missed.
        next(changes, None)
        self._check_limit()
        yield from self._walked(self._root)
        scanned = time.monotonic()
        for changed in changes:
            for path in changed:
                yield from self._changed(path)
            yield from self._settled()
            if time.monotonic() > scanned + (self._lost_seconds if self._has_lost_events else RESCAN_SECONDS):
                if self._has_lost_events:
                    self._lost_seconds = min(2 * self._lost_seconds, MOST_LOST_SECONDS)
                self._has_lost_events = False
                yield from self._walked(self._root)
                scanned = time.monotonic()
            yield None
            if self._stop.is_set():
                return

    def _changes(self) -> Iterator[list[str]]:
        while not self._stop.is_set():
            began = False
            try:
                for changed in self._events():
                    began = True
                    yield changed
            except RuntimeError as error:
                # watchfiles has no other name for it. It follows links, where it polls, whatever they lead to.
                if out_of_files(error):
                    raise self._unwatchable() from None
                if not any(said in str(error) for said in ("decode path", "File system loop")):
                    raise
                # It ended the watch, and took the events of other files with it.
                self._lose_events(time.monotonic())
                if not began:
                    # Each start opens a directory of such a name: what comes is found by scans alone.
                    self._stop.wait(_TICK_MILLISECONDS / 1000)
                    yield []

    def _unwatchable(self) -> ImgctlError:
        hint = "raise fs.inotify.max_user_instances (sysctl) or ulimit -n, or use --poll"
        return ImgctlError(f"{self._root} cannot be watched: Too many open files", hint=hint)

    def _check_limit(self) -> None:
        """Report once that the system may not watch all directories: new files in the others wait for the next walk."""
        if not (self._is_limited or self._order.poll) and is_used_up(self._root):
            self._is_limited = True
            log.warning(
                "no more directories can be watched: new files in some below %s may wait for the hourly walk "
                "(raise fs.inotify.max_user_watches by sysctl and start again, or use --poll)",
                self._root,
            )

    def _lose_events(self, now: float) -> None:
        if now > self._lost_at + 2 * self._lost_seconds:
            self._lost_seconds = LOST_SECONDS
        self._lost_at, self._has_lost_events = now, True

    def _events(self) -> Iterator[list[str]]:
        try:
            from watchfiles import Change, watch
        except ImportError as error:
            raise ConfigError(f"{error.name} is not installed", hint="pip install 'imgctl[watch]'") from error
        for some in watch(
            self._root,
            watch_filter=None,
            debounce=_TICK_MILLISECONDS,
            step=_STEP_MILLISECONDS,
            rust_timeout=_TICK_MILLISECONDS,
            yield_on_timeout=True,
            raise_interrupt=False,
            force_polling=self._order.poll,
            ignore_permission_denied=True,
        ):
            yield [path for kind, path in some if kind is not Change.deleted]

    def _walked(self, directory: str) -> Iterator[SourceFile | FileOutcome]:
        """Yield the files below a directory; those modified just now are kept for later."""
        self._source.sidecars.forget()
        for one in walk(directory, self._rules, self._source, place=self._place(directory, directory=True)):
            if isinstance(one, SourceFile) and self._is_fresh(one):
                self._unsettled[one.path] = ((one.size, one.mtime_ns), time.monotonic())
            else:
                yield one

    def _is_fresh(self, found: SourceFile) -> bool:
        return time.time_ns() - found.mtime_ns < self._order.settle * 10**9 or is_written_to(found.path)

    def _changed(self, path: str) -> Iterator[SourceFile | FileOutcome]:
        if f"{os.path.realpath(path)}/".startswith(self._apart):
            return
        try:
            info = self._look(path)
        except OSError:
            # The file is gone: renamed, or temporary.
            self._unsettled.pop(path, None)
            return
        if not stat.S_ISDIR(info.st_mode):
            self._unsettled[path] = ((info.st_size, info.st_mtime_ns), time.monotonic())
        elif (skipped := self._rules.skip_listed(path, self._place(path))) is not None:
            yield skipped
        elif path != self._root:
            self._check_limit()
            # Files may have arrived in a new directory before it was watched.
            yield from self._walked(path)

    def _settled(self) -> Iterator[SourceFile | FileOutcome]:
        """Yield the files that did not change for `settle` seconds and that no process has open for writing."""
        now = time.monotonic()
        due = [one for one in self._unsettled.items() if now >= one[1][1] + self._order.settle]
        if due:
            # Once for all of them: each listing reads a whole directory.
            self._source.sidecars.forget()
        for path, (before, _) in due:
            try:
                info = self._look(path)
            except FileNotFoundError:
                del self._unsettled[path]
                continue
            except OSError as error:
                del self._unsettled[path]
                yield refused(path, error)
                continue
            if before != (info.st_size, info.st_mtime_ns) or is_written_to(path):
                self._unsettled[path] = ((info.st_size, info.st_mtime_ns), now)
                continue
            del self._unsettled[path]
            place = self._place(path)
            yield self._rules.skip_listed(path, place) or classified(path, place, info, self._rules, self._source)

    def _look(self, path: str) -> os.stat_result:
        return os.stat(path, follow_symlinks=self._rules.follow_links)  # noqa: PTH116

    def _place(self, path: str, *, directory: bool = False) -> str:
        place = os.path.relpath(path, self._root)
        place = "" if place == "." else place
        return f"{place}/" if directory and place else place


def is_written_to(path: str) -> bool:
    """Whether a process has the file open for writing; False if the system cannot report it.

    Linux denies a read lease while the file is open for writing (fcntl(2)); only for files on local disks, and only to
    their owner.
    """
    if not hasattr(fcntl, "F_SETLEASE") or not is_utf8(path):
        # To open a file whose name is not UTF-8 would be an event that watchfiles cannot report.
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        # The kernel signals a writer that opens the file now; the default signal, SIGIO, would end this process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    else:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    finally:
        os.close(descriptor)
