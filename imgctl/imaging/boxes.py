"""The boxes of HEIF and AVIF (ISO/IEC 14496-12, 23008-12), as far as they describe the primary picture."""

import struct
from collections.abc import Iterator

from imgctl.imaging.source import Data

Box = tuple[bytes, int, int]
_MOST = 4096


def primary_properties(data: Data) -> list[tuple[bytes, bytes]]:
    """Name and payload of each property of the primary item; none where the boxes are damaged."""
    try:
        return list(_properties(data))
    except (struct.error, IndexError):
        return []


def _properties(data: Data) -> Iterator[tuple[bytes, bytes]]:
    meta = _find(data, b"meta", 0, len(data))
    inner = {name: (at, end) for name, at, end in _boxes(data, meta[0] + 4, meta[1])} if meta else {}
    if b"pitm" not in inner or b"iprp" not in inner:
        return
    at = inner[b"pitm"][0]
    (primary,) = struct.unpack_from(">I" if data[at] else ">H", data, at + 4)
    parts = list(_boxes(data, *inner[b"iprp"]))
    stored = [one for name, at, end in parts if name == b"ipco" for one in _boxes(data, at, end)]
    for name, at, _ in parts:
        for place in _associated(data, at, primary) if name == b"ipma" else ():
            if 1 <= place <= len(stored):
                kind, begin, end = stored[place - 1]
                yield kind, bytes(data[begin:end])


def _associated(data: Data, at: int, item: int) -> list[int]:
    """The places (from 1) of the properties of an item in an `ipma` box."""
    wide_item, wide_place = data[at] > 0, data[at + 3] & 1
    (count,) = struct.unpack_from(">I", data, at + 4)
    at += 8
    for _ in range(min(count, _MOST)):
        (number,) = struct.unpack_from(">I" if wide_item else ">H", data, at)
        at += 4 if wide_item else 2
        amount, size = data[at], 2 if wide_place else 1
        places = struct.unpack_from(f">{amount}{'H' if wide_place else 'B'}", data, at + 1)
        if number == item:
            # The highest bit says that a reader must know the property.
            return [place & (0x7FFF if wide_place else 0x7F) for place in places]
        at += 1 + amount * size
    return []


def _find(data: Data, wanted: bytes, at: int, end: int) -> tuple[int, int] | None:
    return next(((begin, stop) for name, begin, stop in _boxes(data, at, end) if name == wanted), None)


def _boxes(data: Data, at: int, end: int) -> Iterator[Box]:
    """Each box with where its payload begins and ends."""
    for _ in range(_MOST):
        if at + 8 > end:
            return
        size, name = struct.unpack_from(">I4s", data, at)
        begin = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, begin)
            begin += 8
        stop = end if size == 0 else min(at + size, end)
        if stop < begin:
            return
        yield name, begin, stop
        at = stop
