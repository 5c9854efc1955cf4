"""Photo dates: those from cameras, manifests and the names of files are checked before use."""

import re
from datetime import UTC, datetime, timedelta

from imgctl.errors import UsageError
from imgctl.units import parse_seconds

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_PHOTOGRAPH = datetime(1826, 1, 1, tzinfo=UTC)
# Allows for time zones and for wrong camera clocks.
AHEAD = timedelta(days=1)
_EXIF_DATE = r"(\d{4}):(\d\d):(\d\d)[ T]"
_NAME_DATE = r"""(?x)(?<!\d)
    (?P<year>(?:18|19|20)\d\d) (?P<gap>[-_.]?) (?P<month>[01]\d) (?P=gap) (?P<day>[0-3]\d)
    (?: (?: [-_ T.,]{1,3} | [ _.,]{1,2} (?:at|um|à|kl\.?) [ _.] | (?=\d{6}(?:\d{3})?(?!\d)) )
        (?P<hour>\d{1,2}) (?P<colon>[-_.:h]?) (?P<minute>[0-5]\d) (?: (?P=colon) (?P<second>[0-5]\d) )?
        (?: [.]?\d{3} (?!\d) )? (?!\d) (?: [ \u00a0\u202f]? (?P<half>[AaPp])[Mm] )? )?
    (?!\d)"""
# Eight digits in a row are a date only in the years of digital cameras.
_FIRST_DIGITAL = 1990


class Ago(datetime):
    """A time given as an age, `30d`. Its repr is that age, by which the next run with the same options finds a checkpoint."""

    seconds: float | None = None

    @classmethod
    def before(cls, now: datetime, seconds: float) -> "Ago":
        """Return the time `seconds` before `now`; OverflowError before the year 1."""
        at = now - timedelta(seconds=seconds)
        one = cls.combine(at.date(), at.timetz())
        one.seconds = seconds
        return one

    def __repr__(self) -> str:
        return super().__repr__() if self.seconds is None else f"Ago({self.seconds})"


def is_likely(moment: datetime, *, now: datetime | None = None) -> bool:
    """Whether a photo may have this date: from 1826 on, and at most a day ahead of `now` (this machine's clock)."""
    return FIRST_PHOTOGRAPH <= moment <= (now or datetime.now(UTC)) + AHEAD


def filed_at(moment: datetime) -> datetime:
    """The date under which a photo is filed; dates before 1970 become 1970-01-01, the start of the id range."""
    return max(EPOCH, moment)


def in_utc(moment: datetime) -> datetime:
    """Return `moment` as aware UTC; a naive datetime is taken as UTC."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def parse_moment(text: str) -> datetime:
    """Parse `2026-11-22`, `2026-11-22T10:00:00+01:00` (UTC without a zone), or `24h` (ago); UsageError for anything else."""
    if text.strip().isdecimal():
        # Seconds ago, a year, or a date without hyphens.
        raise UsageError(f"ambiguous time: {text!r}; write 2026-11-22 or 3600s (ago)")
    try:
        return Ago.before(datetime.now(UTC), parse_seconds(text))
    except (UsageError, OverflowError):
        pass
    try:
        # OverflowError if the zone leads beyond the years 1 to 9999.
        return in_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise UsageError(f"invalid time: {text!r}; write 2026-11-22, 2026-11-22T10:00Z or 24h (ago)") from None


def w3c_moment(text: str) -> datetime | None:
    """Parse a date with a time of day, as aware UTC (UTC unless it has an offset); None without a time, or if invalid."""
    text = re.sub(_EXIF_DATE, r"\1-\2-\3T", text.strip(), count=1)
    try:
        return in_utc(datetime.fromisoformat(text)) if len(text) > 10 else None
    except (ValueError, OverflowError):
        return None


def name_moment(name: str) -> datetime | None:
    """Return the first plausible moment in a file's name as aware UTC, midnight for a date alone; None without one.

    Cameras write their local time without an offset: it counts as UTC, like EXIF without an offset.
    """
    for found in re.finditer(_NAME_DATE, name):
        if (moment := _moment_in(found)) is not None:
            return moment
    return None


def _moment_in(found: re.Match[str]) -> datetime | None:
    year = int(found["year"])
    if not found["gap"] and year < _FIRST_DIGITAL:
        return None
    try:
        day = datetime(year, int(found["month"]), int(found["day"]), tzinfo=UTC)
        moment = day + _time_of_day(found)
    except (ValueError, OverflowError):
        return None
    return moment if is_likely(moment) else None


def _time_of_day(found: re.Match[str]) -> timedelta:
    if found["hour"] is None:
        return timedelta()
    hour = int(found["hour"])
    if found["half"] and 1 <= hour <= 12:
        hour = hour % 12 + (12 if found["half"] in "pP" else 0)
    if hour > 23:
        return timedelta()
    return timedelta(hours=hour, minutes=int(found["minute"]), seconds=int(found["second"] or 0))
