"""Whose a file is, taken from its path: `{user}/**`."""

import re
from collections.abc import Callable
from functools import lru_cache
from uuid import UUID

from imgctl.errors import UsageError
from imgctl.ops.upload.globs import BELOW, below_root

PLACEHOLDER = "{user}"
_HINT = "write '{user}/**', or 'by-owner/{user}/*/**'"
_UUID = "(?P<user>[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12})"


def owner_by(pattern: str) -> Callable[[str], UUID | None]:
    """A function from a relative path to the UUID that stands where the pattern has `{user}`, or None.

    The pattern is held against the whole path: `*` is one name, `**` any number of them, `{user}` one name or a part
    of one. Raises UsageError for a pattern without exactly one `{user}`.
    """
    if pattern.count(PLACEHOLDER) != 1:
        raise UsageError(f"{pattern!r} does not say once where {PLACEHOLDER} stands", hint=_HINT)
    names = [name for name in pattern.split("/") if name not in ("", ".")]
    if ".." in names:
        raise UsageError(f"{pattern!r} leaves the root", hint=_HINT)
    # Compiled around a mark that no pattern escapes and no path holds.
    mark = "\0"
    text = below_root([name.replace(PLACEHOLDER, mark) for name in names], pattern, BELOW)
    try:
        expression = re.compile(text.replace(mark, _UUID), re.DOTALL)
    except re.error:
        raise UsageError(f"{pattern!r} has {PLACEHOLDER} within brackets", hint=_HINT) from None
    fit = expression.fullmatch

    def owner(path: str) -> UUID | None:
        found = fit(path)
        return _uuid(found["user"]) if found else None

    return owner


@lru_cache(maxsize=256)
def _uuid(text: str) -> UUID:
    return UUID(text)
