"""Photoshop's image resources (in JPEG, TIFF and PSD), the PSD container, and the IPTC data in them."""

import re
from datetime import UTC, datetime

from imgctl.imaging.metadata.facts import NO_FACTS, Facts, dates_of
from imgctl.imaging.source import MOST_BLOCK, MOST_PARTS, Contents, Source, in_memory

IPTC, ICC, EXIF, XMP = 0x0404, 0x040F, 0x0422, 0x0424
_WANTED = frozenset((IPTC, EXIF, XMP))
_SIGNATURE = b"8BIM"
_NAME = 0xFF
_HEADER = 26
# IPTC IIM data sets, by record and number.
_MARK = 0x1C
_CHARSET, _DATE, _TIME, _CAPTION = (1, 90), (2, 55), (2, 60), (2, 120)
_WANTED_SETS = frozenset((_CHARSET, _DATE, _TIME, _CAPTION))
_UTF8 = b"\x1b%G"
_WHOLE_TIME = r"(\d{6})([+-]\d{4})?"


def resources(
    source: Source, at: int = 0, end: int | None = None, *, wanted: frozenset[int] = _WANTED
) -> dict[int, bytes]:
    """Return the `wanted` resources from `at` on, by number: each is `8BIM`, a number, padded name, size, padded data."""
    found: dict[int, bytes] = {}
    end = source.size if end is None else min(end, source.size)
    for _ in range(MOST_PARTS):
        here = source.read(at, 12 + _NAME)
        if at + 12 > end or len(here) < 12 or here[:4] != _SIGNATURE:
            break
        number = int.from_bytes(here[4:6])
        start = 6 + (here[6] + 2) // 2 * 2
        size = int.from_bytes(here[start : start + 4])
        if number in wanted and size <= MOST_BLOCK:
            found.setdefault(number, source.read(at + start + 4, size))
        at += start + 4 + (size + 1) // 2 * 2
    return found


def read_psd(source: Source) -> Contents:
    """A PSD (or PSB): header, colour table, resources, each with its size before it (Adobe's file format, 2019)."""
    head = source.read(0, _HEADER + 4)
    if len(head) < _HEADER + 4:
        return Contents()
    at = _HEADER + 4 + int.from_bytes(head[_HEADER:])
    start = at + 4
    found = resources(source, start, start + int.from_bytes(source.read(at, 4)))
    return Contents(
        size=(int.from_bytes(head[18:22]), int.from_bytes(head[14:18])),
        exif=in_memory(found.get(EXIF, b"")),
        xmp=found.get(XMP, b""),
        iptc=found.get(IPTC, b""),
    )


def read_iptc(block: bytes) -> Facts:
    """Read consecutive data sets: aware UTC time (UTC unless it has an offset) and caption; damage counts as missing.

    Text is UTF-8 if the block declares it or the bytes are valid UTF-8, else Windows-1252.
    """
    if not block:
        return NO_FACTS
    found = _data_sets(block)
    caption = decoded(found.get(_CAPTION, b""), utf8=found.get(_CHARSET) == _UTF8).strip()
    return Facts(dates=dates_of(_moment(found.get(_DATE, b""), found.get(_TIME, b""))), caption=caption or None)


def _data_sets(block: bytes) -> dict[tuple[int, int], bytes]:
    """Return the first data set of each wanted kind: a marker, record, number, two bytes of length, then the value."""
    found: dict[tuple[int, int], bytes] = {}
    at = 0
    while at + 5 <= len(block) and block[at] == _MARK:
        name, size = (block[at + 1], block[at + 2]), int.from_bytes(block[at + 3 : at + 5])
        if size > 0x7FFF:
            # An extended length, which captions don't need.
            break
        if name in _WANTED_SETS:
            found.setdefault(name, block[at + 5 : at + 5 + size])
        at += 5 + size
    return found


def _moment(date: bytes, time: bytes) -> datetime | None:
    """Parse `20230714` and `173012+0200`; None for a date without a time of day."""
    whole = re.fullmatch(_WHOLE_TIME, time.decode("ascii", "replace"))
    if whole is None:
        return None
    try:
        moment = datetime.strptime(
            f"{date.decode('ascii', 'replace')}{whole[1]}{whole[2] or '+0000'}", "%Y%m%d%H%M%S%z"
        )
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def decoded(value: bytes, *, utf8: bool = False) -> str:
    """Decode a metadata field: UTF-8 if valid, else Windows-1252."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode(errors="replace") if utf8 else value.decode("cp1252", errors="replace")
