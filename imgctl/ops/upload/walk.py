"""Files below the paths a user names, one at a time, never a list of them."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from imgctl.ops.upload.outcome import Fate, FileOutcome, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A regular file, as it was when the walk passed: size in bytes."""

    path: str
    size: int


def walk(paths: Iterable[str]) -> Iterator[Found | FileOutcome]:
    """Every regular file at or below `paths`; what cannot be one comes as an outcome that says why.

    Memory is one open directory a level; entries come in the order the system lists them.
    """
    for path in paths:
        try:
            mode = os.stat(path)  # noqa: PTH116  # a str keeps bytes that are no UTF-8
        except OSError as error:
            yield _refused(path, error)
            continue
        if stat.S_ISDIR(mode.st_mode):
            yield from _walk_directory(path)
        else:
            yield _classify(path, mode)


def _walk_directory(directory: str) -> Iterator[Found | FileOutcome]:
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _walk_directory(entry.path)
                else:
                    yield _examine(entry)
    except OSError as error:
        yield _refused(directory, error)


def _examine(entry: os.DirEntry[str]) -> Found | FileOutcome:
    if entry.is_symlink():
        detail = "a symbolic link is not followed"
        return FileOutcome(path=entry.path, fate=Fate.SKIPPED, reason=Reason.LINK, detail=detail)
    try:
        return _classify(entry.path, entry.stat(follow_symlinks=False))
    except OSError as error:
        return _refused(entry.path, error)


def _classify(path: str, info: os.stat_result) -> Found | FileOutcome:
    if stat.S_ISREG(info.st_mode):
        return Found(path=path, size=info.st_size)
    detail = f"a {_kind(info.st_mode)} is no file"
    return FileOutcome(path=path, fate=Fate.SKIPPED, reason=Reason.NOT_A_FILE, detail=detail)


def _kind(mode: int) -> str:
    names = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}
    return names.get(stat.S_IFMT(mode), "special file")


def _refused(path: str, error: OSError) -> FileOutcome:
    missing = isinstance(error, FileNotFoundError)
    reason = Reason.NOT_FOUND if missing else Reason.UNREADABLE
    step = "check the path" if missing else "check its permissions"
    detail = f"{(error.strerror or str(error)).lower()}; {step} and run again"
    return FileOutcome(path=path, fate=Fate.FAILED, reason=reason, detail=detail)
