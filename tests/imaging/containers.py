"""The smallest files of every format that hold metadata, written byte by byte: headers without pixels, 32 × 16."""

import struct
import zlib
from dataclasses import dataclass, field

from tests.imaging.metadata import resource

WIDTH, HEIGHT = 32, 16
Entry = tuple[int, int, int, bytes]
EXIF_UUID = b"JpgTiffExif->JP2"
IPTC_UUID = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The metadata of a file: EXIF entries, blocks as bytes, a PNG's texts, and a quarter turn in its container."""

    primary: tuple[Entry, ...] = ()
    exif: tuple[Entry, ...] = ()
    xmp: bytes = b""
    iptc: bytes = b""
    texts: dict[str, str] = field(default_factory=dict)
    turned: bool = False
    pixels: int = 100

    @property
    def block(self) -> bytes:
        """The EXIF block; empty without entries."""
        return tiff(self.primary, self.exif) if self.primary or self.exif else b""


def text_entry(tag: int, text: bytes) -> Entry:
    return tag, 2, len(text) + 1, text + b"\0"


def short_entry(tag: int, value: int) -> Entry:
    return tag, 3, 1, struct.pack("<H", value)


def tiff(
    primary: tuple[Entry, ...], exif: tuple[Entry, ...] = (), *, big: bool = False, pixels: int = 0, pointer: int = 4
) -> bytes:
    """A TIFF structure with its directories after its pixels, like libtiff's; `pointer` is the type of the EXIF one."""
    number = "Q" if big else "I"
    at = (16 if big else 8) + pixels
    tail = b""
    if exif:
        inner = _directory(exif, at, big=big)
        place = struct.pack(f"<{number}", at)
        primary = (*primary, (0x8769, pointer if not big else 16, 1, place))
        tail, at = inner, at + len(inner)
    head = b"II+\0\x08\0\0\0" + struct.pack("<Q", at) if big else b"II*\0" + struct.pack("<I", at)
    return head + bytes(pixels) + tail + _directory(primary, at, big=big)


def _directory(entries: tuple[Entry, ...], at: int, *, big: bool) -> bytes:
    wide, number, counted = (8, "Q", "Q") if big else (4, "I", "H")
    size = struct.calcsize(f"<{counted}") + (20 if big else 12) * len(entries) + wide
    lines, values = struct.pack(f"<{counted}", len(entries)), b""
    for tag, kind, count, value in sorted(entries):
        if len(value) > wide:
            place = struct.pack(f"<{number}", at + size + len(values))
            values += value
        else:
            place = value.ljust(wide, b"\0")
        lines += struct.pack(f"<HH{number}", tag, kind, count) + place
    return lines + bytes(wide) + values


def jpeg(metadata: Metadata, *, pictures: int = 1) -> bytes:
    segments = [(0xE0, b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0")]
    if metadata.block:
        segments.append((0xE1, b"Exif\0\0" + metadata.block))
    if metadata.xmp:
        segments.append((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + metadata.xmp))
    if metadata.iptc:
        segments.append((0xED, b"Photoshop 3.0\0" + resource(0x0404, metadata.iptc)))
    if pictures > 1:
        index = b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 0xB001, 4, 1, pictures) + bytes(4)
        segments.append((0xE2, b"MPF\0" + index))
    segments.append((0xC0, b"\x08" + struct.pack(">HH", HEIGHT, WIDTH) + b"\x01\x01\x11\0"))
    body = b"".join(b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data for marker, data in segments)
    return b"\xff\xd8" + body + bytes(metadata.pixels) + b"\xff\xd9"


def mpo(metadata: Metadata) -> bytes:
    return jpeg(metadata, pictures=2)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def profile(name: str, data: bytes) -> bytes:
    """A metadata block in a PNG text, as ImageMagick writes it."""
    lines = f"\n{name}\n{len(data):8d}\n{data.hex()}\n"
    return chunk(b"zTXt", f"Raw profile type {name}".encode() + b"\0\0" + zlib.compress(lines.encode()))


def png(metadata: Metadata, *, raw_profile: bool = False) -> bytes:
    """Pixels in chunks of 8 KiB, as libpng writes them, with all metadata after them."""
    parts = [chunk(b"IHDR", struct.pack(">II", WIDTH, HEIGHT) + b"\x08\2\0\0\0")]
    parts += [chunk(b"IDAT", bytes(8192)) for _ in range(-(-metadata.pixels // 8192))]
    if metadata.block:
        parts.append(profile("exif", b"Exif\0\0" + metadata.block) if raw_profile else chunk(b"eXIf", metadata.block))
    if metadata.xmp:
        parts.append(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp))
    if metadata.iptc:
        parts.append(profile("iptc", resource(0x0404, metadata.iptc)))
    parts += [chunk(b"tEXt", f"{name}\0{text}".encode("latin-1")) for name, text in metadata.texts.items()]
    return b"\x89PNG\r\n\x1a\n" + b"".join((*parts, chunk(b"IEND", b"")))


def gif(metadata: Metadata) -> bytes:
    head = b"GIF89a" + struct.pack("<HH", WIDTH, HEIGHT) + b"\0\0\0"
    trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    packet = b"\x21\xff\x0bXMP DataXMP" + metadata.xmp + trailer if metadata.xmp else b""
    return head + bytes(metadata.pixels) + packet + b"\x3b"


def webp(metadata: Metadata) -> bytes:
    canvas = bytes(4) + (WIDTH - 1).to_bytes(3, "little") + (HEIGHT - 1).to_bytes(3, "little")
    body = b"WEBP" + _riff(b"VP8X", canvas) + _riff(b"VP8L", bytes(metadata.pixels))
    body += _riff(b"EXIF", metadata.block) if metadata.block else b""
    body += _riff(b"XMP ", metadata.xmp) if metadata.xmp else b""
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _riff(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def tiff_file(metadata: Metadata, *, big: bool = False, pointer: int = 4) -> bytes:
    entries = [short_entry(0x0100, WIDTH), short_entry(0x0101, HEIGHT), *metadata.primary]
    if metadata.xmp:
        entries.append((0x02BC, 1, len(metadata.xmp), metadata.xmp))
    if metadata.iptc:
        # Many writers call these bytes LONGs.
        padded = metadata.iptc + bytes(-len(metadata.iptc) % 4)
        entries.append((0x83BB, 4, len(padded) // 4, padded))
    return tiff(tuple(entries), metadata.exif, big=big, pixels=metadata.pixels, pointer=pointer)


def big_tiff(metadata: Metadata) -> bytes:
    return tiff_file(metadata, big=True)


def box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", 8 + len(data)) + kind + data


def full_box(kind: bytes, data: bytes, version: int = 0) -> bytes:
    return box(kind, bytes([version, 0, 0, 0]) + data)


def heif(metadata: Metadata, brand: bytes, *, in_meta: bool = False, tiles: int = 0) -> bytes:
    """One picture (item 1) and its metadata items, after its pixels or in the box that lists them."""
    items = [(1, b"hvc1", b"", bytes(metadata.pixels))]
    items += [(number, b"hvc1", b"", b"") for number in range(4, 4 + tiles)]
    if metadata.block:
        items.append((2, b"Exif", b"", struct.pack(">I", 6) + b"Exif\0\0" + metadata.block))
    if metadata.xmp:
        items.append((3, b"mime", b"\0application/rdf+xml\0", metadata.xmp))
    properties = full_box(b"ispe", struct.pack(">II", WIDTH, HEIGHT)) + (
        box(b"irot", b"\1") if metadata.turned else b""
    )
    associated = struct.pack(">IHB", 1, 1, 1 + metadata.turned) + b"\x81" + b"\x82" * metadata.turned
    entries = b"".join(
        full_box(b"infe", struct.pack(">HH", number, 0) + kind + (rest or b"\0"), 2) for number, kind, rest, _ in items
    )
    describing = [one for one in items if one[0] in (2, 3)]
    fixed = full_box(b"pitm", struct.pack(">H", 1))
    fixed += full_box(b"iinf", struct.pack(">H", len(items)) + entries)
    fixed += box(b"iprp", box(b"ipco", properties) + full_box(b"ipma", associated))
    if describing:
        fixed += full_box(b"iref", b"".join(box(b"cdsc", struct.pack(">HHH", one[0], 1, 1)) for one in describing))
    if in_meta:
        fixed += box(b"idat", b"".join(one[3] for one in items))
    first = box(b"ftyp", brand + bytes(4) + brand)
    size = len(first) + 12 + len(fixed) + 12 + 4 + len(items) * (16 if in_meta else 14)
    places, at = b"", 0 if in_meta else size + 8
    for number, _, _, data in items:
        method = struct.pack(">H", 1) if in_meta else b""
        places += struct.pack(">H", number) + method + struct.pack(">HHII", 0, 1, at, len(data))
        at += len(data)
    located = full_box(b"iloc", b"\x44\0" + struct.pack(">H", len(items)) + places, version=int(in_meta))
    meta = full_box(b"meta", fixed + located)
    return first + meta + (b"" if in_meta else box(b"mdat", b"".join(one[3] for one in items)))


def heic(metadata: Metadata) -> bytes:
    return heif(metadata, b"heic")


def avif(metadata: Metadata) -> bytes:
    return heif(metadata, b"avif")


def bmp(metadata: Metadata) -> bytes:
    return b"BM" + bytes(12) + struct.pack("<IiiHH", 40, WIDTH, -HEIGHT, 1, 24) + bytes(24 + metadata.pixels)


def jp2(metadata: Metadata) -> bytes:
    head = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    head += box(b"jp2h", box(b"ihdr", struct.pack(">IIHBBBB", HEIGHT, WIDTH, 3, 7, 7, 0, 0)))
    head += box(b"jp2c", bytes(metadata.pixels))
    for name, data in ((EXIF_UUID, metadata.block), (XMP_UUID, metadata.xmp), (IPTC_UUID, metadata.iptc)):
        head += box(b"uuid", name + data) if data else b""
    return head


def psd(metadata: Metadata) -> bytes:
    found = b"".join(
        resource(number, data)
        for number, data in ((0x0404, metadata.iptc), (0x0422, metadata.block), (0x0424, metadata.xmp))
        if data
    )
    head = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, HEIGHT, WIDTH, 8, 3)
    return head + struct.pack(">I", 0) + struct.pack(">I", len(found)) + found + bytes(metadata.pixels)
