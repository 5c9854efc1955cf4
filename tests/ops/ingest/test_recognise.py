"""Format recognition: by content under any name, by name if the content has no signature, and by the decoders."""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
import pyvips
from PIL import Image

from imgctl.config.settings import WorkSettings
from imgctl.errors import FormatUnsupported, NotAnImage
from imgctl.imaging.decoders.choose import opened_as
from imgctl.imaging.formats import KNOWN, SUPPORTED, Format, Kind, format_by_name, format_names, formats_named
from imgctl.imaging.recognise import sniff
from imgctl.imaging.render import render
from imgctl.model import Recipe
from imgctl.ops.ingest.outcome import Fate, Reason
from imgctl.ops.ingest.recognise import ARCHIVES, LeftOut, Recogniser, unfit
from tests.imaging.pictures import encoded, quadrants


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    brands = major + bytes(4) + b"".join(compatible)
    return struct.pack(">I4s", 8 + len(brands), b"ftyp") + brands + bytes(64)


def tiff(*entries: tuple[int, int, int, int], make: bytes = b"") -> bytes:
    """Return a little-endian TIFF directory of (tag, type, count, value) entries, with an optional Make."""
    at = 8 + 2 + 12 * (len(entries) + bool(make)) + 4
    maker = ((0x010F, 2, len(make) + 1, at),) if make else ()
    listed = sorted((*entries, *maker))
    body = b"".join(struct.pack("<HHII", *entry) for entry in listed)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(listed)) + body + bytes(4) + make + b"\0"


PREVIEW = ((0x00FE, 4, 1, 1), (0x014A, 4, 1, 8))
SENSOR = (0x0106, 3, 1, 32803)
OPENINGS: dict[Format, list[bytes]] = {
    Format.PSB: [b"8BPS\0\2" + bytes(64)],
    Format.JXL: [b"\xff\x0a\xfa\x1f\x41\x91", b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl "],
    Format.PNM: [b"P6\n# by gimp\n4 4\n255\n", b"P1 2 2 1 0 0 1", b"P7\nWIDTH 4\n", b"Pf\n2 2\n-1.0\n"],
    Format.PCX: [b"\x0a\x05\x01\x08" + bytes(60)],
    Format.ICO: [b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0"],
    Format.SGI: [b"\x01\xda\x01\x01\0\x03"],
    Format.DDS: [b"DDS \x7c\0\0\0"],
    Format.QOI: [b"qoif\0\0\0\x04\0\0\0\x04\x03\0"],
    Format.EXR: [b"\x76\x2f\x31\x01\x02\0\0\0"],
    Format.HDR: [b"#?RADIANCE\nFORMAT="],
    Format.SVG: [
        b'<?xml version="1.0"?>\n<!-- made by hand -->\n<svg xmlns="">',
        b"<svg width='1'>",
        b"\xef\xbb\xbf<svg>",
    ],
    Format.EPS: [b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xc5\xd0\xd3\xc6" + bytes(28)],
    Format.DNG: [tiff((0xC612, 1, 4, 0x0401))],
    Format.CR2: [b"II*\0\x10\0\0\0CR\2\0" + bytes(32)],
    Format.CR3: [ftyp(b"crx ", b"isom")],
    Format.CRW: [b"II\x1a\0\0\0HEAPCCDR" + bytes(32)],
    Format.NEF: [tiff(*PREVIEW, make=b"NIKON CORPORATION")],
    Format.ARW: [tiff(*PREVIEW, make=b"SONY")],
    Format.PEF: [tiff(SENSOR, make=b"PENTAX")],
    Format.SRW: [tiff(*PREVIEW, make=b"SAMSUNG")],
    Format.FFF: [tiff(*PREVIEW, make=b"Hasselblad")],
    Format.DCR: [tiff(*PREVIEW, make=b"EASTMAN KODAK COMPANY")],
    Format.IIQ: [b"II*\0\x08\0\0\0IIII" + bytes(32)],
    Format.OTHER_RAW: [tiff(SENSOR, make=b"Someone")],
    Format.RAF: [b"FUJIFILMCCD-RAW 0201"],
    Format.ORF: [b"IIRO\x08\0\0\0", b"IIRS\x08\0\0\0", b"MMOR\0\0\0\x08"],
    Format.RW2: [b"IIU\0\x18\0\0\0"],
    Format.X3F: [b"FOVb\0\0\2\0"],
    Format.MRW: [b"\0MRM" + bytes(8)],
    Format.MOV: [
        ftyp(b"qt  "),
        struct.pack(">I4s", 8, b"wide") + bytes(32),
        struct.pack(">I4s", 99, b"moov") + bytes(32),
    ],
    Format.MP4: [ftyp(b"isom", b"mp41"), ftyp(b"mp42")],
    Format.M4V: [ftyp(b"M4V ", b"mp42")],
    Format.THREE_GP: [ftyp(b"3gp5", b"isom")],
    Format.AVI: [b"RIFF\x10\0\0\0AVI LIST"],
    Format.MTS: [(b"G" + bytes(187)) * 4, bytes(4) + (b"G" + bytes(191)) * 4],
    Format.MPEG: [b"\0\0\x01\xba\x44"],
    Format.WEBM: [b"\x1aE\xdf\xa3\x9f\x42\x82\x84webm"],
    Format.MKV: [b"\x1aE\xdf\xa3\x9f\x42\x82\x88matroska"],
    Format.WMV: [b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9"],
    Format.OGV: [b"OggS" + bytes(24) + b"\x80theora"],
}
NAMED_ONLY = frozenset(
    (Format.TGA, Format.DV, Format.GPR, Format.NRW, Format.SR2, Format.RWL, Format.KDC, Format.MOS, Format.ERF)
)
UNTAKEN = [known for known in OPENINGS if not KNOWN[known].taken]
EVERY_NAME = sorted({name for row in KNOWN.values() for name in row.extensions})


@pytest.fixture(scope="module")
def recogniser() -> Iterator[Recogniser]:
    with closing(Recogniser(WorkSettings())) as made:
        yield made


def refused(recogniser: Recogniser, data: bytes, name: str) -> tuple[Fate, Reason]:
    with pytest.raises((NotAnImage, FormatUnsupported)) as raised:
        recogniser.recognise(data, name)
    assert isinstance(raised.value, NotAnImage | FormatUnsupported)
    outcome = unfit(raised.value, name, size=len(data))
    return outcome.fate, outcome.reason


@pytest.mark.parametrize(("known", "data"), [(known, data) for known, all_ in OPENINGS.items() for data in all_])
def test_a_format_is_recognised_by_its_opening(known: Format, data: bytes) -> None:
    assert sniff(data) is known


@pytest.mark.parametrize("known", UNTAKEN)
@pytest.mark.parametrize("name", ["x.jpg", "x", "x.txt"])
def test_an_unsupported_format_is_refused_under_any_name(recogniser: Recogniser, known: Format, name: str) -> None:
    for data in OPENINGS[known]:
        assert refused(recogniser, data, name) == (Fate.FAILED, Reason.UNSUPPORTED)


def test_every_format_has_an_opening_or_only_a_name() -> None:
    untried = {known for known, row in KNOWN.items() if not row.magic and not row.brands}

    assert untried - OPENINGS.keys() - {Format.MPO, Format.WEBP} <= NAMED_ONLY


@pytest.mark.parametrize("ending", EVERY_NAME)
def test_all_names_of_pictures_are_treated_alike(recogniser: Recogniser, ending: str) -> None:
    for name in (f"a.{ending}", f"a.{ending.upper()}"):
        assert refused(recogniser, b"", name) == (Fate.FAILED, Reason.EMPTY)
        assert refused(recogniser, bytes(4096), name) == (Fate.FAILED, Reason.NOT_AN_IMAGE)
        assert refused(recogniser, b"no picture\n" * 9, name) == (Fate.FAILED, Reason.NOT_AN_IMAGE)


@pytest.mark.parametrize("known", [one for one, row in KNOWN.items() if not row.taken])
def test_content_without_a_signature_is_recognised_by_name(recogniser: Recogniser, known: Format) -> None:
    data = b"\x01\x02\x03\x04" * 64

    assert refused(recogniser, data, f"x.{KNOWN[known].extension}") == (Fate.FAILED, Reason.UNSUPPORTED)


@pytest.mark.parametrize(
    "data",
    [
        b"text\n",
        b"%PDF-1.7\n",
        b"PK\x03\x04",
        b"ID3\x04",
        b"RIFF\x10\0\0\0WAVE",
        ftyp(b"M4A ", b"mp42"),
        b"\x01\x02\x03",
    ],
)
@pytest.mark.parametrize("name", ["notes.txt", "README", "a.b/c"])
def test_a_file_that_is_not_a_picture_is_skipped(recogniser: Recogniser, data: bytes, name: str) -> None:
    assert refused(recogniser, data, name) == (Fate.SKIPPED, Reason.NOT_AN_IMAGE)


@pytest.mark.parametrize("known", [one for one in KNOWN if one is not Format.MPO])
def test_a_format_is_left_out_by_each_of_its_names(known: Format) -> None:
    row = KNOWN[known]
    kinds = {Kind.RAW: ["raw"], Kind.FILM: ["video", "film"], Kind.PICTURE: []}[row.kind]
    for name in (known.value, known.value.upper(), *row.extensions, *kinds):
        if name == "raw" and row.kind is not Kind.RAW:
            continue
        leaving = Recogniser(WorkSettings(), leave_out=formats_named(name))
        data = OPENINGS.get(known, [b""])[0]
        with pytest.raises(LeftOut):
            leaving.recognise(data, f"x.{row.extension}")

    assert known.value in format_names()


def test_names_of_formats_are_distinct() -> None:
    assert formats_named("nonsense") == frozenset()
    assert format_by_name("a.CR3") is Format.CR3
    assert format_by_name("cr3") is None
    assert all(format_by_name(f"x.{row.extension}") in (row.format, Format.JPEG) for row in KNOWN.values())


def test_a_makers_formats_are_distinguished_by_name() -> None:
    nikon = tiff(*PREVIEW, make=b"NIKON")

    assert Recogniser(WorkSettings()).recognise(nikon, "a.NRW").kind is Format.NRW
    assert Recogniser(WorkSettings()).recognise(nikon, "a.jpg").kind is Format.NEF


WRITABLE = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "AVIF", "HEIF")
SAMPLES = {kind: encoded(quadrants(48, 32), kind) for kind in WRITABLE}
LOADERS = {
    "JPEG": "jpegload_buffer",
    "PNG": "pngload_buffer",
    "GIF": "gifload_buffer",
    "WEBP": "webpload_buffer",
    "TIFF": "tiffload_buffer",
    "AVIF": "heifload_buffer",
    "HEIF": "heifload_buffer",
}


def decodes(data: bytes, kind: str) -> bool:
    """Whether Pillow, or libvips (by its own choice or with the format given), decodes the data."""
    with warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=WRITABLE) as image:
            image.load()
            return True
    with suppress(pyvips.Error):
        pyvips.Image.new_from_buffer(data, "", fail_on="error").avg()
        return True
    if kind in LOADERS:
        with suppress(pyvips.Error):
            getattr(pyvips.Image, LOADERS[kind])(data, fail_on="error").avg()
            return True
    return False


def mutations(data: bytes) -> list[bytes]:
    """Return copies of the data: each with one of the first bytes damaged in one of several ways, or with a prefix."""
    ways = (lambda byte: byte ^ 1, lambda byte: byte ^ 0x20, lambda _: 0, lambda _: 0xFF, lambda _: 0xFE)
    damaged = [data[:at] + bytes([way(data[at])]) + data[at + 1 :] for at in range(16) for way in ways]
    swapped = [data[:2] + data[3:1:-1] + data[4:]]
    return [*damaged, *swapped, *(junk + data for junk in (b"\n", b"\r\n", b"\xef\xbb\xbf", b"\0"))]


@pytest.mark.parametrize("kind", WRITABLE)
def test_whatever_a_decoder_reads_is_recognised_and_rendered(kind: str) -> None:
    unsigned = [one for one in mutations(SAMPLES[kind]) if sniff(one) is None and decodes(one, kind)]

    for data in unsigned:
        assert opened_as(data) is not None, data[:16]
        assert len(render(data, Recipe()).variants) == 3
    assert bool(unsigned) == (kind in {"JPEG", "GIF", "TIFF"}), len(unsigned)


def test_a_damaged_signature_is_taken_by_its_name_alone(recogniser: Recogniser) -> None:
    damaged = b"\xff\xd8\xfe" + SAMPLES["JPEG"][3:]

    assert recogniser.recognise(damaged, "a.jpg").kind is Format.JPEG
    assert recogniser.recognise(damaged, "a.jpg").size == (48, 32)
    assert recogniser.recognise(damaged, "a.png").kind is Format.JPEG
    assert recogniser.recognise(damaged, None).kind is Format.JPEG
    assert refused(recogniser, damaged, "a.bin") == (Fate.SKIPPED, Reason.NOT_AN_IMAGE)
    assert refused(recogniser, b"\x81" + SAMPLES["PNG"], "a.png") == (Fate.FAILED, Reason.NOT_AN_IMAGE)


def test_every_supported_format_has_its_own_name() -> None:
    assert len({row.extension for row in SUPPORTED if row.format is not Format.MPO}) == len(SUPPORTED) - 1


@pytest.mark.parametrize("within", ["", "old/", "outer.zip/"])
@pytest.mark.parametrize(
    "name",
    [
        "a.zip", "A.ZIP", "a.tar", "a.tgz", "a.tar.xz", "a.tar.zst", "a.rar", "a.7z", "a.cbz", "a.iso", "a.dmg",
        "a.z01", "a.r00", "a.7z.001", "IMG_1.JPG.gz", "a.nef.xz",
    ],
)  # fmt: skip
def test_an_archive_that_is_not_opened_is_a_failure(name: str, within: str) -> None:
    outcome = unfit(NotAnImage("not an image"), within + name, size=1)

    assert (outcome.fate, outcome.reason) == (Fate.FAILED, Reason.UNOPENED_ARCHIVE)
    assert ("name it as a source" in outcome.detail) == name.lower().endswith(ARCHIVES)


@pytest.mark.parametrize(
    "name", ["a.docx", "a.odt", "a.jar", "access.log.gz", "notes.txt", "zip", "a.zipper", "tar.md"]
)
def test_a_document_or_a_packed_text_is_left_out(name: str) -> None:
    assert unfit(NotAnImage("not an image"), name, size=1).fate is Fate.SKIPPED


def test_an_empty_archive_is_left_out() -> None:
    assert unfit(NotAnImage("not an image"), "a.zip", size=0).reason is Reason.EMPTY
