"""IPTC IIM data sets: the caption (2:120), and when the picture was made (2:55 and 2:60)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

_MARK = 0x1C
_CHARSET, _DATE, _TIME, _CAPTION = (1, 90), (2, 55), (2, 60), (2, 120)
_WANTED = frozenset((_CHARSET, _DATE, _TIME, _CAPTION))
_UTF8 = b"\x1b%G"
_WHOLE_TIME = re.compile(r"(\d{6})([+-]\d{4})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Iptc:
    """What a block says: aware UTC time (UTC unless it has an offset), and the caption."""

    taken_at: datetime | None = None
    caption: str | None = None


NO_IPTC = Iptc()


def read_iptc(block: bytes) -> Iptc:
    """Read a run of data sets; damage reads as absence.

    Text is UTF-8 where the block says so or it reads as such, else Windows' Latin letters.
    """
    if not block:
        return NO_IPTC
    found = _data_sets(block)
    caption = decoded(found.get(_CAPTION, b""), utf8=found.get(_CHARSET) == _UTF8).strip()
    return Iptc(taken_at=_moment(found.get(_DATE, b""), found.get(_TIME, b"")), caption=caption or None)


def _data_sets(block: bytes) -> dict[tuple[int, int], bytes]:
    """The first of each wanted kind: a mark, record, number, two bytes of length, then the value."""
    found: dict[tuple[int, int], bytes] = {}
    at = 0
    while at + 5 <= len(block) and block[at] == _MARK:
        name, size = (block[at + 1], block[at + 2]), int.from_bytes(block[at + 3 : at + 5])
        if size > 0x7FFF:
            # An extended length, which no caption needs.
            break
        if name in _WANTED:
            found.setdefault(name, block[at + 5 : at + 5 + size])
        at += 5 + size
    return found


def _moment(date: bytes, time: bytes) -> datetime | None:
    """`20230714` and `173012+0200`; a date without a time of day says too little."""
    whole = _WHOLE_TIME.fullmatch(time.decode("ascii", "replace"))
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
    """Bytes of a metadata field as text: UTF-8 if they read as such, else Windows' Latin letters."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode(errors="replace") if utf8 else value.decode("cp1252", errors="replace")
