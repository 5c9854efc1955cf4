"""Files crafted to keep a reader busy: each is recognised in bounded memory, and in work that grows with its size.

Without a bound these tests do not end within minutes.
"""

import struct
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest

from imgctl.errors import NotAnImage
from imgctl.imaging.formats import Format
from imgctl.imaging.metadata.heif import read_heif
from imgctl.imaging.probe import recognise
from imgctl.imaging.recognise import sniff
from imgctl.imaging.source import MOST_BLOCK, MOST_PARTS, Source, in_memory
from imgctl.imaging.takeout import cut_names
from tests.imaging.containers import Metadata, box, chunk, full_box, png
from tests.imaging.metadata import xmp_packet

BRANDS = box(b"ftyp", b"heic" + bytes(4) + b"heic")
FILM = box(b"ftyp", b"qt  " + bytes(4) + b"qt  ")
PACKET = xmp_packet("", 'xmp:CreateDate="2023-07-14T15:30:12Z"')


def heic_with_extents(*, sizes: int, places: bytes) -> bytes:
    """A HEIC whose EXIF item 1 is placed by `places`, with the widths of their fields in `sizes`."""
    entry = full_box(b"infe", struct.pack(">HH", 1, 0) + b"Exif\0", 2)
    located = full_box(b"iloc", bytes([sizes, 0]) + places)
    return BRANDS + full_box(b"meta", full_box(b"iinf", b"\0\1" + entry) + located) + bytes(MOST_BLOCK)


def endless_extents() -> bytes:
    """65,535 items of 65,535 extents each, none of which occupies a byte."""
    return heic_with_extents(sizes=0, places=b"\xff\xff" + struct.pack(">HHH", 1, 0, 65535) * 65535)


def extents_to_the_end() -> bytes:
    """Thousands of extents without a length, each the rest of the file."""
    return heic_with_extents(sizes=0x40, places=struct.pack(">HHHH", 1, 1, 0, 9000) + bytes(4 * 9000))


def texts_that_unpack() -> bytes:
    """A PNG with texts of any name and of wanted ones, each of mebibytes when unpacked."""
    packed = b"\0\0" + zlib.compress(bytes(MOST_BLOCK), 9)
    names = [b"%d" % number for number in range(100)] + [b"Description"] * 100
    return png(Metadata())[:-12] + b"".join(chunk(b"zTXt", name + packed) for name in names)


def boxes_that_unpack() -> bytes:
    """A JPEG XL with thousands of compressed boxes of the same kind."""
    packed = box(b"brob", b"Exif" + brotli.compress(bytes(MOST_BLOCK)))
    return box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl " + bytes(4) + b"jxl ") + packed * MOST_PARTS


def named_texts(*, lists: int) -> bytes:
    """A film with a text of another name in each of many lists of metadata."""
    texts = (box(struct.pack(">I", 0x41000000 + number), box(b"data", bytes(9))) for number in range(lists))
    return FILM + box(b"moov", b"".join(box(b"udta", full_box(b"meta", box(b"ilst", text))) for text in texts))


def sigma_sections(name: bytes, section: bytes) -> bytes:
    """A Sigma raw whose list holds the same section 500 times."""
    head = b"FOVb" + bytes(252)
    listed = b"SECd\0\0\2\0" + struct.pack("<I", 500) + struct.pack("<2I4s", len(head), len(section), name) * 500
    return head + section + listed + struct.pack("<I", len(head) + len(section))


def sigma_properties() -> bytes:
    """Properties whose names and values are all of the text."""
    section = struct.pack("<8s4I", b"SECp\0\0\2\0", 512, 0, 0, 0) + struct.pack("<2I", 0, 1) * 512
    return sigma_sections(b"PROP", section + b"A\0" * 2**20)


def sigma_pictures() -> bytes:
    """JPEGs of as many empty markers as are read."""
    section = struct.pack("<8s2I12x", b"SECi\0\0\2\0", 2, 18) + b"\xff\xd8" + b"\xff\1" * MOST_PARTS
    return sigma_sections(b"IMA2", section)


CRAFTED: list[tuple[Callable[[], bytes], Format]] = [
    (endless_extents, Format.HEIC),
    (extents_to_the_end, Format.HEIC),
    (texts_that_unpack, Format.PNG),
    (boxes_that_unpack, Format.JXL),
    (lambda: named_texts(lists=MOST_PARTS), Format.MOV),
    (sigma_properties, Format.X3F),
    (sigma_pictures, Format.X3F),
]


@pytest.mark.parametrize(("crafted", "kind"), CRAFTED)
def test_a_crafted_file_is_read_in_bounded_work_and_memory(crafted: Callable[[], bytes], kind: Format) -> None:
    data = crafted()
    tracemalloc.start()
    try:
        found = recognise(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert found.kind == kind
    assert peak < 8 * MOST_BLOCK


@pytest.mark.parametrize(
    "text",
    [
        b"<!---->" * 500 + b"the end",
        b'<?xml version="1.0"?>\n' * 150,
        b"<!DOCTYPE svg [" + b"<!ENTITY a 'b'>] [" * 200,
        b"<!DOCTYPE svg" + b" [ ] " * 700,
        b"P5 " + b"#\n" * 2000,
    ],
)
def test_a_text_that_begins_like_a_picture_is_recognised_in_one_pass(text: bytes) -> None:
    assert sniff(text) is None
    with pytest.raises(NotAnImage):
        recognise(text)


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"\n<?xml version='1.0'?><!-- a > b --><!---->\n",
        b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "svg11.dtd" [ <!ENTITY a "b"> ]>',
        b"<!DOCTYPE svg>\n<!-- drawn by hand -->",
    ],
)
def test_an_svg_is_recognised_behind_comments_and_its_document_type(before: bytes) -> None:
    assert sniff(before + b'<svg xmlns="http://www.w3.org/2000/svg">') is Format.SVG


def in_store(data: bytes) -> Source:
    return Source(len(data), fetch=lambda at, length: data[at : at + length], remote=True)


def test_the_end_of_a_png_in_a_store_is_searched_in_bounded_work(monkeypatch: pytest.MonkeyPatch) -> None:
    checked, crc32 = [0], zlib.crc32

    def counted(data: bytes) -> int:
        checked[0] += len(data)
        return crc32(data)

    tail = (struct.pack(">I", 2**18) + b"tEXt") * 2**17
    whole = png(Metadata(pixels=2**21, xmp=PACKET))
    crafted = whole[:41] + chunk(b"IDAT", bytes(2**21)) + tail
    monkeypatch.setattr(zlib, "crc32", counted)

    assert recognise(in_store(whole)).xmp == PACKET
    assert recognise(in_store(crafted)).kind == Format.PNG
    assert checked[0] < 16 * 2**20


def test_only_names_that_a_file_can_have_are_tried_for_a_sidecar() -> None:
    assert len(cut_names("a" * 60_000 + ".jpg")) < 256


@pytest.mark.parametrize("length", [0, 40])
def test_an_extent_without_a_length_reaches_to_the_end(length: int) -> None:
    block = b"\0\0\0\0MM\0*" + bytes(32)
    place = struct.pack(">HHHHII", 1, 1, 0, 1, 0, length)
    data = heic_with_extents(sizes=0x44, places=place)[:-MOST_BLOCK]
    data = data[: -len(place)] + struct.pack(">HHHHII", 1, 1, 0, 1, len(data), length) + block

    found = read_heif(in_memory(data))

    assert found.exif.read(0, 99) == block[4:]
