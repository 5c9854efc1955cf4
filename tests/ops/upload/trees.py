"""Small trees of files to choose from, and the outcomes of a choice."""

import os
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from uuid import UUID

from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.sources.base import SourceFile
from imgctl.ops.sources.open import Sources
from imgctl.ops.upload.choose_files import chosen
from imgctl.ops.upload.options import Selection

USER = UUID("0190b2b4-0000-7000-8000-000000000001")
OTHER = UUID("0190b2b4-0000-7000-8000-000000000002")
TAKEN = "taken"
NAMES = [
    b"with space",
    b"new\nline",
    "emoji 📷.jpg".encode(),
    b"\xff\xfe no utf-8",
    b"n" * 255,
    b"-",
    b"*?[",
    b"a\\b\r",
]
Fates = dict[str, str]


def planted(root: Path, names: Iterable[str]) -> Path:
    """Create files of these names below the root, one byte each."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def every(selection: Selection) -> list[SourceFile | FileOutcome]:
    """Return the files and outcomes of a selection, ordered by path."""
    with closing(Sources(follow_links=selection.follow_links)) as sources:
        return sorted(chosen(selection, sources), key=lambda one: os.fsencode(one.path))


def taken(selection: Selection) -> list[SourceFile]:
    """Return the files of a selection."""
    return [one for one in every(selection) if isinstance(one, SourceFile)]


def fates(selection: Selection, root: Path) -> Fates:
    """Return the fate of each path, relative to the root: `taken`, or the reason it was left out."""
    found = every(selection)
    fate = {
        os.path.relpath(one.path, root): TAKEN if isinstance(one, SourceFile) else one.reason.value for one in found
    }
    assert len(fate) == len(found)
    return fate


def left(selection: Selection) -> list[tuple[str, Fate, Reason, str]]:
    """Return path, fate, reason and detail of each entry that was left out."""
    return [(one.path, one.fate, one.reason, one.detail) for one in every(selection) if isinstance(one, FileOutcome)]
