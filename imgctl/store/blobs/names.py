"""Which keys every store takes, and in what order stores list them."""

import re
from pathlib import Path

from imgctl.errors import KeyShapeError

# What one kind of store would mend, strip or refuse in silence: empty, `.` and `..` segments, control characters.
_REFUSED = re.compile(r"^/|//|/$|(?:^|/)\.{1,2}(?:/|$)|[\x00-\x1f\x7f]|^$")
_LAST = "\U0010ffff"


def checked(key: str) -> str:
    """The key itself; KeyShapeError where not every store could hold a blob under exactly this name."""
    if _REFUSED.search(key):
        raise KeyShapeError(f"{key!r} is no key: absolute, or with an empty, '.' or '..' part or a control character")
    return key


def clean_start(text: str) -> str:
    """The longest beginning of `text` that may be a key: it sorts at or before `text`."""
    found = _REFUSED.search(text)
    return text[: found.start()] if found else text


def just_before(prefix: str) -> str:
    """A text that sorts before every key that begins with `prefix`, and after nearly everything smaller."""
    last = ord(prefix[-1]) - 1
    if last <= ord(" ") or 0xD800 <= last <= 0xDFFF:
        return prefix[:-1]
    return prefix[:-1] + chr(last) + _LAST


def beside(root: Path) -> Path:
    """Where a directory store keeps archived originals when nothing else is set."""
    return root.parent / f"{root.name}.archive"
