"""Names of exported files: valid on every file system, unique, and the same for the same rows."""

import re
import unicodedata
from collections.abc import Iterator

from imgctl.keys import ORIGINAL
from imgctl.model import Image

PAYLOAD = "data/"
_LONGEST_BYTES = 200
# Characters that Windows refuses, that BagIt escapes (%), and path separators.
_REFUSED = re.compile(r'[<>:"/\\|?*%]')
# Device names, with any extension; NTFS and FAT ignore case.
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|\Z)", re.IGNORECASE)
_ID_DIGITS = 8


def paths(image: Image) -> Iterator[str]:
    """Yield paths for an image's original in a bag, by preference: its name, then with part of its id, then with all of it.

    `data/originals/YYYY/MM/NAME`, by the month of capture, else of upload.
    """
    at = image.taken_at or image.uploaded_at
    place = f"{PAYLOAD}originals/{at.year:04}/{at.month:02}/"
    name = safe_name(image)
    stem, dot, ending = name.rpartition(".")
    stem, ending = (stem, dot + ending) if stem else (name, "")
    yield place + name
    yield f"{place}{stem}-{image.id.hex[-_ID_DIGITS:]}{ending}"
    yield f"{place}{stem}-{image.id}{ending}"


def variant_path(original: str, role: str, key: str) -> str:
    """Return a variant's path, from the path of its original: `data/thumb/2024/05/IMG_1.CR2.jpg`."""
    return f"{PAYLOAD}{role}/{original.removeprefix(f'{PAYLOAD}originals/')}.{key.rpartition('.')[2]}"


def safe_name(image: Image) -> str:
    """Return the image's own name, valid on every file system, else its id; the extension is kept."""
    own = (image.original_key or "").rpartition("/")[2] or str(image.id)
    name = safe(image.name or "")
    return name or own.replace(f"-{ORIGINAL}", "")


def safe(name: str) -> str:
    """Return the name without anything that Windows, macOS, Linux or BagIt treat specially; empty if nothing is left.

    NFC, at most 200 bytes of UTF-8 before its extension, not hidden, without dots and blanks around it.
    """
    bare = "".join(char if char.isprintable() else "_" for char in unicodedata.normalize("NFC", name))
    bare = _REFUSED.sub("_", bare).strip(" .")
    stem, dot, ending = bare.rpartition(".")
    stem, ending = (stem, dot + ending) if stem and len(ending.encode()) <= 16 else (bare, "")
    stem = stem.encode()[:_LONGEST_BYTES].decode(errors="ignore").rstrip(" .")
    ending = ending.rstrip(" .")
    if _DEVICES.match(stem + ending):
        stem = f"_{stem}"
    return stem + ending


def folded(path: str) -> str:
    """Return a form that is equal for paths that some file system treats as the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())
