"""Which picture a file is, by its first bytes; names, content types and extensions live here."""

from dataclasses import dataclass
from enum import StrEnum

from imgctl.errors import NotAnImage


class Format(StrEnum):
    """The kinds of picture imgctl takes in."""

    JPEG = "jpeg"
    MPO = "mpo"
    PNG = "png"
    GIF = "gif"
    WEBP = "webp"
    TIFF = "tiff"
    HEIC = "heic"
    AVIF = "avif"
    BMP = "bmp"
    JPEG2000 = "jpeg2000"
    PSD = "psd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How an original of one format is served and named."""

    content_type: str
    extension: str


NAMING = {
    Format.JPEG: Naming(content_type="image/jpeg", extension="jpg"),
    # An MPO opens with an ordinary JPEG: browsers show it as one and know no other type for it.
    Format.MPO: Naming(content_type="image/jpeg", extension="jpg"),
    Format.PNG: Naming(content_type="image/png", extension="png"),
    Format.GIF: Naming(content_type="image/gif", extension="gif"),
    Format.WEBP: Naming(content_type="image/webp", extension="webp"),
    Format.TIFF: Naming(content_type="image/tiff", extension="tif"),
    Format.HEIC: Naming(content_type="image/heic", extension="heic"),
    Format.AVIF: Naming(content_type="image/avif", extension="avif"),
    Format.BMP: Naming(content_type="image/bmp", extension="bmp"),
    Format.JPEG2000: Naming(content_type="image/jp2", extension="jp2"),
    Format.PSD: Naming(content_type="image/vnd.adobe.photoshop", extension="psd"),
}

_MAGIC = (
    (b"\xff\xd8\xff", Format.JPEG),
    (b"\x89PNG\r\n\x1a\n", Format.PNG),
    (b"GIF87a", Format.GIF),
    (b"GIF89a", Format.GIF),
    (b"II*\0", Format.TIFF),
    (b"MM\0*", Format.TIFF),
    (b"II+\0\x08\0\0\0", Format.TIFF),
    (b"MM\0+\0\x08\0\0", Format.TIFF),
    (b"BM", Format.BMP),
    (b"\0\0\0\x0cjP  \r\n\x87\n", Format.JPEG2000),
    (b"\xff\x4f\xff\x51", Format.JPEG2000),
    (b"8BPS\0\x01", Format.PSD),
)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"}
_BRANDS_READ = 256

_STRANGERS = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"<?xml", "an XML or SVG document"),
    (b"<svg", "an SVG drawing"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"ID3", "an MP3 recording"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
)


def sniff(data: bytes) -> Format | None:
    """The format whose signature the data opens with, or None; an MPO is found out later and is a JPEG here."""
    if data[:3] == b"\xff\xd8\xff":
        return Format.JPEG
    if data[:4] == b"RIFF":
        return Format.WEBP if data[8:12] == b"WEBP" else None
    if data[4:8] == b"ftyp":
        return _by_brand(data)
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)


def _by_brand(data: bytes) -> Format | None:
    """ISO/IEC 14496-12, 4.3: a major brand, a version, and the compatible brands; films name none of ours."""
    end = min(int.from_bytes(data[:4]), _BRANDS_READ, len(data))
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))]
    if brands[0] in _AVIF_BRANDS or (brands[0] in {b"mif1", b"msf1"} and _AVIF_BRANDS.intersection(brands)):
        return Format.AVIF
    return Format.HEIC if brands[0] in _HEIC_BRANDS else None


def stranger(data: bytes) -> NotAnImage:
    """The error that says in plain words what a file is instead of a picture."""
    if not data:
        return NotAnImage("no picture: the file is empty", hint="copy it again from its source")
    if not data.strip(b"\0"):
        return NotAnImage("no picture: the file holds only zeros", hint="copy it again from its source")
    if data[4:8] == b"ftyp":
        return NotAnImage("no picture: this is a video or a camera's raw file", hint="imgctl keeps photos only")
    what = next((name for magic, name in _STRANGERS if data.lstrip()[:16].startswith(magic)), None)
    if what is None and _is_text(data[:512]):
        what = "plain text"
    if what is None:
        return NotAnImage("no picture: its first bytes belong to no known format", hint="JPEG, PNG, HEIC … are known")
    return NotAnImage(f"no picture: this is {what}", hint="imgctl keeps photos only")


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\n\r\f" for byte in head)
