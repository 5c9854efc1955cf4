"""Small files beside a photo that describe it, read without ever hanging on one or failing for it."""

import os
import stat
from collections.abc import Iterable

from imgctl.imaging import takeout, xmp
from imgctl.imaging.takeout import NO_TAKEOUT, Takeout, read_takeout, sidecar_names
from imgctl.imaging.xmp import NO_XMP, Xmp, read_xmp

# Whatever is there instead of a file, a pipe among it, opens at once or not at all.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


def takeout_beside(path: str, *, follow_links: bool) -> Takeout:
    """What Google Takeout's JSON file beside the photo says; at most three names are tried."""
    directory, slash, name = path.rpartition("/")
    names = (f"{directory}{slash}{one}" for one in sidecar_names(name))
    data = _first(names, longest=takeout.LONGEST, follow_links=follow_links)
    return read_takeout(data) if data else NO_TAKEOUT


def xmp_beside(path: str, *, follow_links: bool) -> Xmp:
    """What an XMP file beside the photo says: `a.jpg.xmp` (darktable, digiKam), else `a.xmp` (Adobe)."""
    stem, dot, extension = path.rpartition(".")
    names = [f"{path}.xmp"]
    if dot and "/" not in extension and extension != "xmp":
        names.append(f"{stem}.xmp")
    data = _first(names, longest=xmp.LONGEST, follow_links=follow_links)
    return read_xmp(data) if data else NO_XMP


def _first(paths: Iterable[str], *, longest: int, follow_links: bool) -> bytes:
    """The content of the first of these that is a file; empty where none is, or it is longer."""
    flags = _FLAGS if follow_links else _FLAGS | os.O_NOFOLLOW
    for path in paths:
        try:
            descriptor = os.open(path, flags)
        except (OSError, ValueError):
            continue
        return _content(descriptor, longest)
    return b""


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
