"""Films: the reader of each format, and formats without boxes: AVI, Matroska, MPEG transport and program streams."""

import re
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from imgctl.dates import w3c_moment
from imgctl.imaging.formats import Format
from imgctl.imaging.metadata.quicktime import read_quicktime
from imgctl.imaging.source import MOST_PARTS, Contents, Source

_SEARCHED = 256 * 2**10
_LONGEST_TEXT = 2**10


def read_avi(source: Source) -> Contents:
    """Size by its main header, and the date that cameras write in `IDIT` or `ICRD` (RIFF, and Exif 2.32 part 5)."""
    size: tuple[int, int] | None = None
    taken_at: datetime | None = None
    for kind, at, length in _avi_chunks(source, 12, source.size):
        if kind == b"avih" and length >= 40:
            width, height = struct.unpack("<II", source.read(at + 32, 8).ljust(8, b"\0"))
            size = (width, height) if width and height else None
        elif kind in (b"IDIT", b"ICRD") and taken_at is None and length <= _LONGEST_TEXT:
            taken_at = _camera_date(source.read(at, length).decode("latin-1"))
    return Contents(size=size, taken_at=taken_at)


def _avi_chunks(source: Source, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk before and after the pictures; enters lists of headers or texts and skips other lists."""
    for _ in range(MOST_PARTS):
        here = source.read(at, 12)
        if at >= end or len(here) < 8:
            return
        length = int.from_bytes(here[4:8], "little")
        if here[:4] == b"LIST" and here[8:] in (b"hdrl", b"strl", b"INFO", b"ncdt"):
            at += 12
            continue
        yield here[:4], at + 8, length
        at += 8 + length + length % 2


def _camera_date(text: str) -> datetime | None:
    """`Mon Mar 10 15:04:43 2003`, as C writes it, or an ISO date with or without slashes; UTC for want of an offset."""
    text = text.strip("\0 \n")
    for form in ("%a %b %d %H:%M:%S %Y", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d/ %H:%M"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return w3c_moment(text)


# RFC 9559 (Matroska), section 5.1, and RFC 8794 (EBML).
_SEGMENT, _INFO, _TRACKS, _ENTRY, _VIDEO, _CLUSTER = 0x18538067, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0x1F43B675
_ENTERED = frozenset((_SEGMENT, _INFO, _TRACKS, _ENTRY, _VIDEO))
_DATE, _WIDTH, _HEIGHT, _SHOWN_WIDTH, _SHOWN_HEIGHT, _UNIT = 0x4461, 0xB0, 0xBA, 0x54B0, 0x54BA, 0x54B2
_SINCE = datetime(2001, 1, 1, tzinfo=UTC)


def read_matroska(source: Source) -> Contents:
    """Size as shown, and the date, from the elements before the first cluster of pictures."""
    found: dict[int, bytes] = {}
    for element, at, length in _elements(source):
        if element == _CLUSTER:
            break
        if length <= 8:
            found.setdefault(element, source.read(at, length))
    number = {element: int.from_bytes(value) for element, value in found.items()}
    width, height = number.get(_WIDTH, 0), number.get(_HEIGHT, 0)
    if not number.get(_UNIT):
        width, height = number.get(_SHOWN_WIDTH) or width, number.get(_SHOWN_HEIGHT) or height
    date = int.from_bytes(found.get(_DATE, b""), signed=True)
    try:
        created_at = _SINCE + timedelta(microseconds=date // 1000) if date else None
    except OverflowError:
        created_at = None
    return Contents(size=(width, height) if width and height else None, created_at=created_at)


def _elements(source: Source) -> Iterator[tuple[int, int, int]]:
    """Yield each element that holds a value, with the value's start and length; enters the listed parents."""
    at = 0
    for _ in range(MOST_PARTS):
        here = source.read(at, 12)
        if len(here) < 2 or not here[0]:
            return
        wide = 9 - here[0].bit_length()
        element = int.from_bytes(here[:wide])
        rest = here[wide:]
        if not rest or not rest[0]:
            return
        length_wide = 9 - rest[0].bit_length()
        length = int.from_bytes(rest[:length_wide]) & ((1 << 7 * length_wide) - 1)
        at += wide + length_wide
        if element in _ENTERED:
            continue
        yield element, at, length
        at += length


_PACKETS = ((0, 188), (4, 192))
# AVCHD cameras write their own block among the pictures' headers (SEI, unregistered): a marker, then tags of
# four bytes, decimal digits in half bytes (ExifTool, H264.pm).
_MDPM = bytes.fromhex("17ee8c60f84d11d98cd60800200c9a66") + b"MDPM"
_MDPM_YEAR, _MDPM_DAY = 0x18, 0x19


def read_transport(source: Source) -> Contents:
    """The date that a camcorder writes with each picture; only decoding the stream gives the size."""
    head = source.read(0, _SEARCHED)
    return Contents(taken_at=_camcorder_date(b"".join(_payloads(head))))


def _payloads(head: bytes) -> Iterator[bytes]:
    """Yield the packets' payloads (ISO/IEC 13818-1, 2.4.3.2), of all streams in file order."""
    before, size = next((one for one in _PACKETS if head[one[0] : one[0] + 1] == b"G"), (0, 188))
    for at in range(before, len(head) - 187, size):
        packet = head[at : at + 188]
        start = 5 + packet[4] if packet[3] & 0x20 else 4
        if packet[3] & 0x10:
            yield packet[start:]


def _camcorder_date(stream: bytes) -> datetime | None:
    at = stream.find(_MDPM)
    # Three zeros in a row would be a start code: the stream has a 3 inserted between them.
    block = stream[at + len(_MDPM) :][:_LONGEST_TEXT].replace(b"\0\0\3", b"\0\0") if at >= 0 else b""
    places = range(1, min(len(block) - 4, 1 + 5 * block[0]), 5) if block else ()
    tags = {block[place]: block[place + 1 : place + 5] for place in places}
    year, day = tags.get(_MDPM_YEAR, b""), tags.get(_MDPM_DAY, b"")
    if not year or not day:
        return None
    # Half hours, and a sign bit for west of Greenwich.
    offset = timedelta(minutes=30 * (year[0] & 0x1F)) * (-1 if year[0] & 0x20 else 1)
    try:
        return datetime.strptime((year[1:] + day).hex(), "%Y%m%d%H%M%S").replace(tzinfo=UTC) - offset
    except (ValueError, OverflowError):
        return None


_SEQUENCE = re.compile(rb"\0\0\x01\xb3(...)", re.DOTALL)


def read_mpeg(source: Source) -> Contents:
    """The size, by the first sequence header (ISO/IEC 13818-2, 6.2.2.1)."""
    found = _SEQUENCE.search(source.read(0, _SEARCHED))
    edges = int.from_bytes(found[1]) if found else 0
    width, height = edges >> 12, edges & 0xFFF
    return Contents(size=(width, height) if width and height else None)


READERS: dict[Format, Callable[[Source], Contents]] = {
    Format.MP4: read_quicktime,
    Format.M4V: read_quicktime,
    Format.MOV: read_quicktime,
    Format.THREE_GP: read_quicktime,
    Format.AVI: read_avi,
    Format.MTS: read_transport,
    Format.MPEG: read_mpeg,
    Format.WEBM: read_matroska,
    Format.MKV: read_matroska,
}
