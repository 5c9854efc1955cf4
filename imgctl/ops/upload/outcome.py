"""What became of each file of an upload, and the sum of it."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID


class Fate(StrEnum):
    """What can become of a file; `planned` is what a dry run would upload."""

    UPLOADED = "uploaded"
    PLANNED = "planned"
    PRESENT = "present"
    SKIPPED = "skipped"
    FAILED = "failed"


class Reason(StrEnum):
    """Why a file was not uploaded; stable codes for reports."""

    NONE = ""
    ALREADY_THERE = "already_there"
    SAME_CONTENT = "same_content"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED = "unsupported"
    LEFT_OUT = "left_out"
    EMPTY = "empty"
    NOT_A_FILE = "not_a_file"
    LINK = "link"
    LOOP = "loop"
    JUNK = "junk"
    OWN_STORE = "own_store"
    SIDECAR = "sidecar"
    FILTERED = "filtered"
    TOO_SMALL = "too_small"
    TOO_LARGE = "too_large"
    OUTSIDE_DATES = "outside_dates"
    NO_USER = "no_user"
    BAD_LINE = "bad_line"
    OWN_BLOB = "own_blob"
    ARCHIVED = "archived"
    MISSING = "missing"
    NOT_FOUND = "not_found"
    UNREADABLE = "unreadable"
    CHANGED = "changed_while_reading"
    STORE = "store"
    NOT_TRIED = "not_tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOutcome:
    """One file's fate; `path` may hold surrogates for bytes that are no UTF-8, `seconds` is from read to confirm.

    `date_unlikely` where something gave it a date that cannot be, and the next source was taken.
    """

    path: str
    fate: Fate
    reason: Reason = Reason.NONE
    detail: str = ""
    id: UUID | None = None
    sha256: bytes | None = None
    bytes: int | None = None
    seconds: float = 0.0
    date_unlikely: bool = False


@dataclass(slots=True)
class Tally:
    """Counts by fate and reason, the bytes that were put, and the dates that were not believed."""

    fates: Counter[Fate] = field(default_factory=Counter)
    reasons: Counter[Reason] = field(default_factory=Counter)
    bytes_uploaded: int = 0
    bytes_planned: int = 0
    dates_unlikely: int = 0

    def add(self, outcome: FileOutcome) -> None:
        self.fates[outcome.fate] += 1
        self.dates_unlikely += outcome.date_unlikely
        if outcome.reason:
            self.reasons[outcome.reason] += 1
        if outcome.fate is Fate.UPLOADED:
            self.bytes_uploaded += outcome.bytes or 0
        if outcome.fate is Fate.PLANNED:
            self.bytes_planned += outcome.bytes or 0


def unlikely_dates(tally: Tally) -> str:
    """The dates that were not believed, as a sentence; empty without any."""
    count = tally.dates_unlikely
    if not count:
        return ""
    dates = f"{count:,} date{'s' * (count != 1)}"
    return f"{dates} before 1826 or in the future: the next source was taken (date_unlikely in --report)"
