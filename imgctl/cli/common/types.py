"""Click types that parse ids, times, durations, sizes and amounts; errors name the value and a valid form."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar, cast

import click

from imgctl.dates import parse_moment
from imgctl.errors import UsageError
from imgctl.imaging.formats import Format, format_names, formats_named
from imgctl.keys import ROLES
from imgctl.model import Variant
from imgctl.units import parse_bytes, parse_seconds

T = TypeVar("T")


class Parsed(click.ParamType[T], Generic[T]):
    """A type whose values `parse` reads; it raises UsageError for invalid text."""

    def __init__(self, metavar: str, parse: Callable[[str], T]) -> None:
        self.name = metavar.lower()
        self._metavar = metavar
        self._parse = parse

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return self._metavar

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> T:
        try:
            return self._parse(value) if isinstance(value, str) else cast("T", value)
        except UsageError as error:
            self.fail(error.line, param, ctx)


class UserText(str):
    """A user as typed; its UUID depends on the settings."""

    __slots__ = ()


def _formats(text: str) -> frozenset[Format]:
    """Parse formats as users name them: `raw`, `video`, `cr3,psd`."""
    formats: frozenset[Format] = frozenset()
    for name in filter(None, map(str.strip, text.split(","))):
        named = formats_named(name)
        if not named:
            raise UsageError(f"unknown format {name!r}; known: {', '.join(format_names())}")
        formats |= named
    return formats


def amount(text: str) -> Decimal:
    """Parse a number of 0 or more, exactly."""
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise UsageError(f"invalid number: {text!r}") from None
    if not found.is_finite() or found < 0:
        raise UsageError(f"invalid number: {text!r}; write 0 or more")
    return found


def _sizes(text: str) -> dict[str, int]:
    """Parse bytes by role: `thumb=50KB,original=3MB`."""
    found = {}
    for part in text.split(","):
        name, _, size = part.partition("=")
        if name.strip() not in ROLES:
            known = ", ".join(ROLES)
            raise UsageError(f"unknown role {name.strip()!r}, known: {known}; write thumb=50KB,original=3MB")
        found[name.strip()] = parse_bytes(size)
    return found


def _variants(text: str) -> frozenset[Variant]:
    """Parse names of variants: `thumb,full`."""
    names = set(filter(None, map(str.strip, text.split(","))))
    if unknown := sorted(names.difference(Variant)):
        raise UsageError(f"unknown variant {unknown[0]!r}; known: {', '.join(Variant)}")
    return frozenset(map(Variant, names))


def _text(text: str) -> str:
    """Return a text; UsageError for a blank one, such as that of an unset shell variable."""
    if not text.strip():
        raise UsageError("the value is blank; write one, or leave the option out")
    return text


def _month(text: str) -> date:
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise UsageError(f"invalid month: {text!r}; write 2026-11") from None


TEXT = Parsed("TEXT", _text)
USER = Parsed("USER", UserText)
TIME = Parsed("TIME", parse_moment)
DURATION = Parsed("DURATION", parse_seconds)
SIZE = Parsed("SIZE", parse_bytes)
AMOUNT = Parsed("N", amount)
FORMATS = Parsed("FORMAT,…", _formats)
SIZES = Parsed("ROLE=SIZE,…", _sizes)
VARIANTS = Parsed("NAME,…", _variants)
MONTH = Parsed("MONTH", _month)
FILE = click.Path(path_type=Path, dir_okay=False, readable=False)
DIRECTORY = click.Path(path_type=Path, file_okay=False)
ANY_COUNT = click.IntRange(min=0)


class OneOf(click.ParamType[StrEnum]):
    """One of a closed set of values, in lower or upper case."""

    def __init__(self, kind: type[StrEnum]) -> None:
        self.name = kind.__name__.lower()
        self._kind = kind
        self._choice = click.Choice([one.value for one in kind], case_sensitive=False)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        return self._choice.get_metavar(param, ctx)

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> StrEnum:
        return self._kind(self._choice.convert(str(value), param, ctx))
