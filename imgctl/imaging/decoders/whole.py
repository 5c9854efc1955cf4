"""Checks whether a raw is complete, by the lengths in its directories and boxes; no pixel is decoded."""

import struct

from imgctl.imaging.metadata.tiff import SUB_IMAGES, Directories, Entries, directories
from imgctl.imaging.source import Data

_PLACES = ((273, 279), (324, 325), (513, 514))
"""The tags of the offsets and byte counts of pixels: strips, tiles, a JPEG of TIFF 6.0."""
_MOST_DIRECTORIES = 16
_RAF, _RAF_PARTS = b"FUJIFILMCCD-RAW", (84, 92, 100)
_LAYOUT = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}


def missing_bytes(data: Data) -> int:
    """Return how many bytes the file lacks at least; 0 if it is complete, or of a format without lengths."""
    return max(0, _end(data) - len(data))


def _end(data: Data) -> int:
    if data[:15] == _RAF:
        parts = (struct.unpack_from(">2I", data, at) for at in _RAF_PARTS if at + 8 <= len(data))
        return max((at + size for at, size in parts), default=0)
    if data[4:8] == b"ftyp":
        return _boxes_end(data)
    found = directories(data)
    return _directories_end(found) if found else 0


def _boxes_end(data: Data) -> int:
    at = 0
    while 0 <= at <= len(data) - 8:
        size = int.from_bytes(data[at : at + 4])
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16])
        if size < 8:
            break
        at += size
    return at


def _directories_end(found: Directories) -> int:
    waiting, seen, end = [found.first], set[int](), 0
    while waiting and len(seen) < _MOST_DIRECTORIES:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        entries = found.at(place)
        waiting += found.numbers(entries.get(SUB_IMAGES))
        for places, sizes in _PLACES:
            end = max(end, _pieces_end(found, entries, places, sizes))
    return end


def _pieces_end(found: Directories, entries: Entries, places: int, sizes: int) -> int:
    starts, lengths = (_all(found, entries, tag) for tag in (places, sizes))
    return max((found.start + one + size for one, size in zip(starts, lengths, strict=False)), default=0)


def _all(found: Directories, entries: Entries, tag: int) -> tuple[int, ...]:
    """Return every number of a field, where `Directories.numbers` would return only a few."""
    field = entries.get(tag)
    layout = _LAYOUT.get(field[1]) if field else None
    if field is None or layout is None:
        return ()
    value = found.value(field)
    size = struct.calcsize(layout)
    # A list truncated by the file's end ends with part of a number.
    count = len(value) // size
    return struct.unpack(f"{found.order}{count}{layout}", value[: count * size])
