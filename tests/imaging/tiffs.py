"""TIFFs written field by field: any number of bands, any ExtraSamples, 8 to 32 bits, planes together or apart."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

GREY, RGB, CMYK = 1, 2, 5
Pixel = tuple[int, ...]
_SHORT, _LONG = 3, 4
_LETTERS = {8: "B", 16: "H", 32: "I"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The layout of samples in a file; `extra` is the field's values, or None for no field. Samples are 0..255."""

    photometric: int
    bands: int
    extra: tuple[int, ...] | None
    bits: int = 8
    planar: bool = False
    order: str = "<"
    big: bool = False

    @property
    def colours(self) -> int:
        """How many bands are colour."""
        return {GREY: 1, RGB: 3, CMYK: 4}[self.photometric]


def tiff(layout: Layout, rows: Sequence[Sequence[Pixel]]) -> bytes:
    """An uncompressed file of one strip for each plane."""
    height, width = len(rows), len(rows[0])
    flat = [pixel for row in rows for pixel in row]
    if layout.planar:
        planes = [[pixel[band] for pixel in flat] for band in range(layout.bands)]
    else:
        planes = [[sample for pixel in flat for sample in pixel]]
    strips = [_packed(layout, plane) for plane in planes]
    lengths = tuple(len(strip) for strip in strips)
    fields = {
        256: (_LONG, (width,)),
        257: (_LONG, (height,)),
        258: (_SHORT, (layout.bits,) * layout.bands),
        259: (_SHORT, (1,)),
        262: (_SHORT, (layout.photometric,)),
        273: (_LONG, (0,) * len(strips)),
        277: (_SHORT, (layout.bands,)),
        278: (_LONG, (height,)),
        279: (_LONG, lengths),
        284: (_SHORT, (2 if layout.planar else 1,)),
    }
    if layout.extra is not None:
        fields[338] = (_SHORT, layout.extra)
    end = len(_directory(layout, fields))
    fields[273] = (_LONG, tuple(end + sum(lengths[:place]) for place in range(len(strips))))
    return _directory(layout, fields) + b"".join(strips)


def _packed(layout: Layout, samples: Sequence[int]) -> bytes:
    scale = ((1 << layout.bits) - 1) // 255
    return struct.pack(f"{layout.order}{len(samples)}{_LETTERS[layout.bits]}", *(one * scale for one in samples))


def _directory(layout: Layout, fields: dict[int, tuple[int, tuple[int, ...]]]) -> bytes:
    """The header, the one directory, and the values too long for it."""
    order, place = layout.order, "Q" if layout.big else "I"
    mark = b"II" if order == "<" else b"MM"
    first = 16 if layout.big else 8
    header = mark + (
        struct.pack(f"{order}HHHQ", 43, 8, 0, first) if layout.big else struct.pack(f"{order}HI", 42, first)
    )
    room = struct.calcsize(f"{order}{place}")
    body = struct.pack(f"{order}{'Q' if layout.big else 'H'}", len(fields))
    at = first + len(body) + len(fields) * (4 + 2 * room) + room
    values = b""
    for tag, (kind, numbers) in sorted(fields.items()):
        value = struct.pack(f"{order}{len(numbers)}{'H' if kind == _SHORT else 'I'}", *numbers)
        inline = value.ljust(room, b"\0") if len(value) <= room else struct.pack(f"{order}{place}", at + len(values))
        body += struct.pack(f"{order}HH{place}", tag, kind, len(numbers)) + inline
        values += b"" if len(value) <= room else value
    return header + body + bytes(room) + values
