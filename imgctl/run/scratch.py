"""Temporary directories and files, locked while their process lives; a later run removes those of killed processes."""

import errno
import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Self, TextIO

from imgctl.errors import StateError

# Only imgctl's temporary files have this suffix.
PART = ".imgctl-part"
KINDS = ("work", "findings", "stdin", "inventory", "spool", "metrics")


class Scratch:
    """A temporary directory `imgctl-<kind>-*` of this process, in `parent` (default: the system's temporary directory).

    Creating one first removes those of killed processes of the same user: the kernel drops a dead process's lock, so
    neither reused process ids nor other machines on a shared disk matter.
    """

    def __init__(self, kind: str, *, parent: Path | None = None) -> None:
        place = parent or Path(gettempdir())
        place.mkdir(parents=True, exist_ok=True)
        # A kind outside KINDS, as in tests, sweeps only itself: leftovers of the others may be large.
        sweep(place, KINDS if kind in KINDS else (kind,))
        self.path, lock = _locked(lambda: Path(mkdtemp(prefix=f"imgctl-{kind}-", dir=place)), directory=True)
        self._lock: int | None = lock

    def close(self) -> None:
        """Remove the directory and its content; what cannot be removed is left to a later sweep."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Seen:
    """Which keys came before, however many: in a temporary file, which is gone when it is closed."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")
        self._database.execute("CREATE TABLE seen (key BLOB PRIMARY KEY) WITHOUT ROWID")

    def add(self, key: bytes) -> bool:
        """Whether a key is new."""
        return self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (key,)).rowcount > 0

    def close(self) -> None:
        """Delete the file."""
        self._database.close()


@contextmanager
def atomic_write(file: Path, *, anew: bool = False) -> Iterator[Path]:
    """Yield a path to a new, empty file, which replaces `file`, complete and synced to disk, when the block succeeds.

    The new file lies in the same directory and is removed when the block fails; if the block deletes it, `file` stays.
    With `anew` FileExistsError is raised if `file` exists by then; otherwise a link's target is replaced, and a device
    or a pipe is yielded itself. The first call in a directory removes leftovers of the same user's killed processes.
    """
    if not anew and file.exists() and not file.is_file():
        yield file
        return
    file = file.absolute() if anew else file.resolve()
    sweep_parts(file.parent)
    new, lock = _locked(partial(_new_part, file), directory=False)
    try:
        yield new
        if new.exists():
            os.fsync(lock)
            _publish(new, file, anew=anew)
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        os.close(lock)


@contextmanager
def whole_file(
    file: Path, *, hint: str = "check the rights and the space there", unless: Callable[[], bool] = lambda: False
) -> Iterator[TextIO]:
    """Yield a text file by `atomic_write`; StateError if writing fails. Text that UTF-8 cannot encode is escaped.

    Where `unless` returns True at the end, the file is not written.
    """
    try:
        with atomic_write(file) as new, new.open("w", encoding="utf-8", errors="backslashreplace", newline="") as out:
            yield out
            if unless() and new != file:
                new.unlink()
    except OSError as error:
        raise StateError(f"{file} cannot be written: {error.strerror or error}", hint=hint) from None


def _publish(new: Path, file: Path, *, anew: bool) -> None:
    if anew:
        # A link and not a rename: an existing file stays.
        try:
            os.link(new, file)
        except OSError:
            # Otherwise the file system has no hard links, as exFAT.
            if os.path.lexists(file):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file)) from None
        else:
            return
    new.replace(file)


@cache
def sweep_parts(place: Path) -> None:
    """Remove leftovers of `atomic_write` by the same user's killed processes; once per directory and process."""
    # Not by glob, which lists the whole directory first: it may hold 100,000 pictures.
    with suppress(OSError), os.scandir(place) as entries:
        for one in entries:
            if one.name.startswith(".") and one.name.endswith(PART):
                _remove_if_dead(Path(one.path), directory=False)


def _new_part(file: Path) -> Path:
    path = file.with_name(f".{file.name[:48]}.{os.urandom(4).hex()}{PART}")
    path.touch(exist_ok=False)
    return path


def sweep(place: Path, kinds: Iterable[str] = KINDS) -> None:
    """Remove the temporary directories in `place` whose processes are dead; those that cannot be checked stay."""
    for kind in kinds:
        for left in place.glob(f"imgctl-{kind}-*"):
            _remove_if_dead(left, directory=True)


def _locked(make: Callable[[], Path], *, directory: bool) -> tuple[Path, int]:
    """Return the new file or directory of `make` and a descriptor that locks it for as long as it is open."""
    while True:
        path = make()
        # A sweep between creating and locking removes it: then try again.
        with suppress(FileNotFoundError):
            lock = _open(path, directory=directory)
            with suppress(OSError):
                # On a file system without locks, sweeps fail to lock it too, and leave it.
                fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return path, lock
            os.close(lock)


def _remove_if_dead(left: Path, *, directory: bool) -> None:
    try:
        lock = _open(left, directory=directory)
    except OSError:
        return
    try:
        if os.fstat(lock).st_uid == os.geteuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True) if directory else left.unlink()
    except OSError:
        # The lock is held: its process lives.
        return
    finally:
        os.close(lock)


def _open(path: Path, *, directory: bool) -> int:
    kind = os.O_DIRECTORY if directory else os.O_NONBLOCK
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | kind)
