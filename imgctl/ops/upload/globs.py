"""Glob patterns over relative paths: `*`, `**`, `?` and `[…]`.

A pattern without a slash is matched against the last name of a path, a pattern with a slash against the whole path from
its root. A pattern that matches a directory matches everything in it; a pattern that ends in a slash matches only
directories. `*` and `?` match within one name, `**` as a whole name matches any number of names, a backslash escapes
the next character. Matching is case-sensitive, as in the shell.
"""

import re
from collections.abc import Callable, Iterable
from uuid import UUID

from imgctl.errors import UsageError
from imgctl.users import UUID_PATTERN, UUIDS_ONLY, Users

ANY_DEPTH = "(?:[^/]+/)*?"
BELOW = "(?:/.*)?"
PLACEHOLDER = "{user}"
_HINT = "write '{user}/**', or 'by-owner/{user}/*/**'"


class Globs:
    """Several patterns compiled into one; paths are relative, `/` separates names and ends a directory."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(patterns)
        self._fit = re.compile("|".join(f"({expression(one)})" for one in self.patterns), re.DOTALL).fullmatch

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def fitting(self, path: str) -> str | None:
        """Return the pattern that matches the path or a directory above it, or None."""
        found = self._fit(path) if self.patterns else None
        return self.patterns[found.lastindex - 1] if found and found.lastindex else None


def expression(pattern: str) -> str:
    """Return the regular expression of a pattern, for `re.DOTALL` and `fullmatch`; UsageError for an invalid one."""
    names = [name for name in pattern.split("/") if name not in ("", ".")]
    if not names or ".." in names:
        raise UsageError(f"the pattern {pattern!r} matches nothing below the root", hint="write '*.jpg' or '2023/**'")
    floats = "/" not in pattern.rstrip("/")
    below = "/.*" if pattern.endswith("/") else BELOW
    return (ANY_DEPTH if floats else "") + below_root(names, pattern, below)


def below_root(names: list[str], pattern: str, below: str) -> str:
    """Return the joined expressions of a pattern's names, `**` matching any number of names, followed by `below`."""
    out, last, atomic = "", len(names) - 1, False
    for place, name in enumerate(names):
        if name == "**" and atomic:
            out += ")"
        if name == "**" and place < last:
            # As within a name: the first match of the names between two ** always suffices.
            atomic = "**" in names[place + 1 :]
            out += f"(?>{ANY_DEPTH}" if atomic else ANY_DEPTH
        elif name == "**" and below == BELOW:
            out += ".*"
        else:
            out += one_name(name, pattern) + ("/" if place < last else below)
    return out


def one_name(name: str, pattern: str) -> str:
    """Return the regular expression of one name of a pattern, which never matches a slash."""
    if set(name) == {"*"}:
        return "[^/]+"
    parts, at = [""], 0
    while at < len(name):
        if name[at] == "*":
            parts.append("")
            at += 1
            continue
        text, at = _one_character(name, at, pattern)
        parts[-1] += text
    if len(parts) == 1:
        return parts[0]
    # The first match of a middle part always suffices; atomic groups avoid exponential backtracking with many stars.
    middle = "".join(f"(?>[^/]*?{part})" for part in parts[1:-1])
    return f"{parts[0]}{middle}[^/]*{parts[-1]}"


def _one_character(name: str, at: int, pattern: str) -> tuple[str, int]:
    """Return the expression of the character, `?` or class at `at`, and the index of the next one."""
    if name[at] == "?":
        return "[^/]", at + 1
    if name[at] == "\\":
        if at + 1 == len(name):
            raise UsageError(f"the pattern {pattern!r} ends in a backslash", hint="write two for a plain one")
        return re.escape(name[at + 1]), at + 2
    if name[at] == "[":
        return _character_class(name, at, pattern)
    return re.escape(name[at]), at + 1


def _character_class(name: str, at: int, pattern: str) -> tuple[str, int]:
    negated = name[at + 1 : at + 2] in ("!", "^")
    start = at + 1 + negated
    # A leading `]` is literal, as in the shell.
    end = name.find("]", start + 1)
    if end < 0:
        raise UsageError(f"the pattern {pattern!r} opens a [ and never closes it", hint="write \\[ for a plain one")
    return f"(?!/)[{'^' if negated else ''}{_members(name[start:end], pattern)}]", end + 1


def _members(body: str, pattern: str) -> str:
    """Return the characters and ranges of a class, each escaped."""
    out, at = "", 0
    while at < len(body):
        if body[at + 1 : at + 2] != "-" or at + 2 >= len(body):
            out += re.escape(body[at])
            at += 1
            continue
        low, high = body[at], body[at + 2]
        if low > high:
            raise UsageError(f"the pattern {pattern!r} holds the range {low}-{high}", hint=f"write {high}-{low}")
        out += f"{re.escape(low)}-{re.escape(high)}"
        at += 3
    return out


def owner_by(pattern: str, users: Users = UUIDS_ONLY) -> Callable[[str], UUID | None]:
    """Return a function from a relative path to the user at the pattern's `{user}`, or None.

    The pattern is matched against the whole path: `*` is one name, `**` any number of names, `{user}` one name or a
    part of one: a UUID, or, with a [users] namespace, the shortest text that matches. Raises UsageError for a pattern
    without exactly one `{user}`.
    """
    if pattern.count(PLACEHOLDER) != 1:
        raise UsageError(f"{pattern!r} must contain {PLACEHOLDER} exactly once", hint=_HINT)
    names = [name for name in pattern.split("/") if name not in ("", ".")]
    if ".." in names:
        raise UsageError(f"{pattern!r} leaves the root", hint=_HINT)
    # NUL stands for the placeholder: escaping leaves it alone, and no path contains it.
    mark = "\0"
    text = below_root([name.replace(PLACEHOLDER, mark) for name in names], pattern, BELOW)
    try:
        named = "" if users.namespace is None else "|[^/]+?"
        expression = re.compile(text.replace(mark, f"(?P<user>{UUID_PATTERN}{named})"), re.DOTALL)
    except re.error:
        raise UsageError(f"{pattern!r} has {PLACEHOLDER} within brackets", hint=_HINT) from None
    fit = expression.fullmatch

    def owner(path: str) -> UUID | None:
        found = fit(path)
        try:
            return users.id_of(found["user"]) if found else None
        except UsageError:
            # Bytes that are not UTF-8.
            return None

    return owner
