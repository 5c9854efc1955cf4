"""What lies beside objects: the names of sidecars that a listing passed, or that one more listing finds for a single object."""

import re
from collections import OrderedDict, deque
from contextlib import suppress
from threading import Lock
from typing import Protocol

from imgctl.ops.ingest.sidecar import Listing

# The sidecars whose names are kept: behind and before what is being read.
_MOST_NAMES, _MOST_LISTINGS = 20_000, 512
# Takeout cuts the names of its files, behind these characters.
_SHARED = 40


class Small(Protocol):
    """A small object's bytes, none where it is not small after all."""

    @property
    def data(self) -> bytes:
        """All bytes."""


class Keys(Protocol):
    """The objects that may describe others."""

    @property
    def names(self) -> "NameWindow":
        """What was listed last."""

    def small(self, key: str) -> Small | None:
        """A small object; None where there is none."""

    def starting(self, prefix: str) -> Listing:
        """The sidecars whose keys begin so."""


class NameWindow:
    """The names of sidecars among the keys listed last, by their directories. Safe in many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._listings: dict[str, Listing] = {}
        self._order: deque[tuple[str, str]] = deque()

    def add(self, keys: tuple[str, ...]) -> None:
        """Take the keys of one more page."""
        kept = Listing()
        for key in keys:
            if kept.of(key) is None:
                continue
            directory, slash, name = key.rpartition("/")
            with self._lock:
                self._listings.setdefault(directory + slash, Listing()).add(name)
                self._order.append((directory + slash, name))
                if len(self._order) > _MOST_NAMES:
                    self._forget(*self._order.popleft())

    def listed(self, directory: str) -> Listing:
        """The sidecars of a directory, as far as they are near."""
        with self._lock:
            return self._listings.get(directory) or Listing()

    def _forget(self, directory: str, name: str) -> None:
        listing = self._listings[directory]
        names = listing.of(name)
        if names is not None:
            names.discard(name)
        if not len(listing):
            del self._listings[directory]


class BesideKeys:
    """What lies beside an object; see ingest.sidecar."""

    def __init__(self, files: Keys) -> None:
        self._files = files

    def listed(self, directory: str, photo: str) -> Listing:
        return self._files.names.listed(directory)

    def content(self, path: str, longest: int) -> bytes | None:
        found = self._files.small(path)
        return None if found is None else found.data if len(found.data) <= longest else b""


class BesideOne(BesideKeys):
    """The same of an object that a list names: one listing of the names that begin as its own does."""

    def __init__(self, files: Keys) -> None:
        super().__init__(files)
        self._listings: OrderedDict[str, Listing] = OrderedDict()

    def listed(self, directory: str, photo: str) -> Listing:
        # Numbers and marks of edited copies stand behind what all the names of a photo begin with.
        stem = photo.rpartition(".")[0] or photo
        prefix = directory + re.sub(r"\(\d+\)$|-[^-]*$", "", re.sub(r"\(\d+\)$", "", stem) or stem)[:_SHARED]
        if (known := self._listings.get(prefix)) is not None:
            return known
        listing = self._listings[prefix] = self._files.starting(prefix)
        while len(self._listings) > _MOST_LISTINGS:
            with suppress(KeyError):
                self._listings.popitem(last=False)
        return listing
