"""The caption and the capture time of a photo, from its file, sidecars or a list."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from imgctl.dates import in_utc, is_likely, name_moment, w3c_moment
from imgctl.imaging.metadata.facts import NO_FACTS, Facts
from imgctl.imaging.metadata.photoshop import decoded, read_iptc
from imgctl.imaging.probe import Header
from imgctl.ops.ingest.photo_sidecars import PhotoSidecars

# Boilerplate that cameras and phones write into the description of every picture: brand texts, and the shooting modes
# of Huawei and Motorola phones.
_BOILERPLATE = frozenset(
    """
    olympus digital camera|sony dsc|minolta dsc|minolta digital camera|konica minolta digital camera|digital camera|
    kodak digital still camera|samsung camera pictures|samsung digital camera|samsung|nikon digital camera|
    jenoptik digital camera|medion digital camera|lg digital camera|casio computer co.,ltd.|casio computer co.,ltd|
    moultrie digital game camera|exif_jpeg_picture|dvc 10.1 hdmi|my beautiful picture|hellomoto|binary comment|
    charset=ascii|default|untitled|image|picture|camera|dcim|screenshot|user comments|
    btf|btfhdr|btfmdn|btr|bsh|burst|cof|dav|edf|fbt|fbthdr|frem|frontbhdp|fshbty|hdr|mde|mde_soft|mon|nor|oznor|ptr|
    qrf|rbt|rpt|sdr_hdrb|smart|_cuva
    """.replace("\n", "")
    .replace("    ", "")
    .split("|")
)
_CAMERA_TEXT = r"(?is)DCIM[\\/].*|<\s*(KENOX|Samsung|DIGIMAX)\b.*>|\W*"


class TakenFrom(StrEnum):
    """Sources of a capture time, the most trusted first; the last is only the time when a program wrote the file."""

    LIST = "list"
    EXIF = "exif"
    EXIF_DIGITISED = "exif_digitised"
    CONTAINER = "container"
    XMP_BESIDE = "xmp_beside"
    XMP = "xmp"
    IPTC = "iptc"
    TEXT = "text"
    CONTAINER_CREATED = "container_created"
    TAKEOUT = "takeout"
    PHOTO_DETAILS = "photo_details"
    NAME = "name"
    EXIF_MODIFIED = "exif_modified"


_BESIDE = frozenset((TakenFrom.LIST, TakenFrom.XMP_BESIDE, TakenFrom.TAKEOUT, TakenFrom.PHOTO_DETAILS))
# Index of the first caption that comes from the picture itself.
_IN_PICTURE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A caption fit for the catalog, and an aware UTC capture time with its source; None if no source has one.

    `date_unlikely`: a source had an impossible date, which was ignored. `beside`: a part comes from a sidecar or a
    list. Another copy may lack these, and then has `taken_alone` as its capture time.
    """

    caption: str | None
    taken_at: datetime | None
    taken_from: TakenFrom | None = None
    date_unlikely: bool = False
    beside: bool = field(default=False, compare=False)
    taken_alone: datetime | None = field(default=None, compare=False)


def describe(
    header: Header,
    *,
    path: str,
    caption: str | None = None,
    taken_at: datetime | None = None,
    beside: PhotoSidecars | None = None,
) -> Description:
    """Return caption and capture time of a photo, each from the first plausible source; never raises for damage.

    The given `caption` and `taken_at` come first. Then captions: Takeout, XMP (sidecar, then embedded), IPTC, EXIF, the
    format's own text; times: in the order of TakenFrom. Without `beside` no sidecar is looked up.
    """
    sources = _Sources(header, path, caption, taken_at, beside or PhotoSidecars(None, path))
    date_unlikely, taken_at, taken_from, taken_alone = False, None, None, None
    for source, moment in sources.times():
        if not is_likely(moment):
            date_unlikely = date_unlikely or taken_from is None
            continue
        if taken_from is None:
            taken_at, taken_from = moment, source
        if source not in _BESIDE:
            taken_alone = moment
            break
    captions = ((place, text) for place, one in enumerate(sources.captions()) if (text := _clean(one)))
    place, text = next(captions, (_IN_PICTURE, None))
    return Description(
        caption=text,
        taken_at=taken_at,
        taken_from=taken_from,
        date_unlikely=date_unlikely,
        beside=place < _IN_PICTURE or taken_from in _BESIDE,
        taken_alone=taken_alone,
    )


def from_list(caption: str | None, taken_at: datetime | None) -> Description:
    """Return the description of a photo for which a list is the only source."""
    likely = taken_at is not None and is_likely(taken_at)
    return Description(
        caption=_clean(caption),
        taken_at=taken_at if likely else None,
        taken_from=TakenFrom.LIST if likely else None,
        date_unlikely=taken_at is not None and not likely,
        beside=True,
    )


class _Sources:
    """All sources that may describe one photo; each is read on first use, and once."""

    def __init__(
        self,
        header: Header,
        path: str,
        caption: str | None,
        taken_at: datetime | None,
        beside: PhotoSidecars,
    ) -> None:
        self._header = header
        self._path = path
        self._caption = caption
        self._taken_at = taken_at
        self._beside = beside
        self._read_xmp: Facts | None = None
        self._read_iptc: Facts | None = None

    def captions(self) -> Iterator[str | None]:
        yield self._caption
        yield self._beside.takeout.caption
        yield self._beside.xmp.caption
        yield self._xmp.caption
        yield self._iptc.caption
        yield _written_by_hand(decoded(self._header.exif.description))
        yield _written_by_hand(self._header.texts.get("Description", ""))

    def times(self) -> Iterator[tuple[TakenFrom, datetime]]:
        """Yield the date of every source that has one, the most trusted first."""
        exif = self._header.exif
        yield from _dated(TakenFrom.LIST, self._taken_at)
        yield from _dated(TakenFrom.EXIF, exif.taken_at)
        yield from _dated(TakenFrom.EXIF_DIGITISED, exif.digitised_at)
        yield from _dated(TakenFrom.CONTAINER, self._header.taken_at)
        yield from _dated(TakenFrom.XMP_BESIDE, *self._beside.xmp.dates)
        yield from _dated(TakenFrom.XMP, *self._xmp.dates)
        yield from _dated(TakenFrom.IPTC, *self._iptc.dates)
        yield from _dated(TakenFrom.TEXT, _mail_moment(self._header.texts.get("Creation Time", "")))
        yield from _dated(TakenFrom.CONTAINER_CREATED, self._header.created_at)
        yield from _dated(TakenFrom.TAKEOUT, *self._beside.takeout.dates)
        yield from _dated(TakenFrom.PHOTO_DETAILS, *self._beside.photo_details.dates)
        yield from _dated(TakenFrom.NAME, name_moment(self._path.rpartition("/")[2]))
        yield from _dated(TakenFrom.EXIF_MODIFIED, exif.modified_at)

    @property
    def _xmp(self) -> Facts:
        """The facts of the embedded XMP packet, parsed only if it may hold a date or a caption: most don't."""
        if self._read_xmp is None:
            packet = self._header.xmp
            wanted = b"Date" in packet or b"description" in packet or b"\0" in packet[:64]
            self._read_xmp = _read_xmp(packet) if wanted else NO_FACTS
        return self._read_xmp

    @property
    def _iptc(self) -> Facts:
        if self._read_iptc is None:
            self._read_iptc = read_iptc(self._header.iptc)
        return self._read_iptc


def _dated(source: TakenFrom, *dates: datetime | None) -> Iterator[tuple[TakenFrom, datetime]]:
    return ((source, date) for date in dates if date is not None)


def _read_xmp(packet: bytes) -> Facts:
    # Imported on demand: most pictures need no XML parser.
    from imgctl.imaging.metadata.xmp import read_xmp

    return read_xmp(packet)


def _mail_moment(text: str) -> datetime | None:
    """Parse a PNG's Creation Time: RFC 1123 as the PNG standard suggests, or ISO 8601 as many programs write it."""
    if not text:
        return None
    from email.utils import parsedate_to_datetime

    try:
        return in_utc(parsedate_to_datetime(text))
    except (ValueError, OverflowError, IndexError):
        return w3c_moment(text)


def _written_by_hand(text: str) -> str | None:
    """Return the text, or None if it is empty or camera boilerplate."""
    bare = text.strip()
    return None if not bare or bare.lower() in _BOILERPLATE or re.fullmatch(_CAMERA_TEXT, bare) else text


def _clean(text: str | None) -> str | None:
    """Return text that every database accepts: no NUL, lone surrogates or outer blanks; None if nothing is left."""
    if text is None:
        return None
    if text.isascii() and "\0" not in text:
        return text.strip() or None
    # A pair of surrogates is one character in JSON; a lone surrogate is an invalid byte of a file name.
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\0", "").strip() or None
