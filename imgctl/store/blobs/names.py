"""Which keys every store takes, and in what order stores list them."""

import re
from pathlib import Path

from imgctl.errors import KeyShapeError

# What one kind of store would alter, strip or refuse in silence: empty, `.` and `..` segments, control characters, and
# what is not UTF-8 (a lone surrogate stands for each such byte of a file name).
_REFUSED = re.compile(r"^/|//|/$|(?:^|/)\.{1,2}(?:/|$)|[\x00-\x1f\x7f\ud800-\udfff]|^$")
_NO_PATH = re.compile(r"^/|//|/$|(?:^|/)\.{1,2}(?:/|$)|\x00|^$")
_LAST = "\U0010ffff"


def checked(key: str) -> str:
    """The key itself; KeyShapeError where not every store could hold a blob under exactly this name."""
    if _REFUSED.search(key):
        raise KeyShapeError(
            f"{key!r} cannot be a key: absolute, or with an empty, '.' or '..' part, a control character or no UTF-8"
        )
    return key


def is_portable(key: str) -> bool:
    """Whether every store could hold a blob under exactly this name, as `checked` demands of those that are written."""
    return not _REFUSED.search(key)


def is_utf8(key: str) -> bool:
    """Whether the name can be sent at all; a file's name need not be."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_path(key: str) -> bool:
    """Whether a file below a directory may have exactly this name; anything else would name another file."""
    return not _NO_PATH.search(key)


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
