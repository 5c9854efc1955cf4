"""A directory tree listed the way S3 lists a bucket: file paths in UTF-8 byte order, one directory in memory at a time."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Keys that begin with `prefix`, `after` < key <= `until`; an empty bound is none.

    Strings compare by code point, which for text that UTF-8 can encode is the order of its bytes.
    """

    prefix: str = ""
    after: str = ""
    until: str = ""

    def holds(self, key: str) -> bool:
        """Whether the key is in the range."""
        return key.startswith(self.prefix) and key > self.after and not self.is_past(key)

    def is_past(self, key: str) -> bool:
        """Whether the key and everything behind it lie behind the range."""
        return bool(self.until and key > self.until) or (key > self.prefix and not key.startswith(self.prefix))

    def touches(self, directory: str) -> bool:
        """Whether a key that begins with `directory`, which ends with a slash, may be in the range."""
        related = directory.startswith(self.prefix) or self.prefix.startswith(directory)
        return related and (directory > self.after or self.after.startswith(directory))


def walk(root: Path, wanted: Range) -> Iterator[tuple[str, os.stat_result]]:
    """Each regular file's path below `root` in slashes, and its stat; hidden entries of the root itself are left out.

    Any name a file system holds: bytes that are not UTF-8 become lone surrogates, as Python reads names everywhere.
    """
    yield from _walk(str(root), "", wanted)


def _walk(directory: str, under: str, wanted: Range) -> Iterator[tuple[str, os.stat_result]]:
    for name in _names(directory, hidden=bool(under)):
        key = under + name
        if wanted.is_past(key):
            return
        path = f"{directory}/{name}"
        if name.endswith("/"):
            if wanted.touches(key):
                yield from _walk(path.rstrip("/"), key, wanted)
        elif wanted.holds(key):
            # A file that is deleted meanwhile is no longer listed.
            with suppress(FileNotFoundError):
                yield key, os.stat(path)  # noqa: PTH116 (a Path a file costs more than the stat)


def _names(directory: str, *, hidden: bool) -> list[str]:
    """Sorted as parts of keys: a directory counts with its slash, so that `a.txt` comes before `a/b`."""
    names = []
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as entries:
        for entry in entries:
            if not hidden and entry.name.startswith("."):
                continue
            # Links that lead round in a circle are no files.
            with suppress(OSError):
                if entry.is_dir():
                    names.append(f"{entry.name}/")
                elif entry.is_file():
                    names.append(entry.name)
    return sorted(names)
