"""Metadata of raws, JPEG XL and iPhones, which are in separate boxes and blocks."""

import struct
from collections.abc import Callable
from datetime import UTC, datetime

import brotli
import pytest

from imgctl.imaging.formats import Format
from imgctl.imaging.probe import read_header, recognise
from imgctl.imaging.source import in_memory
from tests.imaging.containers import box
from tests.imaging.films import apple_exif
from tests.imaging.pictures import encoded, quadrants
from tests.imaging.raws import RIGHT, Entry, crw, directory, longs, preview, shorts, text, x3f

TAKEN = datetime(2021, 5, 1, 8, tzinfo=UTC)


def exif_of(data: bytes, kind: Format) -> tuple[int, datetime | None, bytes]:
    exif = read_header(in_memory(data), kind).exif
    return exif.orientation, exif.taken_at, exif.description


def when(first: list[Entry], *, at: int = 8) -> bytes:
    """Return a TIFF with these entries in its first directory, followed by an EXIF directory with date and offset."""
    dates = [text(0x9003, b"2021:05:01 10:00:00"), text(0x9011, b"+02:00")]
    length = len(directory([*first, longs(0x8769, 0)], at))
    return (
        b"II*\0"
        + struct.pack("<I", at)
        + directory([*first, longs(0x8769, at + length)], at)
        + directory(dates, at + length)
    )


def test_the_date_of_a_raw_is_read_from_its_makers_structure() -> None:
    first = [text(270, b"By the sea"), text(271, b"Canon"), shorts(274, RIGHT)]
    dates = [text(0x9003, b"2021:05:01 10:00:00"), text(0x9011, b"+02:00")]
    apart = b"II*\0\x08\0\0\0" + directory(dates, 8)
    one, two = (b"II*\0\x08\0\0\0" + directory(first, 8)), apart
    canon = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
    moov = box(b"moov", box(b"uuid", canon + box(b"CMT1", one) + box(b"CMT2", two)))
    whole = when(first)
    jpeg = preview()
    jpeg = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(whole) + 8) + b"Exif\0\0" + whole + jpeg[2:]
    fuji = (b"FUJIFILMCCD-RAW ".ljust(84, b"0") + struct.pack(">2I", 160, len(jpeg))).ljust(160, b"\0") + jpeg
    block = b"\0TTW" + struct.pack(">I", len(whole)) + whole
    minolta = b"\0MRM" + struct.pack(">I", 16 + len(block)) + b"\0PRD" + struct.pack(">I", 8) + bytes(8) + block

    expected = (RIGHT, TAKEN, b"By the sea")
    assert exif_of(box(b"ftyp", b"crx \0\0\0\1crx isom") + moov, Format.CR3) == expected
    assert exif_of(fuji, Format.RAF) == expected
    assert exif_of(minolta, Format.MRW) == expected
    assert exif_of(whole, Format.NEF) == expected


@pytest.mark.parametrize(("kind", "made"), [(Format.CRW, crw), (Format.X3F, x3f)])
def test_the_date_of_a_raw_without_exif_is_read_from_its_container(kind: Format, made: Callable[[], bytes]) -> None:
    data = made()

    assert recognise(data).taken_at == TAKEN
    for cut in range(1, 200):
        assert recognise(data[:-cut], kind).taken_at is None


def test_the_jpeg_of_an_x3f_has_metadata_that_its_properties_lack() -> None:
    data = x3f()
    jpeg, exif = preview(), b"Exif\0\0" + when([text(270, b"By the sea")])
    described = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]

    at, listed = data.index(jpeg), data.index(b"SECd")
    moved = data[:at] + described + data[at + len(jpeg) : listed]
    head, size = at - 28, len(described) + 28
    moved += b"SECd" + struct.pack("<4I", 0x00020000, 1, head, size) + b"IMAG" + struct.pack("<I", len(moved))

    found = recognise(moved).exif
    assert (found.taken_at, found.description) == (TAKEN, b"By the sea")


def test_compressed_metadata_of_a_jpeg_xl_are_read() -> None:
    exif = bytes(4) + when([text(270, b"By the sea")])
    head = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    for held in (box(b"Exif", exif), box(b"brob", b"Exif" + brotli.compress(exif))):
        assert exif_of(head + held, Format.JXL) == (1, TAKEN, b"By the sea")
    cut = box(b"brob", b"Exif" + brotli.compress(exif)[:-9])
    assert exif_of(head + cut, Format.JXL) == (1, None, b"")
    assert exif_of(head + box(b"brob", b"Exif" + brotli.compress(bytes(2**25))), Format.JXL) == (1, None, b"")


def test_an_iphone_picture_has_the_identifier_of_its_live_photo() -> None:
    exif = apple_exif("1B1B9E7C-0000-4F6C-A1D2-3DAB7A10C43F")

    for kind in ("JPEG", "HEIF"):
        found = recognise(encoded(quadrants(), kind, exif=exif))
        assert found.content_identifier == "1B1B9E7C-0000-4F6C-A1D2-3DAB7A10C43F"
        assert found.exif.taken_at == TAKEN
    assert recognise(encoded(quadrants(), "JPEG")).content_identifier == ""
