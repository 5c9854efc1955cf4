"""What Google Takeout says of a photo in the JSON file beside it, and how it names that file."""

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from imgctl.dates import EPOCH

LONGEST = 2**20
# Takeout cuts the name of its file to 51 characters, `.json` among them.
_LONGEST_STEM = 46
_SUFFIX = ".supplemental-metadata"
_EDITED = "-edited"
_NUMBERED = re.compile(r"(.+)(\(\d{1,5}\))", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeout:
    """A photo by its JSON file: aware UTC capture time, and what its owner wrote about it."""

    taken_at: datetime | None = None
    description: str | None = None


NO_TAKEOUT = Takeout()


def sidecar_names(photo: str) -> list[str]:
    """The names, at most three, that Takeout may have given the JSON file of a photo of this name, likeliest first.

    `a.jpg` has `a.jpg.supplemental-metadata.json` (since 2024, cut where too long) or `a.jpg.json`; the number of
    `a(1).jpg` moves to the end of the name; `a-edited.jpg` shares that of `a.jpg`.
    """
    stem, dot, extension = photo.rpartition(".")
    if not stem:
        stem, dot, extension = photo, "", ""
    numbered = _NUMBERED.fullmatch(stem)
    bare, number = (numbered[1], numbered[2]) if numbered else (stem, "")
    name = f"{bare.removesuffix(_EDITED)}{dot}{extension}"
    stems = [f"{(name + _SUFFIX)[:_LONGEST_STEM]}{number}", f"{name[:_LONGEST_STEM]}{number}"]
    if number:
        stems.append(photo[:_LONGEST_STEM])
    return [f"{one}.json" for one in dict.fromkeys(stems)]


def read_takeout(data: bytes) -> Takeout:
    """Read a photo's JSON file; one that is damaged, or not of Takeout, reads as absence."""
    try:
        value: object = json.loads(data) if len(data) <= LONGEST else None
    except (ValueError, RecursionError):
        return NO_TAKEOUT
    if not isinstance(value, dict) or "photoTakenTime" not in value:
        return NO_TAKEOUT
    description = value.get("description")
    text = description.strip() if isinstance(description, str) else ""
    return Takeout(taken_at=_moment(value["photoTakenTime"]), description=text or None)


def _moment(time: object) -> datetime | None:
    """Seconds since 1970 as text, in an object; 0 is what Takeout writes for want of a date."""
    stamp = time.get("timestamp") if isinstance(time, dict) else None
    if isinstance(stamp, bool) or not isinstance(stamp, str | int):
        return None
    try:
        seconds = int(stamp)
        return EPOCH + timedelta(seconds=seconds) if seconds else None
    except (ValueError, OverflowError):
        return None
