"""Manifests: CSV with a header or JSON lines, read a row at a time; a bad line is reported by number and skipped."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import BinaryIO
from uuid import UUID

from imgctl.dates import in_utc
from imgctl.errors import UsageError
from imgctl.jsontext import parse_json
from imgctl.keys import is_utf8
from imgctl.ops.common.csv_cells import unguarded
from imgctl.units import count_of
from imgctl.users import Users

LONGEST_LINE = 2**20
_LONGEST_DETAIL = 500
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_DELIMITERS = (",", ";", "\t")
_TEXTS = frozenset(("caption", "name"))


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that is not a valid row, and the reason."""

    detail: str

    def __post_init__(self) -> None:
        # It quotes the line, which may be a MiB long.
        if len(self.detail) > _LONGEST_DETAIL:
            object.__setattr__(self, "detail", f"{self.detail[:_LONGEST_DETAIL]} …")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The required and the optional columns of a manifest; others are ignored."""

    required: frozenset[str]
    optional: frozenset[str] = frozenset()

    @property
    def known(self) -> frozenset[str]:
        return self.required | self.optional


Row = dict[str, str]


def rows(
    file: BinaryIO, *, required: frozenset[str], optional: frozenset[str] = frozenset()
) -> Iterator[tuple[int, Row | BadLine]]:
    """Yield each row as its line number (from 1) and its known columns that are not empty; all required ones are set.

    JSON lines if the first line opens an object, else CSV with `,`, `;` or tab; UTF-8. A value from a JSON escape may
    hold lone surrogates. Raises UsageError for an invalid header.
    """
    columns, lines = Columns(required=required, optional=optional), _Lines(file)
    first = lines.first()
    if first is None:
        return
    yield from _json_rows(lines, columns) if first.startswith(b"{") else _csv_rows(lines, columns)


def owner_and_date(row: Row, users: Users) -> tuple[UUID | None, datetime | None] | BadLine:
    """Return the `user_id` and the `uploaded_at` of a row, each None if absent."""
    owner, when = row.get("user_id"), row.get("uploaded_at")
    try:
        user_id = users.id_of(owner) if owner else None
    except UsageError as error:
        return BadLine(detail=f"user_id: {error.line}")
    try:
        return user_id, moment_of(when.strip()) if when else None
    except (ValueError, OverflowError):
        return BadLine(detail=f"uploaded_at: invalid time: {when!r}; write 2026-11-22T10:00Z")


def moment_of(text: str) -> datetime:
    """Parse an ISO 8601 time into aware UTC to the millisecond; a time without an offset is UTC.

    Raises ValueError for an invalid time, OverflowError for one outside the years 1 to 9999 in UTC.
    """
    aware = in_utc(datetime.fromisoformat(text))
    return aware.replace(microsecond=aware.microsecond // 1000 * 1000)


class _Lines:
    """The lines of a file, cut at LONGEST_LINE; `number` is that of the line returned last."""

    def __init__(self, file: BinaryIO) -> None:
        self.number = 0
        self._file = file
        self._kept: bytes | None = None

    def first(self) -> bytes | None:
        """Return the first line that is not blank, and keep it for iteration; None for an empty file."""
        for line in self:
            text = line.removeprefix(_BOM) if self.number == 1 else line
            if text.startswith(_UTF16):
                raise UsageError("the manifest is UTF-16", hint="save it as UTF-8")
            if text.strip():
                self._kept = text
                return text.lstrip()
        return None

    def __iter__(self) -> Iterator[bytes]:
        while line := self._next():
            yield line

    def text(self) -> Iterator[str]:
        """Yield the lines as text; invalid UTF-8 becomes lone surrogates."""
        for line in self:
            yield line.decode(errors="surrogateescape")

    def _next(self) -> bytes:
        if self._kept is not None:
            line, self._kept = self._kept, None
            return line
        line = self._file.readline(LONGEST_LINE)
        self.number += 1
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            # Drop the rest of the line; the part that is kept is longer than both parsers below accept.
            while (rest := self._file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
        return line


def _json_rows(lines: _Lines, columns: Columns) -> Iterator[tuple[int, Row | BadLine]]:
    for line in lines:
        if line.strip():
            yield lines.number, _json_row(line, columns)


def _json_row(line: bytes, columns: Columns) -> Row | BadLine:
    if len(line) >= LONGEST_LINE:
        return BadLine(detail=f"longer than {count_of(LONGEST_LINE, 'byte')}")
    try:
        value: object = parse_json(line)
    except ValueError as error:
        return BadLine(detail=f"not valid UTF-8 JSON: {error}")
    if not isinstance(value, dict):
        return BadLine(detail="not a JSON object")
    row: Row = {}
    for name, item in value.items():
        if name not in columns.known or item is None or item == "":
            continue
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            return BadLine(detail=f"{name} is not text")
        row[name] = str(item)
    return _complete(row, columns, given=frozenset(value))


def _csv_rows(lines: _Lines, columns: Columns) -> Iterator[tuple[int, Row | BadLine]]:
    text = lines.text()
    names, delimiter = _header(next(text), columns)
    # Strict: an unclosed quote is an error after 128 KiB at the latest, and not a field that swallows the file.
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    while True:
        number = lines.number + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            until = f", up to line {lines.number}" if lines.number > number else ""
            yield number, BadLine(detail=f"invalid CSV: {error}{until}")
            continue
        if fields is None:
            return
        if fields:
            yield number, _csv_row(fields, names, columns)


def _csv_row(fields: list[str], names: list[str], columns: Columns) -> Row | BadLine:
    if len(fields) != len(names):
        return BadLine(detail=f"{count_of(len(fields), 'field')} where the header has {len(names)}")
    row = {name: field for name, field in zip(names, fields, strict=True) if name in columns.known and field}
    # As an export writes them, lest a spreadsheet takes them for formulas.
    row |= {name: unguarded(field) for name, field in row.items() if name in _TEXTS}
    for name, field in row.items():
        if not is_utf8(field):
            return BadLine(detail=f"{name} is not UTF-8")
    return _complete(row, columns, given=frozenset(names))


def _header(line: str, columns: Columns) -> tuple[list[str], str]:
    """Return the names of a CSV header and its delimiter; UsageError unless each required name is there once."""
    try:
        split = [([name.strip() for name in next(csv.reader([line], delimiter=one))], one) for one in _DELIMITERS]
    except csv.Error as error:
        raise UsageError(f"the manifest's header is invalid CSV: {error}", hint="is it a manifest?") from None
    names, delimiter = max(split, key=lambda found: len(columns.required.intersection(found[0])))
    missing = sorted(columns.required.difference(names))
    wanted = ", ".join(sorted(columns.required))
    if missing:
        raise UsageError(f"the manifest's header has no column {missing[0]}", hint=f"the first line names: {wanted}")
    twice = next((name for name in names if name in columns.known and names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"the manifest's header names {twice} twice", hint="name each column once")
    if misspelt := _misspelt(frozenset(names), columns):
        raise UsageError(f"the manifest's header has {misspelt}", hint="correct it, or rename the column")
    return names, delimiter


def _complete(row: Row, columns: Columns, *, given: frozenset[str]) -> Row | BadLine:
    if misspelt := _misspelt(given, columns):
        return BadLine(detail=f"has {misspelt}")
    missing = sorted(columns.required.difference(row))
    return BadLine(detail=f"{missing[0]} is missing") if missing else row


@lru_cache(maxsize=64)
def _misspelt(given: frozenset[str], columns: Columns) -> str:
    """Return a message about an unknown column that is spelt almost like an absent one; empty if there is none."""
    from difflib import get_close_matches

    absent = columns.known - given
    for name in sorted(given - columns.known):
        if near := get_close_matches(name.lower().replace("-", "_"), absent, n=1, cutoff=0.85):
            return f"{name!r} instead of {near[0]}"
    return ""
