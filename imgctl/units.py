"""Parses and formats durations, sizes and counts: `90d`, `15m`, `1MiB`, `1 finding`."""

import re
from collections.abc import Mapping
from typing import TypeVar

from imgctl.errors import UsageError

S = TypeVar("S", bound=str)

DAY_SECONDS = 86_400
MOST_SECONDS = 365_000 * DAY_SECONDS
MOST_BYTES = 2**63 - 1

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": DAY_SECONDS, "w": 7 * DAY_SECONDS}
_BYTES = {
    "": 1, "B": 1,
    "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40,
}  # fmt: skip
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")


def parse_seconds(text: str) -> float:
    """Parse `90d`, `15m`, `1.5h` or plain seconds into seconds, 1,000 years at most; UsageError for anything else."""
    found = _QUANTITY.fullmatch(text)
    unit = _SECONDS.get(found[2] or "s") if found else None
    if found is None or unit is None:
        raise UsageError(f"{text!r} is not a duration", hint="write 30s, 15m, 24h, 90d or 2w")
    seconds = float(found[1]) * unit
    # Beyond it lie times that no calendar has.
    if seconds > MOST_SECONDS:
        raise UsageError(f"{text!r} is longer than 1,000 years", hint="write 365000d or less")
    return seconds


def parse_bytes(text: str) -> int:
    """Parse `1MiB` (2^20), `1MB` (10^6) or plain bytes into bytes; UsageError for anything else."""
    found = _QUANTITY.fullmatch(text)
    unit = _BYTES.get(found[2].upper()) if found else None
    if found is None or unit is None:
        raise UsageError(f"{text!r} is not a size", hint="write 500KB, 1MiB or 2GiB")
    size = float(found[1]) * unit
    if size > MOST_BYTES:
        raise UsageError(f"{text!r} is more than any store holds", hint="write 8388607TiB or less")
    return int(size)


def format_bytes(size: float) -> str:
    """Format a size with up to three digits and a binary unit: `2.4 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or unit == "TiB":
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")


def format_seconds(seconds: float) -> str:
    """Format a duration in its two largest units: `1h 5m`, `12.3s`."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")]
    first = next(index for index, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count)


def count_of(count: int, noun: str, plural: str = "") -> str:
    """`1 finding`, `0 findings`, `1,234 findings`; `plural` for irregular plurals: `1 image waits`, `2 images wait`."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def counts_of(counts: Mapping[S, int], *, named: Mapping[S, str] | None = None, none: str = "nothing") -> str:
    """`3 moved, 1 not tried`: the nonzero counts, with codes as words or as in `named`; `none` if all are zero."""
    parts = (f"{count:,} {(named or {}).get(code) or words(code)}" for code, count in counts.items() if count)
    return ", ".join(parts) or none


def words(code: str) -> str:
    """A code as words: `not_tried` becomes `not tried`."""
    return code.replace("_", " ")
