"""The date and time that cameras, phones and messengers write into a file's name."""

import re
from datetime import UTC, datetime, timedelta

from imgctl.dates import is_likely

_PATTERN = r"""(?x)(?<!\d)
    (?P<year>(?:18|19|20)\d\d) (?P<gap>[-_.]?) (?P<month>[01]\d) (?P=gap) (?P<day>[0-3]\d)
    (?: (?: [-_ T.,]{1,3} | [ _.,]{1,2} (?:at|um|à|kl\.?) [ _.] | (?=\d{6}(?:\d{3})?(?!\d)) )
        (?P<hour>\d{1,2}) (?P<colon>[-_.:h]?) (?P<minute>[0-5]\d) (?: (?P=colon) (?P<second>[0-5]\d) )?
        (?: [.]?\d{3} (?!\d) )? (?!\d) (?: [ \u00a0\u202f]? (?P<half>[AaPp])[Mm] )? )?
    (?!\d)"""
# Eight digits in a row are a date only in the years of digital cameras.
_FIRST_DIGITAL = 1990


def name_moment(name: str) -> datetime | None:
    """Return the first plausible moment in a file's name as aware UTC, midnight for a date alone; None without one.

    Cameras write their local time without an offset: it counts as UTC, like EXIF without an offset.
    """
    for found in re.finditer(_PATTERN, name):
        if (moment := _moment(found)) is not None:
            return moment
    return None


def _moment(found: re.Match[str]) -> datetime | None:
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
