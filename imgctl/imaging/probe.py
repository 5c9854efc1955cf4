"""Reads a file's header by seeking: format, extension and type, size as seen, orientation and metadata."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from imgctl.imaging.formats import KNOWN, Format
from imgctl.imaging.metadata.exif import NO_EXIF, Exif, read_exif
from imgctl.imaging.metadata.gif_webp_bmp import read_bmp, read_gif, read_webp
from imgctl.imaging.metadata.jpeg import read_jpeg
from imgctl.imaging.metadata.photoshop import read_psd
from imgctl.imaging.metadata.png import read_png
from imgctl.imaging.metadata.tiff import read_tiff
from imgctl.imaging.recognise import sniff, stranger, unsupported
from imgctl.imaging.source import Contents, Data, Source, source_of

# More is read to describe a file that is not a picture: "only zeros" is checked up to here.
NAMED_BY_BYTES = 2**20
# A few bytes prove nothing.
_NEEDS_SIZE = {Format.BMP, Format.PCX, Format.ICO, Format.SGI, Format.TGA}
_TURNED_BY_EXIF = frozenset((Format.JPEG, Format.MPO, Format.PNG, Format.WEBP, Format.TIFF))
_MOST_EDGE = 1 << 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A file's metadata before any pixel is decoded.

    `size` is as a person sees it, None if the header cannot be read; `orientation` is the remaining EXIF orientation
    (1-8) after a decoder has applied the container's own turns. The blocks of XMP and IPTC are unparsed.
    `taken_at` and `created_at` are a film's own. Files of one `content_identifier` are one Live Photo.
    """

    kind: Format
    size: tuple[int, int] | None = None
    orientation: int = 1
    exif: Exif = NO_EXIF
    xmp: bytes = b""
    iptc: bytes = b""
    texts: Mapping[str, str] = field(default_factory=dict)
    taken_at: datetime | None = None
    created_at: datetime | None = None
    content_identifier: str = ""


def read_header(source: Source, kind: Format) -> Header:
    """Parse a file of this format; damaged parts count as missing, and errors of fetching are raised."""
    contents = _reader(kind)(source)
    exif = read_exif(contents.exif, contents.exif_apart)
    orientation = _left_to_turn(kind, contents, exif)
    size = contents.size
    # The catalog's columns are 32-bit; a larger (or zero) size counts as unknown.
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
        taken_at=contents.taken_at,
        created_at=contents.created_at,
        content_identifier=contents.content_identifier or exif.content_identifier,
    )


def _reader(kind: Format) -> Callable[[Source], Contents]:
    if kind in _READERS:
        return _READERS[kind]
    if kind in (Format.HEIC, Format.AVIF):
        from imgctl.imaging.metadata.heif import read_heif

        return read_heif
    from imgctl.imaging.metadata.rare_formats import READERS

    return READERS[kind]


def _left_to_turn(kind: Format, contents: Contents, exif: Exif) -> int:
    """Return the remaining turn: decoders apply container transforms, which win; else EXIF counts, as in viewers.

    An AVIF is turned only by its container, as in browsers (MIAF, 7.3.10.1). XMP's orientation is ignored.
    """
    if kind is Format.HEIC:
        return 1 if contents.turned else exif.orientation
    return exif.orientation if kind in _TURNED_BY_EXIF else 1


_READERS: dict[Format, Callable[[Source], Contents]] = {
    Format.JPEG: read_jpeg,
    Format.MPO: read_jpeg,
    Format.PNG: read_png,
    Format.GIF: read_gif,
    Format.WEBP: read_webp,
    Format.TIFF: read_tiff,
    Format.BMP: read_bmp,
    Format.PSD: read_psd,
    Format.PSB: read_psd,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A picture's header; width and height are as a person sees it, None if the header is unreadable."""

    format: str
    content_type: str
    extension: str
    width: int | None
    height: int | None


def recognise(what: Data | Source, kind: Format | None = None) -> Header:
    """Recognise a picture and read only its header; `kind` is the format if already known.

    NotAnImage for other files, FormatUnsupported for formats that imgctl does not support.
    """
    source = source_of(what)
    kind = kind or sniff(source)
    if kind is not None and not KNOWN[kind].taken:
        raise unsupported(kind)
    header = read_header(source, kind) if kind else None
    if header is None or (header.size is None and kind in _NEEDS_SIZE):
        raise stranger(source.read(0, NAMED_BY_BYTES))
    return header


def probe(what: Data | Source) -> Probe:
    """Probe a picture; raises as `recognise`."""
    return probe_of(recognise(what))


def probe_of(header: Header) -> Probe:
    """Return the facts that every upload records."""
    width, height = header.size or (None, None)
    name = KNOWN[header.kind]
    return Probe(
        format=header.kind.value,
        content_type=name.content_type,
        extension=name.extension,
        width=width,
        height=height,
    )
