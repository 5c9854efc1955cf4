"""Sidecars of objects: found among the keys listed last, or for a single object by a listing of its own."""

import re
from collections import OrderedDict, deque
from contextlib import suppress
from threading import Lock
from typing import Protocol

from imgctl.ops.ingest.sidecar import Listing

# The most sidecar names that are kept: of keys before and after the objects being read.
_MOST_NAMES, _MOST_LISTINGS = 20_000, 512
# Takeout truncates the names of its files, but not before this many characters.
_SHARED = 40


class Small(Protocol):
    """A small object; its bytes are empty if it is too large."""

    @property
    def data(self) -> bytes:
        """All bytes."""


class Keys(Protocol):
    """Access to the sidecars of a bucket."""

    @property
    def names(self) -> "NameWindow":
        """The names of the sidecars listed last."""

    def small(self, key: str) -> Small | None:
        """Return a small object; None if it doesn't exist."""

    def starting(self, prefix: str) -> Listing:
        """List the sidecars whose keys begin with the prefix."""


class NameWindow:
    """The names of sidecars among the keys listed last, by directory; thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._listings: dict[str, Listing] = {}
        self._order: deque[tuple[str, str]] = deque()

    def add(self, keys: tuple[str, ...]) -> None:
        """Add the keys of a page."""
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
        """Return the sidecars of a directory that are still in the window."""
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
    """The sidecars of objects in a listing; see ingest.sidecar."""

    def __init__(self, files: Keys) -> None:
        self._files = files

    def listed(self, directory: str, photo: str) -> Listing:
        return self._files.names.listed(directory)

    def content(self, path: str, longest: int) -> bytes | None:
        found = self._files.small(path)
        return None if found is None else found.data if len(found.data) <= longest else b""


class BesideOne(BesideKeys):
    """The sidecars of objects from a list: one request lists the keys with the same beginning as the photo's."""

    def __init__(self, files: Keys) -> None:
        super().__init__(files)
        self._listings: OrderedDict[str, Listing] = OrderedDict()

    def listed(self, directory: str, photo: str) -> Listing:
        # All names of a photo share a stem; numbers and suffixes of edited copies follow it.
        stem = photo.rpartition(".")[0] or photo
        prefix = directory + re.sub(r"\(\d+\)$|-[^-]*$", "", re.sub(r"\(\d+\)$", "", stem) or stem)[:_SHARED]
        if (known := self._listings.get(prefix)) is not None:
            return known
        listing = self._listings[prefix] = self._files.starting(prefix)
        while len(self._listings) > _MOST_LISTINGS:
            with suppress(KeyError):
                self._listings.popitem(last=False)
        return listing
