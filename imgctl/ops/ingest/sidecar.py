"""Sidecars: small files beside a photo that describe it. Each directory is listed once, and no read hangs.

The parser of each kind is imported once a photo has such a sidecar: most photos have none.
"""

import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Protocol, Self

from imgctl.imaging.metadata.facts import NO_FACTS, Facts

# O_NONBLOCK: a pipe or a device in place of a file must not block the open.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_JSON, _XMP = ".json", ".xmp"
# The most sidecar names that are cached, of one directory and of all together.
_MOST_NAMES = 100_000
_MOST_DIRECTORIES = 256
# An iCloud export has one directory per part, each with as many rows as photos.
_MOST_TABLES = 4


class Names:
    """The sidecar names of one kind in a directory: exact, and folded (case, Unicode form, `supplemental-metadata`)."""

    def __init__(self) -> None:
        self.exact: set[str] = set()
        self.folded: dict[str, str] = {}

    def add(self, name: str) -> None:
        self.exact.add(name)
        for folded in _folds(name):
            self.folded.setdefault(folded, name)

    def discard(self, name: str) -> None:
        self.exact.discard(name)
        for folded in _folds(name):
            if self.folded.get(folded) == name:
                del self.folded[folded]

    def there(self, names: Sequence[str]) -> Iterator[str]:
        """Yield those of `names` that exist: exact matches first, then names that differ in case or Unicode form."""
        if self.exact:
            yield from (name for name in names if name in self.exact)
            for name in names:
                found = self.folded.get(_folded(name))
                if found is not None and found != name:
                    yield found


class Listing:
    """The sidecars of one directory, by their kind."""

    def __init__(self) -> None:
        self.json, self.xmp, self.tables = Names(), Names(), Names()

    def of(self, name: str) -> Names | None:
        """Return the names of this file's kind; None if it is not a sidecar."""
        ending = name[-5:].lower()
        if is_photo_details(name):
            return self.tables
        return self.json if ending == _JSON else self.xmp if ending.endswith(_XMP) else None

    def add(self, name: str) -> bool:
        """Add the name of a sidecar; False if the file is not a sidecar."""
        names = self.of(name)
        if names is not None:
            names.add(name)
        return names is not None

    def __len__(self) -> int:
        return len(self.json.exact) + len(self.xmp.exact) + len(self.tables.exact)


class Beside(Protocol):
    """Access to the sidecars of one source; thread-safe."""

    def listed(self, directory: str, photo: str) -> Listing | None:
        """List a directory's sidecars, at least those of `photo`; None: the caller must try each name.

        `directory` is empty or ends in a slash.
        """

    def content(self, path: str, longest: int) -> bytes | None:
        """Return a file's bytes, empty if more than `longest`; None if there is no file. May raise StoreError."""

    def forget(self) -> None:
        """Drop what is cached of directories, which may have got more sidecars."""


class SidecarFiles:
    """Finds and parses the sidecars of photos, on this machine's disks or through `beside`."""

    def __init__(self, beside: Beside | None = None, *, follow_links: bool = False) -> None:
        self._beside = _OnDisk(follow_links=follow_links) if beside is None else beside
        self._tables: dict[str, dict[str, Facts]] = {}
        self._parts: tuple[str, ...] = ()

    def unpacked_apart(self, paths: Iterable[str]) -> Self:
        """Treat those of `paths` that are parts of one Takeout (`Takeout`, `Takeout 2`) as one tree; return self."""
        self._parts = tuple(f"{one.rstrip('/')}/" for one in paths if _part_of(one))
        return self

    def forget(self) -> None:
        """Look for each photo's sidecars again: a watched directory and an inbox get more."""
        self._tables.clear()
        self._beside.forget()

    def takeout(self, path: str) -> Facts:
        """Return the facts of the photo's Google Takeout JSON file, in its directory or that of another part."""
        if (here := self._takeout(path)) is not NO_FACTS or not self._parts:
            return here
        others = map(self._takeout, self._in_other_parts(path))
        return next((one for one in others if one is not NO_FACTS), NO_FACTS)

    def _in_other_parts(self, path: str) -> Iterator[str]:
        for part in self._parts:
            if path.startswith(part):
                yield from (
                    f"{one}{path[len(part) :]}"
                    for one in self._parts
                    if one != part and _part_of(one) == _part_of(part)
                )

    def _takeout(self, path: str) -> Facts:
        directory, slash, name = path.rpartition("/")
        listing = self._beside.listed(directory + slash, name)
        if listing is not None and not listing.json.exact:
            return NO_FACTS
        from imgctl.imaging.takeout import LONGEST, cut_names, is_titled, read_takeout, sidecar_names

        names = sidecar_names(name)
        found = names if listing is None else listing.json.there(names)
        # The JSON of an album may have the same name as that of a photo.
        facts = map(read_takeout, self._contents(f"{directory}{slash}", found, longest=LONGEST))
        first = next((one for one in facts if one != NO_FACTS), NO_FACTS)
        if first != NO_FACTS or listing is None:
            return first
        cut = self._contents(f"{directory}{slash}", listing.json.there(cut_names(name)), longest=LONGEST)
        return next((one for one in map(read_takeout, cut) if is_titled(one, name)), NO_FACTS)

    def photo_details(self, path: str) -> Facts:
        """Return the facts of the photo in Apple's `Photo Details.csv` of its directory."""
        directory, slash, name = path.rpartition("/")
        listing = self._beside.listed(directory + slash, name)
        if listing is None or not listing.tables.exact:
            return NO_FACTS
        from imgctl.imaging.takeout import still_names

        table = self._table(directory + slash, listing.tables)
        return next(filter(None, map(table.get, map(_folded, still_names(name)))), NO_FACTS)

    def _table(self, directory: str, tables: Names) -> dict[str, Facts]:
        """Return the facts of all Apple tables in a directory, by a photo's folded name."""
        if (known := self._tables.get(directory)) is not None:
            return known
        from imgctl.imaging.photo_details import LONGEST, agreed, read_photo_details

        found = dict[str, Facts]()
        for data in self._contents(directory, sorted(tables.exact), longest=LONGEST):
            for name, facts in read_photo_details(data):
                folded = _folded(name)
                found[folded] = agreed(facts, found.get(folded, facts))
        if len(self._tables) >= _MOST_TABLES:
            self._tables.clear()
        self._tables[directory] = found
        return found

    def xmp(self, path: str) -> Facts:
        """Return the facts of the photo's XMP sidecar: `a.jpg.xmp` (darktable, digiKam), else `a.xmp` (Adobe)."""
        directory, slash, name = path.rpartition("/")
        listing = self._beside.listed(directory + slash, name)
        if listing is not None and not listing.xmp.exact:
            return NO_FACTS
        from imgctl.imaging.metadata.xmp import LONGEST, read_xmp

        names = _xmp_names(name)
        found = names if listing is None else listing.xmp.there(names)
        data = next(self._contents(f"{directory}{slash}", found, longest=LONGEST), b"")
        return read_xmp(data) if data else NO_FACTS

    def describes(self, path: str) -> bool:
        """Whether the photo has a sidecar by name, or a row in Apple's tables; True if the names are unknown."""
        directory, slash, name = path.rpartition("/")
        listing = self._beside.listed(directory + slash, name)
        if listing is None:
            return True
        found = chain(_json_there(listing, name), listing.xmp.there(_xmp_names(name)))
        return next(found, None) is not None or self.photo_details(path) != NO_FACTS

    def _contents(self, directory: str, names: Sequence[str] | Iterator[str], *, longest: int) -> Iterator[bytes]:
        """Yield the content of each of `names` that is a file; empty if longer than `longest`."""
        for name in names:
            content = self._beside.content(f"{directory}{name}", longest)
            if content is not None:
                yield content


class _OnDisk:
    """`Beside` for this machine's disks; two threads in the same directory may both list it."""

    def __init__(self, *, follow_links: bool) -> None:
        self._flags = _FLAGS if follow_links else _FLAGS | os.O_NOFOLLOW
        self._listings: dict[str, Listing | None] = {}
        self._kept = 0

    def forget(self) -> None:
        """Drop the cached listings."""
        self._listings.clear()
        self._kept = 0

    def content(self, path: str, longest: int) -> bytes | None:
        try:
            descriptor = os.open(path, self._flags)
        except (OSError, ValueError):
            return None
        return _content(descriptor, longest)

    def listed(self, directory: str, photo: str) -> Listing | None:
        """List a directory's sidecars; None if there are too many or the directory cannot be listed."""
        try:
            return self._listings[directory]
        except KeyError:
            pass
        listing = _listing(directory)
        count = len(listing) if listing else 0
        if len(self._listings) >= _MOST_DIRECTORIES or self._kept + count > _MOST_NAMES:
            # The cache is bounded: an archive may have a directory for every few photos.
            self._listings.clear()
            self._kept = 0
        self._listings[directory] = listing
        self._kept += count
        return listing


def _part_of(directory: str) -> str:
    """Return the parent of a directory that is named like a part of a Takeout; empty for another directory."""
    parent, _, name = f"./{directory.rstrip('/')}".rpartition("/")
    return f"{parent}/" if name.lower().startswith("takeout") else ""


def _listing(directory: str) -> Listing | None:
    found = Listing()
    try:
        with os.scandir(directory or ".") as entries:
            for entry in entries:
                names = found.of(entry.name)
                if names is None:
                    continue
                names.add(entry.name)
                if len(found) > _MOST_NAMES:
                    return None
    except FileNotFoundError:
        return found
    except (OSError, ValueError):
        return None
    return found


def _xmp_names(photo: str) -> list[str]:
    stem, dot, extension = photo.rpartition(".")
    names = [f"{photo}{_XMP}"]
    return [*names, f"{stem}{_XMP}"] if dot and extension.lower() != "xmp" else names


def is_photo_details(name: str) -> bool:
    """Whether a file name is that of a table of Apple's export: `Photo Details.csv`, `Photo Details-1.csv`."""
    return name.lower().startswith("photo details") and name.lower().endswith(".csv")


def _json_there(listing: Listing, photo: str) -> Iterator[str]:
    if listing.json.exact:
        from imgctl.imaging.takeout import sidecar_names

        yield from listing.json.there(sidecar_names(photo))


def _folds(name: str) -> tuple[str, ...]:
    if not name.lower().endswith(_JSON):
        return (_folded(name),)
    from imgctl.imaging.takeout import without_supplement

    return _folded(name), _folded(without_supplement(name))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _content(descriptor: int, longest: int) -> bytes:
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_size > longest:
            return b""
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(longest + 1)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
