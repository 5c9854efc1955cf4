"""What a file is, from its header alone: format, size as seen, capture time; runs once for every upload."""

from dataclasses import dataclass
from datetime import datetime

from imgctl.imaging.exif import NO_EXIF, Exif, read_exif
from imgctl.imaging.formats import NAMING, Format, sniff, stranger

_NEEDS_HEADER = {Format.BMP}


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A picture by its header; width and height are as a person sees it, None where the header is unreadable."""

    format: str
    content_type: str
    extension: str
    width: int | None
    height: int | None
    taken_at: datetime | None
    animated: bool


def probe(data: bytes) -> Probe:
    """Say what the picture in `data` is, reading no more than its header; NotAnImage when it is none."""
    kind = sniff(data)
    if kind is None:
        raise stranger(data)
    if kind is Format.JPEG:
        return _probe_jpeg(data)
    return _probe_other(data, kind)


def _answer(
    kind: Format, size: tuple[int, int] | None, *, exif: Exif = NO_EXIF, turned: bool = False, animated: bool = False
) -> Probe:
    # The catalog's columns are 32-bit; a header that claims more (or nothing) says nothing.
    width, height = size if size and all(0 < edge < 1 << 31 for edge in size) else (None, None)
    if turned:
        width, height = height, width
    name = NAMING[kind]
    return Probe(
        format=kind.value,
        content_type=name.content_type,
        extension=name.extension,
        width=width,
        height=height,
        taken_at=exif.taken_at,
        animated=animated,
    )


def _probe_jpeg(data: bytes) -> Probe:
    from imgctl.imaging.jpeg import read_header

    header = read_header(data)
    exif = read_exif(header.exif) if header.exif else NO_EXIF
    kind = Format.MPO if header.pictures > 1 else Format.JPEG
    return _answer(kind, header.size, exif=exif, turned=exif.orientation >= 5)


def _probe_other(data: bytes, kind: Format) -> Probe:
    from imgctl.imaging.pillow import header_of

    header = header_of(data, kind)
    if header is None:
        if kind in _NEEDS_HEADER:
            raise stranger(data)
        return _answer(kind, None)
    exif = read_exif(data if kind is Format.TIFF else header.exif)
    return _answer(kind, header.size, exif=exif, turned=header.orientation >= 5, animated=header.animated)
