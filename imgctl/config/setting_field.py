"""The `setting` field function, and the patterns and bounds that several settings share."""

from dataclasses import field
from typing import Literal, TypeVar

T = TypeVar("T")
Unit = Literal["", "seconds", "bytes"]

# Prefixes that every store can hold and list, short enough for the catalog's columns of 255 characters.
PREFIX = r"(?=.{0,150}$)(?:(?!\.)[^/\x00-\x1f\x7f\ud800-\udfff]+/)*"
# No machine has more; a larger value is a typing error.
LARGEST = 2**50
DAY = 86400.0


def setting(
    default: T,
    doc: str,
    *,
    unit: Unit = "",
    least: float | None = None,
    most: float | None = None,
    pattern: str = ".*",
    secret: bool = False,
) -> T:
    """Define a setting: its default, one line of help, and the bounds or the pattern (of each text) of its value.

    No error shows the value of a `secret`.
    """
    rules = {"doc": doc, "unit": unit, "least": least, "most": most, "pattern": pattern, "secret": secret}
    value: T = field(default=default, metadata=rules)
    return value
