"""What a file is, from its header alone, read by seeking: format, names for it, size as seen, turn and metadata."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from imgctl.imaging.formats import KNOWN, Format
from imgctl.imaging.metadata.exif import NO_EXIF, Exif, read_exif
from imgctl.imaging.metadata.jpeg import read_jpeg
from imgctl.imaging.metadata.photoshop import read_psd
from imgctl.imaging.metadata.png import read_png
from imgctl.imaging.metadata.short import read_bmp, read_gif, read_webp
from imgctl.imaging.metadata.tiff import read_tiff
from imgctl.imaging.recognise import sniff, stranger, unsupported
from imgctl.imaging.source import Contents, Data, Source, source_of

# More is read to say what a file is instead of a picture: a file of zeros holds only zeros as far as that.
NAMED_BY_BYTES = 2**20
# A few bytes are no proof.
_NEEDS_SIZE = {Format.BMP, Format.PCX, Format.ICO, Format.SGI, Format.TGA}
_TURNED_BY_EXIF = frozenset((Format.JPEG, Format.MPO, Format.PNG, Format.WEBP, Format.TIFF))
_MOST_EDGE = 1 << 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the file says before a pixel is decoded.

    `size` is as a person sees it, None where the header cannot be read; `orientation` is the turn (1-8, as EXIF counts)
    that is left to do once a decoder has applied what the container itself says. The blocks of XMP and IPTC are as found.
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
    """Take a file of this format apart; damage reads as absence, and what fetching raises is passed on."""
    contents = _reader(kind)(source)
    exif = read_exif(contents.exif, contents.exif_apart)
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
    from imgctl.imaging.metadata.rare import READERS

    return READERS[kind]


def _left_to_turn(kind: Format, contents: Contents, exif: Exif) -> int:
    """Container transforms win, and decoders apply them; where there are none, EXIF counts as viewers have it count.

    An AVIF is turned by its container alone, as browsers do (MIAF, 7.3.10.1). An XMP packet turns nothing.
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
    """A picture by its header; width and height are as a person sees it, None where the header is unreadable."""

    format: str
    content_type: str
    extension: str
    width: int | None
    height: int | None


def recognise(what: Data | Source, kind: Format | None = None) -> Header:
    """Recognise a picture and read its header, seeking no further; `kind` where that is known otherwise.

    NotAnImage when it is none, FormatUnsupported when it is one that imgctl does not take.
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
    """Say what a picture is; raises as `recognise`."""
    return probe_of(recognise(what))


def probe_of(header: Header) -> Probe:
    """The facts that every upload notes down."""
    width, height = header.size or (None, None)
    name = KNOWN[header.kind]
    return Probe(
        format=header.kind.value,
        content_type=name.content_type,
        extension=name.extension,
        width=width,
        height=height,
    )
