"""Which dates can be a photo's: what a camera, a file or a manifest says is checked before it is believed."""

import re
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_PHOTOGRAPH = datetime(1826, 1, 1, tzinfo=UTC)
# Clocks stand in other zones, and go wrong by less.
AHEAD = timedelta(days=1)
_EXIF_DATE = r"(\d{4}):(\d\d):(\d\d)[ T]"


def is_likely(moment: datetime, *, now: datetime | None = None) -> bool:
    """Whether a photo may have this date: from 1826 on, and at most a day ahead of `now` (this machine's clock)."""
    return FIRST_PHOTOGRAPH <= moment <= (now or datetime.now(UTC)) + AHEAD


def filed_at(moment: datetime) -> datetime:
    """The date under which a photo is filed: ids begin in 1970, so earlier ones stand together at its beginning."""
    return max(EPOCH, moment)


def in_utc(moment: datetime) -> datetime:
    """The same as aware UTC; a naive one is UTC already."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def w3c_moment(text: str) -> datetime | None:
    """A date with a time of day as aware UTC (UTC unless it has an offset); None for less, or if invalid."""
    text = re.sub(_EXIF_DATE, r"\1-\2-\3T", text.strip(), count=1)
    try:
        return in_utc(datetime.fromisoformat(text)) if len(text) > 10 else None
    except (ValueError, OverflowError):
        return None
