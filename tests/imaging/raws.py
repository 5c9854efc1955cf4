"""Camera raws of a few hundred kilobytes, written field by field: four colours, a preview and a sensor's pixels."""

import struct
from collections.abc import Callable
from functools import cache, partial

from PIL import Image

from imgctl.imaging.formats import Format
from tests.imaging.containers import box, full_box
from tests.imaging.pictures import encoded, quadrants
from tests.imaging.stills import linear

SIZE = (640, 480)
TAKEN_SECONDS = 1_619_856_000
"""2021-05-01 08:00:00 UTC, since 1970: the time in raws without EXIF."""
RIGHT = 6
"""The EXIF orientation of every raw here: a quarter turn to the right."""

Entry = tuple[int, int, int, bytes]


def scene(size: tuple[int, int] = SIZE) -> Image.Image:
    """The quadrants around a middle of the brightest white, from which LibRaw scales."""
    width, height = size
    picture = quadrants(width, height)
    picture.paste((255, 255, 255), (width * 3 // 8, height * 3 // 8, width * 5 // 8, height * 5 // 8))
    return picture


XYZ_TO_SRGB = (3.2404542, -1.5371385, -0.4985314, -0.9692660, 1.8760108, 0.0415560, 0.0556434, -0.2040259, 1.0572252)


def shorts(tag: int, *values: int) -> Entry:
    return tag, 3, len(values), struct.pack(f"<{len(values)}H", *values)


def longs(tag: int, *values: int) -> Entry:
    return tag, 4, len(values), struct.pack(f"<{len(values)}I", *values)


def text(tag: int, value: bytes) -> Entry:
    return tag, 2, len(value) + 1, value + b"\0"


def fractions(tag: int, *values: float) -> Entry:
    kind, layout = (10, "<iI") if min(values) < 0 else (5, "<II")
    return tag, kind, len(values), b"".join(struct.pack(layout, round(one * 10_000), 10_000) for one in values)


def directory(entries: list[Entry], at: int) -> bytes:
    """A TIFF directory at offset `at`, followed by its long values."""
    size = 2 + 12 * len(entries) + 4
    lines, values = struct.pack("<H", len(entries)), b""
    for tag, kind, count, value in sorted(entries):
        if len(value) > 4:
            place = struct.pack("<I", at + size + len(values))
            values += value + bytes(len(value) % 2)
        else:
            place = value.ljust(4, b"\0")
        lines += struct.pack("<HHI", tag, kind, count) + place
    return lines + bytes(4) + values


@cache
def sensor(*, white: int = 65535, colours: int = 1, size: tuple[int, int] = SIZE) -> bytes:
    """The quadrants on a sensor of red and green over green and blue, in 16 bits; or with three colours a pixel."""
    light = [round(linear(value) * white) for value in range(256)]
    picture = scene(size)
    planes = [[light[value] for value in band.tobytes()] for band in picture.split()]
    width, height = size
    if colours == 3:
        return struct.pack(f"<{3 * width * height}H", *(one for pixel in zip(*planes, strict=True) for one in pixel))
    seen = [planes[y % 2 + x % 2][y * width + x] for y in range(height) for x in range(width)]
    return struct.pack(f"<{width * height}H", *seen)


@cache
def preview(size: tuple[int, int] = SIZE) -> bytes:
    """The camera's JPEG of the same quadrants, in the sensor's orientation."""
    return encoded(scene(size), "JPEG")


def dng(
    *,
    orientation: int = RIGHT,
    colours: int = 1,
    make: bytes = b"Test",
    size: tuple[int, int] = SIZE,
    pixels: bytes = b"",
) -> bytes:
    """A DNG of sRGB's primaries without a preview: Bayer, or LinearRaw of three colours as ProRAW is."""
    pixels = pixels or sensor(colours=colours, size=size)
    entries = [
        longs(254, 0),
        longs(256, size[0]),
        longs(257, size[1]),
        shorts(258, *[16] * colours),
        shorts(259, 1),
        shorts(262, 34892 if colours == 3 else 32803),
        text(271, make),
        text(272, b"One"),
        shorts(274, orientation),
        shorts(277, colours),
        longs(278, size[1]),
        longs(279, len(pixels)),
        shorts(284, 1),
        (50706, 1, 4, b"\1\4\0\0"),
        text(50708, make + b" One"),
        longs(50717, *[65535] * colours),
        fractions(50721, *XYZ_TO_SRGB),
        fractions(50728, 1.0, 1.0, 1.0),
        shorts(50778, 21),
    ]
    if colours == 1:
        entries += [shorts(33421, 2, 2), (33422, 1, 4, b"\0\1\1\2")]
    place = 8 + len(directory([*entries, longs(273, 0)], 8))
    return b"II*\0\x08\0\0\0" + directory([*entries, longs(273, place)], 8) + pixels


def in_tiff(
    make: bytes,
    model: bytes,
    *,
    head: bytes = b"II*\0",
    mark: bytes = b"",
    orientation: int = RIGHT,
    shown: bytes | None = None,
    size: tuple[int, int] = SIZE,
    pixels: bytes = b"",
) -> bytes:
    """A maker's raw that is built like a TIFF: a preview first, the sensor's pixels in a directory below it, at the end."""
    jpeg = preview(size) if shown is None else shown
    pixels = pixels or sensor(size=size)
    jpeg += bytes(len(jpeg) % 2)
    start = 8 + len(mark)

    def directories(jpeg_at: int, pixels_at: int, below_at: int) -> tuple[bytes, bytes]:
        first = [
            longs(254, 1),
            shorts(256, size[0]),
            shorts(257, size[1]),
            shorts(259, 6),
            text(271, make),
            text(272, model),
            shorts(274, orientation),
            longs(330, below_at),
            longs(513, jpeg_at),
            longs(514, len(jpeg)),
        ]
        below = [
            longs(254, 0),
            longs(256, size[0]),
            longs(257, size[1]),
            shorts(258, 16),
            shorts(259, 1),
            shorts(262, 32803),
            longs(273, pixels_at),
            shorts(277, 1),
            longs(278, size[1]),
            longs(279, len(pixels)),
            shorts(33421, 2, 2),
            (33422, 1, 4, b"\0\1\1\2"),
        ]
        return directory(first, start), directory(below, below_at)

    first, below = directories(0, 0, 0)
    below_at = start + len(first)
    jpeg_at = below_at + len(below)
    first, below = directories(jpeg_at, jpeg_at + len(jpeg), below_at)
    return head + struct.pack("<I", start) + mark + first + below + jpeg + pixels


def raf(size: tuple[int, int] = SIZE) -> bytes:
    """Fujifilm's: a JPEG with the camera's EXIF, a list of sizes, and a TIFF of the sensor's pixels."""
    entries = b"Exif\0\0II*\0\x08\0\0\0" + directory(
        [text(271, b"FUJIFILM"), text(272, b"X-One"), shorts(274, RIGHT)], 8
    )
    jpeg = preview(size)
    jpeg = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(entries) + 2) + entries + jpeg[2:]
    edges = struct.pack(">2H", size[1], size[0])
    tags = ((0x100, edges), (0x121, edges), (0x130, b"\0\x08\0\0"))
    listed = struct.pack(">I", len(tags)) + b"".join(struct.pack(">2H", tag, len(one)) + one for tag, one in tags)
    pixels = sensor(white=16383, size=size)

    def before(at: int) -> bytes:
        below = [longs(0xF001, size[0]), longs(0xF002, size[1]), longs(0xF003, 16)]
        below += [longs(0xF007, at), longs(0xF008, len(pixels))]
        outer = directory([(0xF000, 13, 1, struct.pack("<I", 26))], 8)
        return b"II*\0\x08\0\0\0" + outer + directory(below, 26)

    tiff = before(len(before(0))) + pixels
    places, at = [], 160
    for part in (jpeg, listed, tiff):
        places += [at, len(part)]
        at += len(part)
    head = b"FUJIFILMCCD-RAW 0201FF393101" + b"X-One".ljust(56, b"\0") + struct.pack(">6I", *places)
    return head.ljust(160, b"\0") + jpeg + listed + tiff


def crw(size: tuple[int, int] = SIZE) -> bytes:
    """Canon's CIFF: heaps whose lists of contents lie at their ends."""

    def heap(*parts: tuple[int, bytes]) -> bytes:
        body, listed = b"", b""
        for tag, data in parts:
            listed += struct.pack("<HII", tag, len(data), len(body))
            body += data + bytes(len(data) % 2)
        return body + struct.pack("<H", len(parts)) + listed + struct.pack("<I", len(body))

    name = heap((0x080A, b"Canon\0Canon EOS 300D DIGITAL\0"))
    edges = struct.pack("<9H", 18, *size, 1, 1, 0, 0, size[0] - 1, size[1] - 1)
    turned = struct.pack("<2If4I", *size, 1.0, 90, 8, 1, 0)
    # Two hours east; the last number marks the offset as known.
    taken = struct.pack("<IiI", TAKEN_SECONDS + 7200, 7200, 1 << 31)
    properties = heap((0x2807, name), (0x1031, edges), (0x1810, turned), (0x180E, taken))
    whole = heap((0x300A, properties), (0x2007, preview(size)), (0x2005, bytes(999)))
    return b"II\x1a\0\0\0HEAPCCDR\x02\0\1\0" + bytes(8) + whole


def cr3(size: tuple[int, int] = SIZE) -> bytes:
    """Canon's boxes: a preview, and a track of sensor pixels in a compression that no library here can write."""
    first = [
        longs(256, size[0]),
        longs(257, size[1]),
        text(271, b"Canon"),
        text(272, b"Canon EOS R"),
        shorts(274, RIGHT),
    ]
    entries = b"II*\0\x08\0\0\0" + directory(first, 8)
    canon = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
    metadata = box(b"uuid", canon + box(b"CNCV", b"CanonCR3_001/00.09.00/00.00.00") + box(b"CMT1", entries))
    shown = bytes(4) + struct.pack(">4HI", 1, *size, 1, len(preview(size))) + preview(size)
    held = box(
        b"uuid", bytes.fromhex("eaf42b5e1c984b88b9fbb7dc406e4d16") + struct.pack(">2I", 0, 1) + box(b"PRVW", shown)
    )
    opening, pixels = box(b"ftyp", b"crx \0\0\0\1crx isom"), bytes(64)
    # One tile of four planes, 14 bits.
    packed = bytes(4) + struct.pack(">2H4I4BI", 0x100, 0, *size, *size, 14, 0x40, 0, 0, 64) + bytes(60)

    def moov(at: int) -> bytes:
        table = full_box(b"stsd", struct.pack(">I", 1) + box(b"CRAW", bytes(82) + box(b"CMP1", packed)))
        table += full_box(b"stsc", struct.pack(">4I", 1, 1, 1, 1))
        table += full_box(b"stsz", struct.pack(">2I", len(pixels), 1)) + full_box(b"co64", struct.pack(">IQ", 1, at))
        media = full_box(b"hdlr", bytes(4) + b"vide" + bytes(12)) + box(b"minf", box(b"stbl", table))
        return box(b"moov", metadata + box(b"trak", box(b"mdia", media)))

    at = len(opening) + len(moov(0)) + len(held) + 8
    return opening + moov(at) + held + box(b"mdat", pixels)


def x3f(size: tuple[int, int] = SIZE) -> bytes:
    """Sigma's sections: a preview, properties, and sensor pixels in a compression that no library here can write."""
    head = b"FOVb" + struct.pack("<I", 0x00020003) + bytes(20) + struct.pack("<3I", *size, 90) + bytes(224)
    entries = ("CAMMANUF", "SIGMA", "CAMMODEL", "SIGMA DP1", "TIME", str(TAKEN_SECONDS))
    places = [len("".join(f"{one}\0" for one in entries[:at])) for at in range(len(entries))]
    values = "".join(f"{one}\0" for one in entries).encode("utf-16-le")
    properties = struct.pack("<10I", len(entries) // 2, 0, 0, len(values) // 2, *places) + values
    sections = (
        (b"IMA2", b"SECi", struct.pack("<5I", 3, 30, *size, 0) + bytes(64)),
        (b"IMAG", b"SECi", struct.pack("<5I", 2, 18, *size, 0) + preview(size) + bytes(-len(preview(size)) % 4)),
        (b"PROP", b"SECp", properties),
    )
    data, listed = head, b""
    for name, kind, content in sections:
        listed += struct.pack("<2I", len(data), 8 + len(content)) + name
        data += kind + struct.pack("<I", 0x00020000) + content
    return data + b"SECd" + struct.pack("<2I", 0x00020000, len(sections)) + listed + struct.pack("<I", len(data))


def mrw(size: tuple[int, int] = SIZE) -> bytes:
    """Minolta's blocks, and the sensor's pixels: 12 bits of each 16, of a model whose colours LibRaw has no matrix for."""
    first = [text(271, b"Minolta Co., Ltd."), text(272, b"One"), shorts(274, RIGHT)]
    edges = struct.pack(">4H3B", size[1], size[0], size[1], size[0], 16, 12, 0x52)
    blocks = (
        (b"\0PRD", b"27820001" + edges + bytes(4) + b"\1"),
        (b"\0WBG", bytes(4) + struct.pack(">4H", 256, 256, 256, 256)),
        (b"\0TTW", b"II*\0\x08\0\0\0" + directory(first, 8)),
    )
    body = b"".join(name + struct.pack(">I", len(data)) + data for name, data in blocks)
    pixels = struct.unpack(f"<{size[0] * size[1]}H", sensor(white=4095, size=size))
    return b"\0MRM" + struct.pack(">I", len(body)) + body + struct.pack(f">{len(pixels)}H", *pixels)


KODAK = b"EASTMAN KODAK COMPANY"
DEVELOPED: dict[str, tuple[Format, Callable[..., bytes]]] = {
    "dng": (Format.DNG, dng),
    "proraw": (Format.DNG, partial(dng, colours=3, make=b"Apple")),
    "gpr": (Format.GPR, partial(dng, make=b"GoPro")),
    "mrw": (Format.MRW, mrw),
}
"""Raws without a preview, by the name of their kind: rendered from the sensor's pixels."""

SHOWN: dict[str, tuple[Format, Callable[..., bytes]]] = {
    "cr2": (Format.CR2, partial(in_tiff, b"Canon", b"Canon EOS 40D", mark=b"CR\2\0\0\0\0\0")),
    "cr3": (Format.CR3, cr3),
    "crw": (Format.CRW, crw),
    "nef": (Format.NEF, partial(in_tiff, b"NIKON CORPORATION", b"NIKON D70")),
    "nrw": (Format.NRW, partial(in_tiff, b"NIKON", b"COOLPIX P7000")),
    "arw": (Format.ARW, partial(in_tiff, b"SONY", b"ILCE-7")),
    "sr2": (Format.SR2, partial(in_tiff, b"SONY", b"DSC-R1")),
    "raf": (Format.RAF, raf),
    "orf": (Format.ORF, partial(in_tiff, b"OLYMPUS IMAGING CORP.", b"E-510", head=b"IIRO")),
    "rw2": (Format.RW2, partial(in_tiff, b"Panasonic", b"DMC-GH1", head=b"IIU\0")),
    "rwl": (Format.RWL, partial(in_tiff, b"LEICA", b"V-LUX 1", head=b"IIU\0")),
    "pef": (Format.PEF, partial(in_tiff, b"PENTAX", b"PENTAX K-5")),
    "x3f": (Format.X3F, x3f),
    "srw": (Format.SRW, partial(in_tiff, b"SAMSUNG", b"NX300")),
    "3fr": (Format.FFF, partial(in_tiff, b"Hasselblad", b"Hasselblad H3D")),
    "iiq": (Format.IIQ, partial(in_tiff, b"Phase One", b"P 45")),
    "mos": (Format.MOS, partial(in_tiff, b"Leaf", b"Aptus 22")),
    "dcr": (Format.DCR, partial(in_tiff, KODAK, b"KODAK DSC Pro 14nx")),
    "kdc": (Format.KDC, partial(in_tiff, KODAK, b"KODAK P880 ZOOM DIGITAL CAMERA")),
    "erf": (Format.ERF, partial(in_tiff, b"SEIKO EPSON CORP.", b"R-D1")),
    "other": (Format.OTHER_RAW, partial(in_tiff, b"Someone", b"Other")),
}
"""Makers' raws that LibRaw opens, with a preview as large as the sensor."""

RAWS = {**DEVELOPED, **SHOWN}
UPRIGHT = scene().transpose(Image.Transpose.ROTATE_270)
