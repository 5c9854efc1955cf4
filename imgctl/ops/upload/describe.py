"""What is said about a photo, in it or beside it: its caption and when it was taken."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from imgctl.dates import is_likely
from imgctl.imaging.boilerplate import is_boilerplate
from imgctl.imaging.exif import read_description
from imgctl.imaging.formats import Format
from imgctl.imaging.iptc import caption_of, decoded
from imgctl.imaging.jpeg import JpegHeader, read_header
from imgctl.imaging.name_date import name_moment
from imgctl.imaging.probe import Probe
from imgctl.imaging.takeout import NO_TAKEOUT, Takeout
from imgctl.imaging.xmp import NO_XMP, Xmp, read_xmp
from imgctl.ops.upload.sidecar import Beside
from imgctl.ops.upload.walk import Found

_JPEGS = frozenset((Format.JPEG, Format.MPO))


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A caption fit for the catalog, and an aware UTC capture time; None where nothing says.

    `date_unlikely` where a source told a date that cannot be, and was not believed.
    """

    caption: str | None
    taken_at: datetime | None
    date_unlikely: bool = False


def describe(found: Found, probe: Probe, body: bytes | None, beside: Beside | None) -> Description:
    """The caption and the capture time of a photo, each from the first source that has one; never raises for damage.

    Captions: the manifest, Takeout, XMP (beside, then within), IPTC, EXIF. Times: EXIF, XMP, Takeout, the file's name.
    `body` is the file's content or its beginning, None where it is not at hand. Opens at most five names `beside` it,
    none where it came alone.
    """
    sources = _Sources(found, probe, body, beside)
    caption = next(filter(None, map(_clean, sources.captions())), None)
    date_unlikely = False
    for taken_at in filter(None, sources.times()):
        if is_likely(taken_at):
            return Description(caption=caption, taken_at=taken_at, date_unlikely=date_unlikely)
        date_unlikely = True
    return Description(caption=caption, taken_at=None, date_unlikely=date_unlikely)


class _Sources:
    """Everything that may describe one photo, each looked into when it is asked for, and once."""

    def __init__(self, found: Found, probe: Probe, body: bytes | None, beside: Beside | None) -> None:
        self._found = found
        self._probe = probe
        self._body = body or b""
        self._beside = beside
        self._read_takeout: Takeout | None = None
        self._read_xmp: Xmp | None = None
        self._read_header: JpegHeader | None = None

    def captions(self) -> Iterator[str | None]:
        yield self._found.caption
        yield self._takeout.description
        yield self._xmp_beside.description
        if self._probe.format in _JPEGS:
            yield self._xmp_within(b"description").description
            yield caption_of(self._header.resources) if self._header.resources else None
            yield _written_by_hand(self._header.exif)
        elif self._probe.format == Format.TIFF:
            yield _written_by_hand(self._body)

    def times(self) -> Iterator[datetime | None]:
        yield self._probe.taken_at
        yield self._xmp_beside.taken_at
        if self._probe.format in _JPEGS:
            yield self._xmp_within(b"Date").taken_at
        yield self._takeout.taken_at
        yield name_moment(self._found.path.rpartition("/")[2])

    # Not functools.cached_property, which before Python 3.12 lets one thread at a time compute, for all objects.
    @property
    def _takeout(self) -> Takeout:
        if self._read_takeout is None:
            self._read_takeout = self._beside.takeout(self._found.path) if self._beside else NO_TAKEOUT
        return self._read_takeout

    @property
    def _xmp_beside(self) -> Xmp:
        if self._read_xmp is None:
            self._read_xmp = self._beside.xmp(self._found.path) if self._beside else NO_XMP
        return self._read_xmp

    @property
    def _header(self) -> JpegHeader:
        if self._read_header is None:
            self._read_header = read_header(self._body)
        return self._read_header

    def _xmp_within(self, wanted: bytes) -> Xmp:
        """The packet in the picture, parsed only where it holds the word: most say nothing that is asked for."""
        return read_xmp(self._header.xmp) if wanted in self._header.xmp else NO_XMP


def _written_by_hand(exif: bytes) -> str | None:
    text = decoded(read_description(exif)) if exif else ""
    return None if is_boilerplate(text) else text


def _clean(text: str | None) -> str | None:
    """Text that every database takes: no NUL, no lone surrogate, no blanks around it; None if nothing is left."""
    if text is None:
        return None
    # Surrogates in pairs are what JSON makes of one character, and alone what a file name's stray bytes become.
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\0", "").strip() or None
