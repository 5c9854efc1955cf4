"""Pictures of any number of pixels in files of a few kilobytes: their tiles or strips share the same bytes."""

import struct
import zlib
from collections.abc import Iterator, Sequence

from PIL import Image

from tests.imaging.containers import box, full_box
from tests.imaging.pictures import encoded

TILE = 512
_SOT = b"\xff\x90"
_GRID, _FIRST_TILE = 1, 2


def heic_grid(width: int, height: int, tiles: Sequence[Image.Image]) -> bytes:
    """A HEIC as phones write large ones, a grid of pictures that are encoded one by one (ISO/IEC 23008-12, 6.6.2.3).

    The tiles are squares of TILE pixels, taken from `tiles` in turn, row by row.
    """
    encodings = [_encoding(encoded(tile, "HEIF", quality=50, chroma=420)) for tile in tiles]
    columns, rows = -(-width // TILE), -(-height // TILE)
    numbers = range(_FIRST_TILE, _FIRST_TILE + columns * rows)
    form = struct.pack(">BBBBII", 0, 1, rows - 1, columns - 1, width, height)
    kinds = [(_GRID, b"grid"), *((number, b"hvc1") for number in numbers)]
    entries = b"".join(full_box(b"infe", struct.pack(">HH", number, 0) + kind + b"\0", 2) for number, kind in kinds)
    fixed = full_box(b"hdlr", bytes(4) + b"pict" + bytes(13)) + full_box(b"pitm", struct.pack(">H", _GRID))
    fixed += full_box(b"iinf", struct.pack(">H", len(kinds)) + entries)
    made_of = struct.pack(">HH", _GRID, len(numbers)) + b"".join(struct.pack(">H", number) for number in numbers)
    fixed += full_box(b"iref", box(b"dimg", made_of))
    fixed += box(b"iprp", _properties(width, height, encodings[0][0], numbers))
    fixed += box(b"idat", form)
    first = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    at = len(first) + 12 + len(fixed) + 12 + 4 + 16 * len(kinds) + 8
    starts = [at + sum(len(data) for _, data in encodings[:index]) for index in range(len(encodings))]
    places = struct.pack(">HHHHII", _GRID, 1, 0, 1, 0, len(form))
    for index, number in enumerate(numbers):
        which = index % len(encodings)
        places += struct.pack(">HHHHII", number, 0, 0, 1, starts[which], len(encodings[which][1]))
    located = full_box(b"iloc", b"\x44\0" + struct.pack(">H", len(kinds)) + places, version=1)
    return first + full_box(b"meta", fixed + located) + box(b"mdat", b"".join(data for _, data in encodings))


def heic_with_auxiliary(picture: Image.Image, auxiliary: Image.Image, kind: bytes) -> bytes:
    """A HEIC of a picture and one more that belongs to it, as phones write depth and gain maps (ISO/IEC 23008-12, 6.6.2.1)."""
    both = [_encoding(encoded(one, "HEIF", quality=90, chroma=444)) for one in (picture, auxiliary)]
    entries = b"".join(full_box(b"infe", struct.pack(">HH", number, 0) + b"hvc1\0", 2) for number in (1, 2))
    fixed = full_box(b"hdlr", bytes(4) + b"pict" + bytes(13)) + full_box(b"pitm", struct.pack(">H", 1))
    fixed += full_box(b"iinf", struct.pack(">H", 2) + entries)
    fixed += full_box(b"iref", box(b"auxl", struct.pack(">3H", 2, 1, 1)))
    sizes = [full_box(b"ispe", struct.pack(">II", *one.size)) for one in (picture, auxiliary)]
    held = [sizes[0], both[0][0], sizes[1], both[1][0], full_box(b"auxC", kind + b"\0")]
    associated = struct.pack(">I", 2) + b"\0\1\2\1\x82" + b"\0\2\3\3\x84\x85"
    fixed += box(b"iprp", box(b"ipco", b"".join(held)) + full_box(b"ipma", associated))
    first = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    at = len(first) + 12 + len(fixed) + 12 + 4 + 14 * 2 + 8
    places = struct.pack(">HHHII", 1, 0, 1, at, len(both[0][1]))
    places += struct.pack(">HHHII", 2, 0, 1, at + len(both[0][1]), len(both[1][1]))
    located = full_box(b"iloc", b"\x44\0" + struct.pack(">H", 2) + places)
    return first + full_box(b"meta", fixed + located) + box(b"mdat", both[0][1] + both[1][1])


def _properties(width: int, height: int, decoder: bytes, numbers: range) -> bytes:
    sizes = full_box(b"ispe", struct.pack(">II", width, height)) + full_box(b"ispe", struct.pack(">II", TILE, TILE))
    depth = full_box(b"pixi", b"\x03\x08\x08\x08")
    of_grid = struct.pack(">HB", _GRID, 2) + b"\x01\x04"
    of_tiles = b"".join(struct.pack(">HB", number, 2) + b"\x02\x83" for number in numbers)
    associated = full_box(b"ipma", struct.pack(">I", 1 + len(numbers)) + of_grid + of_tiles)
    return box(b"ipco", sizes + decoder + depth) + associated


def _encoding(heic: bytes) -> tuple[bytes, bytes]:
    """The decoder's set-up (the whole `hvcC` box) and the encoded picture of a HEIC that holds just one."""
    inner = dict(_boxes(heic, 0, len(heic)))
    start, _ = inner[b"meta"]
    found = heic.index(b"hvcC", start) - 4
    begin, end = inner[b"mdat"]
    return heic[found : found + int.from_bytes(heic[found : found + 4])], heic[begin:end]


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    while at + 8 <= end:
        size = int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], (at + 8, at + size)
        at += size


def jp2_tiled(width: int, height: int, colours: Sequence[tuple[int, int, int]]) -> bytes:
    """A JPEG 2000 codestream whose tiles have these colours in turn (ITU-T T.800, annex A)."""
    options = {"no_jp2": True, "num_resolutions": 1, "mct": 0}
    files = [encoded(Image.new("RGB", (TILE, TILE), colour), "JPEG2000", **options) for colour in colours]
    tiles = [one[one.index(_SOT) : -2] for one in files]
    head = files[0][: files[0].index(_SOT)]
    size = head.index(b"\xff\x51") + 6
    fields = struct.pack(">8I", width, height, 0, 0, TILE, TILE, 0, 0)
    parts = [head[:size] + fields + head[size + len(fields) :]]
    for at in range(-(-width // TILE) * -(-height // TILE)):
        tile = tiles[at % len(tiles)]
        parts.append(tile[:4] + struct.pack(">H", at) + tile[6:])
    return b"".join((*parts, files[0][-2:]))


def tiff_luma_and_chroma(width: int, height: int, colours: Sequence[tuple[int, int, int]]) -> bytes:
    """A deflated TIFF of Y, Cb and Cr, which libvips does not read; its strips of TILE lines have these colours in turn."""
    strips = [zlib.compress(Image.new("RGB", (width, TILE), one).convert("YCbCr").tobytes()) for one in colours]
    starts = [8 + sum(len(one) for one in strips[:at]) for at in range(len(strips))]
    which = [at % len(strips) for at in range(height // TILE)]
    short, long = 3, 4
    fields = (
        (256, long, (width,)),
        (257, long, (len(which) * TILE,)),
        (258, short, (8, 8, 8)),
        (259, short, (8,)),
        (262, short, (6,)),
        (273, long, tuple(starts[one] for one in which)),
        (277, short, (3,)),
        (278, long, (TILE,)),
        (279, long, tuple(len(strips[one]) for one in which)),
        (530, short, (1, 1)),
    )
    at = 8 + sum(len(one) for one in strips)
    entries, values, behind = b"", b"", at + 2 + 12 * len(fields) + 4
    for tag, kind, numbers in fields:
        value = struct.pack(f"<{len(numbers)}{'H' if kind == short else 'I'}", *numbers)
        place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", behind + len(values))
        values += value if len(value) > 4 else b""
        entries += struct.pack("<HHI", tag, kind, len(numbers)) + place
    return (
        b"II*\0"
        + struct.pack("<I", at)
        + b"".join(strips)
        + struct.pack("<H", len(fields))
        + entries
        + bytes(4)
        + values
    )
