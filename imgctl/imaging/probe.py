"""What a file is, from its header alone: format, names for it, size as seen; runs once for every upload."""

from dataclasses import dataclass

from imgctl.imaging.formats import NAMING, Format, sniff, stranger
from imgctl.imaging.metadata.header import Header, read_header
from imgctl.imaging.metadata.source import Source, in_memory

_SNIFFED_BYTES = 512
# What is no picture is named by more: a file of zeros is one only if many are.
_NAMED_BY_BYTES = 2**20
# Two letters are no proof.
_NEEDS_SIZE = {Format.BMP}


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A picture by its header; width and height are as a person sees it, None where the header is unreadable."""

    format: str
    content_type: str
    extension: str
    width: int | None
    height: int | None


def recognise(data: bytes | Source) -> Header:
    """Recognise the picture in `data` and read its header, seeking no further; NotAnImage when it is none."""
    source = in_memory(data) if isinstance(data, bytes) else data
    kind = sniff(source.read(0, _SNIFFED_BYTES))
    header = read_header(source, kind) if kind else None
    if header is None or (header.size is None and kind in _NEEDS_SIZE):
        raise stranger(source.read(0, _NAMED_BY_BYTES))
    return header


def probe(data: bytes | Source) -> Probe:
    """Say what the picture in `data` is; NotAnImage when it is none."""
    return probe_of(recognise(data))


def probe_of(header: Header) -> Probe:
    """The facts that every upload notes down."""
    width, height = header.size or (None, None)
    name = NAMING[header.kind]
    return Probe(
        format=header.kind.value,
        content_type=name.content_type,
        extension=name.extension,
        width=width,
        height=height,
    )
