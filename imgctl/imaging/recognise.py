"""Recognises a file's format by its first bytes, and names the content of other files."""

import re
import struct

from imgctl.errors import DecoderMissing, FormatUnsupported, NotAnImage
from imgctl.imaging.formats import KNOWN, Format, Kind
from imgctl.imaging.metadata.tiff import (
    PHOTOMETRIC,
    RAW_VERSION,
    REDUCED_COPY,
    SUB_IMAGES,
    Directories,
    Entries,
    directories,
)
from imgctl.imaging.source import Data, Source, source_of

_ARTICLE = {Kind.PICTURE: "a picture", Kind.RAW: "a camera raw", Kind.FILM: "a film"}
_WAY_OUT = {
    Kind.PICTURE: "convert it to JPEG, PNG or TIFF",
    Kind.RAW: "export it as JPEG or TIFF",
    Kind.FILM: "keep it elsewhere",
}

_MAGIC = tuple((magic, row.format) for row in KNOWN.values() for magic in row.magic)
_BRANDS = {brand: row.format for row in KNOWN.values() for brand in row.brands}
_BRANDS_READ = 256
_EITHER_BRANDS = frozenset((b"mif1", b"msf1"))
# The box after a film's brands; after a picture's brands comes `meta`.
_MOVIE_BOXES = frozenset((b"moov", b"mdat", b"moof", b"wide", b"free", b"skip", b"uuid", b"pdin"))
_SOUND_BRANDS = frozenset((b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"aax ", b"aaxc"))
# QuickTime files older than `ftyp` open with any other atom (QuickTime File Format Specification, "Atoms").
_QUICKTIME_ATOMS = frozenset((b"moov", b"mdat", b"wide", b"pnot"))
_RIFF = {b"WEBP": Format.WEBP, b"AVI ": Format.AVI}
_TRANSPORT_PACKETS = ((0, 188), (4, 192))
# Compiled at the first file without a known signature: most runs have none.
_PNM = rb"P[1-6]\s(?:\s|#[^\n]*\n)*\d{1,9}\s+(?:#[^\n]*\n\s*)*\d{1,9}\s|P7\n(?:#|[A-Z])|P[Ff]\s\d{1,9}\s\d{1,9}\s"
_PCX = rb"\x0a[\0\x02-\x05]\x01[\x01\x02\x04\x08]"
_ICON = rb"(?s)\0\0[\x01\x02]\0[\x01-\xff]\0...\0"
_SGI = rb"\x01\xda[\0\x01][\x01\x02]\0[\x01-\x03]"
_TGA_END = b"TRUEVISION-XFILE.\0"
_TGA_PLAIN, _TGA_MAPPED, _TGA_BITS = (1, 2, 3), (1, 9), (8, 15, 16, 24, 32)
_TGA_TYPES = (*_TGA_PLAIN, 9, 10, 11)
# Atomic: a comment ends at its first end, lest a row of them is divided in every possible way.
_SVG = rb"(?s)\s*(?:(?><\?xml[^>]*>|<!--.*?-->|<!DOCTYPE\s+svg[^>\[]*(?:\[.*?\]\s*)?>)\s*)*<(?:svg:)?svg[\s>]"
_EPS = rb"%!PS-Adobe-\d\.\d EPSF"
_BY_PATTERN = (
    (_PNM, Format.PNM),
    (_PCX, Format.PCX),
    (_ICON, Format.ICO),
    (_SGI, Format.SGI),
    (_EPS, Format.EPS),
    (_SVG, Format.SVG),
)
_HEAD_READ = 4096

_MAKE = 0x010F
# Colour filter array and LinearRaw (DNG 1.7, PhotometricInterpretation).
_MOST_SUB_IMAGES = 8
_SENSOR_PIXELS = frozenset((32803, 34892))

# Makers whose raws are TIFFs (by the Make tag), and today's format of their files.
_MAKERS = (
    ("nikon", Format.NEF),
    ("sony", Format.ARW),
    ("pentax", Format.PEF),
    ("ricoh", Format.PEF),
    ("samsung", Format.SRW),
    ("hasselblad", Format.FFF),
    ("phase one", Format.IIQ),
    ("leaf", Format.MOS),
    ("kodak", Format.DCR),
    ("eastman", Format.DCR),
    ("seiko epson", Format.ERF),
)
# Formats built like a TIFF: the file name separates one maker's formats.
_IN_TIFF = frozenset((*(one for _, one in _MAKERS), Format.OTHER_RAW, Format.CR2, Format.DNG, Format.GPR))
_IN_TIFF |= {Format.NRW, Format.SR2, Format.KDC}
_RW2_NAMES = frozenset((Format.RW2, Format.RWL))

_STRANGERS = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"SQLite format 3\0", "a database"),
    (b"<?xml", "an XML document"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"ID3", "an MP3 recording"),
    (b"OggS", "a sound recording"),
    (b"fLaC", "a sound recording"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
)


def sniff(what: Data | Source) -> Format | None:
    """Return the format of the data's signature, or None; an MPO counts as JPEG here and is recognised later."""
    source = source_of(what)
    found = _by_opening(source.read(0, _HEAD_READ))
    if found is Format.TIFF:
        return _in_tiff(source)
    return found or (Format.TGA if is_tga(source) else None)


def _by_opening(data: bytes) -> Format | None:
    if data[:3] == b"\xff\xd8\xff":
        return Format.JPEG
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12])
    if data[4:8] == b"ftyp":
        return _by_brand(data) if data[8:12] not in _SOUND_BRANDS else None
    found = next((known for magic, known in _MAGIC if data.startswith(magic)), None)
    if found is Format.MKV:
        return Format.WEBM if b"\x42\x82\x84webm" in data else Format.MKV
    return found or _by_structure(data)


def sniff_named(what: Data | Source, named: Format | None) -> Format | None:
    """As `sniff`, but `named`, the format of the file name, decides between a maker's formats of the same content."""
    found = sniff(what)
    if found is None and named is Format.TGA:
        return named if is_tga(what, by_name=True) else None
    if named is None or found is None:
        return found
    shared = _IN_TIFF if found in _IN_TIFF else _RW2_NAMES if found in _RW2_NAMES else frozenset[Format]()
    return named if named in shared and named is not Format.DNG else found


def is_iso_media(data: bytes) -> bool:
    """Whether the data has the structure of a film (ISO/IEC 14496-12), whatever its brand."""
    return data[4:8] == b"ftyp" and data[8:12] not in _SOUND_BRANDS


def unsupported(known: Format, *, by_name: bool = False) -> FormatUnsupported:
    """Return the error for an unsupported picture, raw or film."""
    row = KNOWN[known]
    description = f"by its name {_ARTICLE[row.kind]}" if by_name else _ARTICLE[row.kind]
    way_out = f"pip install 'imgctl[{row.extra}]'" if row.supported and row.extra else _WAY_OUT[row.kind]
    return FormatUnsupported(f"unsupported: {description} ({row.title})", hint=way_out, format_name=known.value)


def not_installed(known: Format) -> DecoderMissing:
    """Return the error for a format whose decoder comes with an extra that this machine lacks."""
    row = KNOWN[known]
    hint = f"pip install 'imgctl[{row.extra}]', and start the worker again"
    return DecoderMissing(
        f"no decoder for {row.title} is installed on this machine", hint=hint, format_name=known.value
    )


def cannot_load(known: Format, error: ImportError) -> DecoderMissing:
    """Return the error for a format whose decoder this machine cannot load."""
    hint = "repair the installation (imgctl doctor), and start the worker again"
    return DecoderMissing(
        f"the decoder for {KNOWN[known].title} cannot be loaded on this machine: {error}",
        hint=hint,
        format_name=known.value,
    )


def stranger(data: bytes) -> NotAnImage:
    """Return the error that describes a file that is not a picture."""
    if not data:
        return NotAnImage("not an image: the file is empty", hint="copy it again from its source")
    if not data.strip(b"\0"):
        return NotAnImage("not an image: the file contains only zeros", hint="copy it again from its source")
    what = _other(data)
    if what is None:
        return NotAnImage("not an image: its first bytes match no known format", hint="see imgctl help formats")
    return NotAnImage(f"not an image: {what}", hint="imgctl stores photos and films only")


def is_other(data: bytes) -> bool:
    """Whether the content is known not to be a picture: empty, zeros, text, an archive, a recording …"""
    return not data.strip(b"\0") or _other(data) is not None


def _other(data: bytes) -> str | None:
    if data[4:8] == b"ftyp" and data[8:12] in _SOUND_BRANDS:
        return "a sound recording"
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "a sound recording"
    what = next((name for magic, name in _STRANGERS if data.lstrip()[:16].startswith(magic)), None)
    return what or ("plain text" if _is_text(data[:512]) else None)


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\n\r\f" for byte in head)


def _by_brand(data: bytes) -> Format | None:
    """Return the format of the major brand, else of the first known compatible one; a mif1 may be HEIC or AVIF."""
    end = min(int.from_bytes(data[:4]), _BRANDS_READ, len(data))
    major, *brands = [data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))]
    if major in _EITHER_BRANDS:
        return Format.AVIF if any(_BRANDS.get(one) is Format.AVIF for one in brands) else Format.HEIC
    after = int.from_bytes(data[:4])
    other = Format.MP4 if data[after + 4 : after + 8] in _MOVIE_BOXES else None
    return next((_BRANDS[one] for one in (major, *brands) if one in _BRANDS), other)


def _in_tiff(source: Source) -> Format:
    """Return TIFF, or the raw format built on it: its first directory is a preview or a sensor's pixels."""
    mark = source.read(8, 4)
    if mark[:2] == b"CR":
        return Format.CR2
    if mark in (b"IIII", b"MMMM"):
        return Format.IIQ
    found = directories(source)
    if found is None:
        return Format.TIFF
    first = found.at(found.first)
    make = found.text(first.get(_MAKE)).decode("latin-1").lower()
    if RAW_VERSION in first:
        return Format.GPR if make.startswith("gopro") else Format.DNG
    preview = found.number(first.get(REDUCED_COPY)) & 1 and SUB_IMAGES in first
    if not preview and not _holds_a_sensor(found, first):
        return Format.TIFF
    return next((known for name, known in _MAKERS if make.startswith(name)), Format.OTHER_RAW)


def is_tga(what: Data | Source, *, by_name: bool = False) -> bool:
    """Whether it is a Targa by its footer, else by consistent fields that match the file's size (Truevision TGA 2.0).

    Run-length coded pixels have no fixed size to match; with `by_name` the file's name replaces that check.
    """
    source = source_of(what)
    head = source.read(0, 18)
    if len(head) < 18 or head[1] > 1 or head[2] not in _TGA_TYPES:
        return False
    length, mapped, kind, _, colours, colour_bits, _, _, width, height, bits, _ = struct.unpack("<3B2HB4H2B", head)
    if not width or not height or bits not in _TGA_BITS or mapped != (kind in _TGA_MAPPED):
        return False
    if source.read(source.size - len(_TGA_END), len(_TGA_END)) == _TGA_END:
        return True
    if kind not in _TGA_PLAIN:
        return by_name
    return bool(source.size == 18 + length + mapped * colours * -(-colour_bits // 8) + width * height * -(-bits // 8))


def _holds_a_sensor(found: Directories, first: Entries) -> bool:
    """Whether the first directory, or one below it, holds a sensor's pixels."""
    below = found.numbers(first.get(SUB_IMAGES))[:_MOST_SUB_IMAGES]
    return any(
        found.number(entries.get(PHOTOMETRIC)) in _SENSOR_PIXELS for entries in (first, *(found.at(at) for at in below))
    )


def _by_structure(data: bytes) -> Format | None:
    """Return the format of data without a fixed signature, by its structure."""
    if data[4:8] in _QUICKTIME_ATOMS:
        return Format.MOV
    if data[:4] == b"OggS" and b"theora" in data:
        return Format.OGV
    if any(_is_transport(data, at, size) for at, size in _TRANSPORT_PACKETS):
        return Format.MTS
    text = data.removeprefix(b"\xef\xbb\xbf")
    return next((known for pattern, known in _BY_PATTERN if re.match(pattern, text)), None)


def _is_transport(data: bytes, at: int, size: int) -> bool:
    """Whether packets of an MPEG transport stream (ISO/IEC 13818-1, 2.4.3.2) begin at `at`."""
    return all(data[place : place + 1] == b"G" for place in range(at, at + 4 * size, size))
