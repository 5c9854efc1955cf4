"""A tree of directories listed the way S3 lists a bucket: in UTF-8 byte order of whole keys, one directory at a time."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

T = TypeVar("T")

Entries: TypeAlias = Callable[[str], Iterable[tuple[str, T | None]]]
"""The direct children of a directory, in byte order: keys with their data; None for a directory's key,
which ends with a slash, so that `a.txt` comes before `a/b`."""


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
        """Whether the key and all keys after it are past the range."""
        return bool(self.until and key > self.until) or (key > self.prefix and not key.startswith(self.prefix))

    def touches(self, directory: str) -> bool:
        """Whether a key that begins with `directory`, which ends with a slash, may be in the range."""
        related = directory.startswith(self.prefix) or self.prefix.startswith(directory)
        return related and (directory > self.after or self.after.startswith(directory))


def walk(entries: Entries[T], wanted: Range, under: str = "") -> Iterator[tuple[str, T]]:
    """Yield the keys of a range with their data."""
    for key, found in entries(under):
        if wanted.is_past(key):
            return
        if found is None:
            if wanted.touches(key):
                yield from walk(entries, wanted, key)
        elif wanted.holds(key):
            yield key, found


def files_below(root: Path) -> Entries[str]:
    """The paths of regular files; hidden entries of the root itself are left out.

    Any name a file system holds: bytes that are not UTF-8 become lone surrogates, as Python reads names everywhere.
    """

    def entries(under: str) -> Iterator[tuple[str, str | None]]:
        for name in _names(f"{root}/{under}", hidden=bool(under)):
            yield under + name, None if name.endswith("/") else f"{root}/{under}{name}"

    return entries


def _names(directory: str, *, hidden: bool) -> list[str]:
    names = []
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as found:
        for entry in found:
            if not hidden and entry.name.startswith("."):
                continue
            # Symbolic links in a loop raise OSError: skip them.
            with suppress(OSError):
                if entry.is_dir():
                    names.append(f"{entry.name}/")
                elif entry.is_file():
                    names.append(entry.name)
    return sorted(names)
