"""A picture by its header, read by seeking: the one place that says how large it is, how to turn it and what it says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from imgctl.imaging.exif import NO_EXIF, Exif, read_exif
from imgctl.imaging.formats import Format
from imgctl.imaging.metadata.boxes import read_jp2
from imgctl.imaging.metadata.contents import Contents
from imgctl.imaging.metadata.gif import read_gif
from imgctl.imaging.metadata.heif import read_heif
from imgctl.imaging.metadata.jpeg import read_jpeg
from imgctl.imaging.metadata.photoshop import read_psd
from imgctl.imaging.metadata.png import read_png
from imgctl.imaging.metadata.source import Source
from imgctl.imaging.metadata.tiff import read_tiff
from imgctl.imaging.metadata.webp import read_webp

# A bitmap's header by its length: the oldest has edges of two bytes (Windows' and OS/2's headers, wingdi.h).
_OLDEST_BMP = 12
_BMP_HEADERS = frozenset((_OLDEST_BMP, 16, 40, 52, 56, 64, 108, 124))
_TURNED_BY_EXIF = frozenset((Format.JPEG, Format.MPO, Format.PNG, Format.WEBP, Format.TIFF))
_MOST_EDGE = 1 << 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the file says before a pixel is decoded.

    `size` is as a person sees it, None where the header cannot be read; `orientation` is the turn (1-8, as EXIF counts)
    that is left to do once a decoder has applied what the container itself says. The blocks of XMP and IPTC are as found.
    """

    kind: Format
    size: tuple[int, int] | None = None
    orientation: int = 1
    exif: Exif = NO_EXIF
    xmp: bytes = b""
    iptc: bytes = b""
    texts: Mapping[str, str] = field(default_factory=dict)


def read_header(source: Source, kind: Format) -> Header:
    """Take a file of this format apart; damage reads as absence, and what fetching raises is passed on."""
    contents = _READERS[kind](source)
    exif = read_exif(contents.exif)
    orientation = _left_to_turn(kind, contents, exif)
    size = contents.size
    # The catalog's columns are 32-bit; a header that claims more (or nothing) says nothing.
    if size is not None and not all(0 < edge < _MOST_EDGE for edge in size):
        size = None
    if size is not None and orientation >= 5:
        size = size[1], size[0]
    return Header(
        kind=Format.MPO if contents.pictures > 1 else kind,
        size=size,
        orientation=orientation,
        exif=exif,
        xmp=contents.xmp,
        iptc=contents.iptc,
        texts=contents.texts,
    )


def _left_to_turn(kind: Format, contents: Contents, exif: Exif) -> int:
    """Container transforms win, and decoders apply them; where there are none, EXIF counts as viewers have it count.

    An AVIF is turned by its container alone, as browsers do (MIAF, 7.3.10.1). An XMP packet turns nothing.
    """
    if kind is Format.HEIC:
        return 1 if contents.turned else exif.orientation
    return exif.orientation if kind in _TURNED_BY_EXIF else 1


def _read_bmp(source: Source) -> Contents:
    head = source.read(14, 12)
    length = int.from_bytes(head[:4], "little")
    if len(head) < 12 or length not in _BMP_HEADERS:
        return Contents()
    if length == _OLDEST_BMP:
        return Contents(size=(int.from_bytes(head[4:6], "little"), int.from_bytes(head[6:8], "little")))
    # Lines that come from the top down have a negative height.
    width, height = (int.from_bytes(head[at : at + 4], "little", signed=True) for at in (4, 8))
    return Contents(size=(width, abs(height)))


_READERS: dict[Format, Callable[[Source], Contents]] = {
    Format.JPEG: read_jpeg,
    Format.MPO: read_jpeg,
    Format.PNG: read_png,
    Format.GIF: read_gif,
    Format.WEBP: read_webp,
    Format.TIFF: read_tiff,
    Format.HEIC: read_heif,
    Format.AVIF: read_heif,
    Format.BMP: _read_bmp,
    Format.JPEG2000: read_jp2,
    Format.PSD: read_psd,
}
