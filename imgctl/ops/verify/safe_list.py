"""The list of files that are safe to delete, written beside the signed report of a verification."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from imgctl.errors import StateError
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.sources.open import is_archive
from imgctl.ops.sources.walk import name_of
from imgctl.ops.upload.selection_rules import system_junk
from imgctl.run.scratch import atomic_write

# Skipped files that are not photos. The bytes of a hard link are those of another member, which is judged itself.
_NO_PHOTO = frozenset((Reason.SIDECAR, Reason.NOT_AN_IMAGE, Reason.EMPTY, Reason.LINK, Reason.NOT_A_FILE))
# Junk without photos; other hidden files and directories, and recycle bins, may have some.
_NO_PHOTO_NAMES = frozenset((".ds_store", ".directory", ".localized", ".nomedia", ".picasa.ini"))
_NO_PHOTO_DIRECTORIES = frozenset(("__macosx", "@eadir", "@__thumb"))


class SafeList:
    """Paths that are safe to delete, each ended by a line feed, or by a NUL; `left_out` counts those that contain one.

    An archive of `archives` is safe to delete if every photo in it is safe and none was left out; its members are not
    listed.
    """

    def __init__(self, out: BinaryIO, *, null: bool, archives: Sequence[str]) -> None:
        self.left_out = 0
        self._out = out
        self._end = b"\0" if null else b"\n"
        self._archives = dict.fromkeys(archives, False)
        self._kept: set[str] = set()

    def add(self, outcome: FileOutcome) -> None:
        """Record the outcome of one file."""
        path, safe = outcome.path, outcome.fate is Fate.PRESENT
        archive = next((one for one in self._archives if path == one or path.startswith(f"{one}/")), None)
        if archive is None:
            if safe:
                self._write(path)
        elif safe:
            self._archives[archive] = True
        elif not _is_no_photo(outcome):
            self._kept.add(archive)

    def finish(self) -> None:
        """Write the archives that are safe to delete; call after the last file."""
        for archive, holds_any in self._archives.items():
            if holds_any and archive not in self._kept:
                self._write(archive)

    def _write(self, path: str) -> None:
        # The path's original bytes; a path that contains the separator would read as two.
        name = os.fsencode(path)
        if self._end in name:
            self.left_out += 1
        else:
            self._out.write(name + self._end)


def _is_no_photo(outcome: FileOutcome) -> bool:
    """Whether a skipped file or directory certainly contains no photo."""
    if outcome.fate is Fate.FAILED:
        return False
    if outcome.reason is Reason.JUNK:
        name = name_of(outcome.path).lower()
        known = name in _NO_PHOTO_NAMES or name in _NO_PHOTO_DIRECTORIES or name.startswith("._")
        return known or system_junk(name, directory=False) is not None
    # An archive within an archive was not read.
    return outcome.reason in _NO_PHOTO and not is_archive(outcome.path)


@contextmanager
def safe_list(file: Path, *, null: bool, archives: Sequence[str]) -> Iterator[SafeList]:
    """Write a list that appears under its name once the block ends without error; StateError if that fails."""
    try:
        with atomic_write(file) as new, new.open("wb") as out:
            yield SafeList(out, null=null, archives=archives)
    except OSError as error:
        raise StateError(f"{file} cannot be written: {error.strerror or error}", hint="free some space there") from None
