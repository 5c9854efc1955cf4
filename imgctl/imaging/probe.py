"""What a file is, from its header alone: format, names for it, size as seen; runs once for every upload."""

from dataclasses import dataclass

from imgctl.imaging.formats import KNOWN, Format
from imgctl.imaging.metadata.header import Header, read_header
from imgctl.imaging.metadata.source import Source, source_of
from imgctl.imaging.recognise import sniff, stranger, unsupported
from imgctl.imaging.source import Data

# What is no picture is named by more: a file of zeros is one only if many are.
NAMED_BY_BYTES = 2**20
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


def recognise(what: Data | Source, kind: Format | None = None) -> Header:
    """Recognise a picture and read its header, seeking no further; `kind` where that is known otherwise.

    NotAnImage when it is none, FormatUnsupported when it is one that imgctl does not take.
    """
    source = source_of(what)
    kind = kind or sniff(source)
    if kind is not None and not KNOWN[kind].supported:
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
