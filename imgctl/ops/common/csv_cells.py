"""Texts in CSV files that a spreadsheet may open: none is evaluated as a formula, and each can be read back as it was."""

import re
from typing import TypeVar

T = TypeVar("T")

# OWASP, CSV Injection: the beginnings of a formula, and blanks that a spreadsheet drops before it looks for one. A text
# that begins with marks before them gets one more, so that every text can be read back.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_MARKED = re.compile(r"'+[=+\-@\t\r\n＝＋－＠]")


def guarded(value: T) -> T | str:
    """Return a text as a cell: one that could be a formula begins with a `'`; other values stay as they are."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def unguarded(text: str) -> str:
    """Return the text that `guarded` made this cell of."""
    return text[1:] if _MARKED.match(text) else text
