"""Bags from `imgctl export` as sources of an upload: a directory or a ZIP file with the metadata of its images."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from imgctl.model import Variant
from imgctl.ops.ingest.outcome import FileOutcome
from imgctl.ops.sources.base import SourceFile
from imgctl.ops.sources.members import Member, MemberIndex
from imgctl.ops.sources.open import Sources
from imgctl.regular_files import regular

if TYPE_CHECKING:
    from imgctl.ops.sources.archives import ArchiveFiles

METADATA, DECLARATION = "metadata.jsonl", "bagit.txt"
_PAYLOAD = r"data/(?:(?!\.\.?(?:/|\Z))[^/\x00]+/)*(?!\.\.?\Z)[^/\x00]+"


# Files of a bag that are not originals: its metadata and the variants.
_OWN = rf"bagit\.txt|bag-info\.txt|(?:tag)?manifest-\w+\.txt|metadata\.(?:jsonl|csv)|left-out\.csv|data/(?:{'|'.join(Variant)})/.*"


class Bag(NamedTuple):
    """A bag at `path`; in a ZIP file it lies below `root` (empty, or ends in a slash), and `members` is its index."""

    path: str
    root: str = ""
    members: "ArchiveFiles | None" = None

    @contextmanager
    def metadata(self) -> Iterator[BinaryIO]:
        """Open the metadata of its images, one per line."""
        if self.members is None:
            with open(os.path.join(self.path, METADATA), "rb", opener=regular) as file:  # noqa: PTH118
                yield file
            return
        from imgctl.ops.sources.members import PiecesFile

        with BufferedReader(PiecesFile(self.members.pieces(self.root + METADATA))) as packed:
            yield packed


def open_bag(path: str, sources: Sources) -> Bag | None:
    """Return the bag at a path; None for anything else, including a bag of another program."""
    if os.path.isfile(os.path.join(path, DECLARATION)):  # noqa: PTH113, PTH118
        return Bag(path=path) if os.path.isfile(os.path.join(path, METADATA)) else None  # noqa: PTH113, PTH118
    if not path.lower().endswith(".zip") or not os.path.isfile(path):  # noqa: PTH113
        return None
    root = _root_in(path)
    return None if root is None else Bag(path=path, root=root, members=sources.indexed(path))


class NamedFiles:
    """The files in a bag's metadata, indexed on disk; other files in the bag are uploaded like any file."""

    def __init__(self, bag: Bag) -> None:
        self._index = MemberIndex()
        self._start = len(os.path.join(bag.path, bag.root))  # noqa: PTH118

    def add(self, found: SourceFile | FileOutcome) -> None:
        """Record the result of one line."""
        for key in _keys(found):
            self._index.add(key, 0, Member(name=key, size=0, offset=0))

    def has(self, found: SourceFile | FileOutcome) -> bool:
        """Whether a file of the bag is in the metadata, or is itself metadata or a variant."""
        return _is_own(found.path[self._start :]) or any(self._index.find(key) for key in _sought(found))

    def close(self) -> None:
        """Drop the index."""
        self._index.close()


def _keys(found: SourceFile | FileOutcome) -> list[str]:
    """Return the index keys of a file; they include its stamp, because a ZIP file may have several of the same name."""
    if isinstance(found, FileOutcome):
        return [f"named\0{found.path}", f"left out\0{found.path}"]
    return [f"named\0{found.path}", f"file\0{found.stamp}\0{found.path}"]


def _sought(found: SourceFile | FileOutcome) -> list[str]:
    if isinstance(found, FileOutcome):
        return [f"named\0{found.path}"]
    return [f"file\0{found.stamp}\0{found.path}", f"left out\0{found.path}"]


def _is_own(place: str) -> bool:
    return re.fullmatch(_OWN, place) is not None


def is_payload(path: str) -> bool:
    """Whether a path is that of a payload file, and doesn't lead outside of the bag."""
    return re.fullmatch(_PAYLOAD, path) is not None


def _root_in(path: str) -> str | None:
    """Return the directory of the bag within a ZIP file; None if there is no bag, or more than one."""
    from imgctl.ops.sources.archives import part_of
    from imgctl.ops.sources.members import Damaged, place_of

    places = (place_of(member.name) for member in part_of(path).members())
    declared = (place.removesuffix(DECLARATION) for place in places if _declares(place))
    try:
        roots = list(islice(declared, 2))
        if len(roots) != 1 or not any(place_of(one.name) == roots[0] + METADATA for one in part_of(path).members()):
            return None
    except (Damaged, OSError, ValueError):
        # Reported later, when the file is read as a plain archive.
        return None
    return roots[0]


def _declares(place: str) -> bool:
    directory, _, name = place.rpartition("/")
    return name == DECLARATION and "/" not in directory
