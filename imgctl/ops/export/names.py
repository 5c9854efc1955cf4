"""Names of exported files: what every file system takes, one of a kind, the same for the same rows."""

import re
import unicodedata
from collections.abc import Iterator

from imgctl.keys import ORIGINAL
from imgctl.model import Image

PAYLOAD = "data/"
_LONGEST_BYTES = 200
# What Windows refuses, what BagIt writes otherwise (%), and what separates.
_REFUSED = re.compile(r'[<>:"/\\|?*%]')
# Names of devices, with any ending; NTFS and FAT compare without case.
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|\Z)", re.IGNORECASE)
_ID_DIGITS = 8


def paths(image: Image) -> Iterator[str]:
    """Where an image's original may lie in a bag, by preference: its name, then with some of its id, then with all.

    `data/originals/YYYY/MM/NAME`, by the month it was taken in, else uploaded.
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
    """Where a variant lies, by the path of its original: `data/thumb/2024/05/IMG_1.CR2.jpg`."""
    return f"{PAYLOAD}{role}/{original.removeprefix(f'{PAYLOAD}originals/')}.{key.rpartition('.')[2]}"


def safe_name(image: Image) -> str:
    """The image's own name as every file system takes it, else its id; its ending is kept."""
    own = (image.original_key or "").rpartition("/")[2] or str(image.id)
    name = safe(image.name or "")
    return name or own.replace(f"-{ORIGINAL}", "")


def safe(name: str) -> str:
    """The name without what Windows, macOS, Linux or BagIt take otherwise; empty where nothing is left.

    NFC, at most 200 bytes of UTF-8 before its ending, not hidden, without dots and blanks around it.
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
    """What two paths share that one file system or another takes for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())
