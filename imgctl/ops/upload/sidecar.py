"""Small files beside a photo that describe it, found without asking for each, read without ever hanging on one."""

import os
import stat
from collections.abc import Container, Iterable

from imgctl.imaging import takeout, xmp
from imgctl.imaging.takeout import NO_TAKEOUT, Takeout, read_takeout, sidecar_names
from imgctl.imaging.xmp import NO_XMP, Xmp, read_xmp

# Whatever is there instead of a file, a pipe among it, opens at once or not at all.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_ENDINGS = (".json", ".xmp")
# A directory is listed once after so many questions, two a photo; before, and where it holds too much, names are tried.
_WORTH_LISTING = 16
_MOST_NAMES = 100_000
_MOST_DIRECTORIES = 256


class _Everything:
    """The names of a directory that was not listed: each may be there."""

    def __contains__(self, name: object) -> bool:
        return True


_ANY = _Everything()


class Beside:
    """What lies beside photos. Trying four names a photo, mostly in vain, cost more than hashing it.

    Safe in many threads: two that meet in a directory may both list it.
    """

    def __init__(self, *, follow_links: bool = False) -> None:
        self._flags = _FLAGS if follow_links else _FLAGS | os.O_NOFOLLOW
        self._asked: dict[str, int] = {}
        self._names: dict[str, Container[str]] = {}

    def takeout(self, path: str) -> Takeout:
        """What Google Takeout's JSON file beside the photo says; at most three names are tried."""
        directory, slash, name = path.rpartition("/")
        data = self._first(f"{directory}{slash}", sidecar_names(name), longest=takeout.LONGEST)
        return read_takeout(data) if data else NO_TAKEOUT

    def xmp(self, path: str) -> Xmp:
        """What an XMP file beside the photo says: `a.jpg.xmp` (darktable, digiKam), else `a.xmp` (Adobe)."""
        directory, slash, name = path.rpartition("/")
        stem, dot, extension = name.rpartition(".")
        names = [f"{name}.xmp"]
        if dot and extension != "xmp":
            names.append(f"{stem}.xmp")
        data = self._first(f"{directory}{slash}", names, longest=xmp.LONGEST)
        return read_xmp(data) if data else NO_XMP

    def _first(self, directory: str, names: Iterable[str], *, longest: int) -> bytes:
        """The content of the first of these that is a file; empty where none is, or it is longer."""
        there = self._listed(directory)
        for name in names:
            if name not in there:
                continue
            try:
                descriptor = os.open(f"{directory}{name}", self._flags)
            except (OSError, ValueError):
                continue
            return _content(descriptor, longest)
        return b""

    def _listed(self, directory: str) -> Container[str]:
        known = self._names.get(directory)
        if known is not None:
            return known
        if len(self._asked) >= _MOST_DIRECTORIES:
            # An archive may have a directory for every few photos.
            self._names.clear()
            self._asked.clear()
        asked = self._asked[directory] = self._asked.get(directory, 0) + 1
        if asked <= _WORTH_LISTING:
            return _ANY
        names = self._names[directory] = _names_in(directory)
        return names


def _names_in(directory: str) -> Container[str]:
    """The names in a directory that may be those of sidecars; any name where they are too many or cannot be listed."""
    names: set[str] = set()
    try:
        with os.scandir(directory or ".") as entries:
            for entry in entries:
                if entry.name.endswith(_ENDINGS):
                    names.add(entry.name)
                    if len(names) > _MOST_NAMES:
                        return _ANY
    except (OSError, ValueError):
        return _ANY
    return names


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
