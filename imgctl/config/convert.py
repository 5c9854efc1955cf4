"""Conversion of values from TOML, variables and flags to a setting's type, within its bounds."""

import math
import re
from dataclasses import Field
from enum import StrEnum
from typing import Literal, TypeAlias, get_args, get_origin, get_type_hints

from imgctl.errors import ConfigError, UsageError
from imgctl.units import format_bytes, parse_bytes, parse_seconds

Value: TypeAlias = "str | int | float | bool | list[Value] | tuple[str, ...] | dict[str, Value]"


def convert(node: object, field: Field[object], value: Value, label: str) -> object:
    """Return the value as the type of a section's field; ConfigError, begun by `label`, if it is invalid or out of bounds."""
    kind = get_type_hints(type(node))[field.name]
    try:
        converted = _parse(kind, value, field.metadata["unit"])
    except ValueError as error:
        raise ConfigError(f"{label}: {_quoted(field, value)} {error}", hint=field.metadata["doc"]) from None
    except UsageError as error:
        raise ConfigError(f"{label}: {error}", hint=field.metadata["doc"]) from None
    if isinstance(converted, int | float) and not isinstance(converted, bool):
        _check_bounds(field, converted, value, label)
    texts = converted if isinstance(converted, tuple) else (converted,) if isinstance(converted, str) else ()
    for text in texts:
        if "\n" in text:
            # The text is not shown: a URL read from a file, with its line feed, may contain a password.
            raise ConfigError(
                f"{label}: contains a line feed", hint="write it in one line, without a line feed at the end"
            )
        if not re.fullmatch(field.metadata["pattern"], text):
            raise ConfigError(f"{label}: {_quoted(field, text)} is invalid", hint=field.metadata["doc"])
    return converted


def _quoted(field: Field[object], value: Value) -> str:
    """A value as an error shows it: not that of a secret, and none with an @, which may be a URL with a password."""
    return "the value" if field.metadata["secret"] or "@" in str(value) else repr(value)


def _check_bounds(field: Field[object], number: float, value: Value, label: str) -> None:
    """Raise ConfigError for a number outside the bounds of its setting."""
    least, most, unit = (field.metadata[name] for name in ("least", "most", "unit"))
    if not least <= number <= most:
        low, high = (_shown(bound, unit) for bound in (least, most))
        wrong = f"is below {low}" if number < least else f"is above {high}"
        raise ConfigError(f"{label}: {value} {wrong}; {low} to {high}", hint=field.metadata["doc"])


def _shown(bound: float, unit: str) -> str:
    return format_bytes(bound) if unit == "bytes" else f"{bound:g}s" if unit == "seconds" else f"{bound:,}"


def _parse(kind: object, value: Value, unit: str) -> object:
    if isinstance(value, str) and unit:
        return parse_bytes(value) if unit == "bytes" else parse_seconds(value)
    if get_origin(kind) is tuple:
        return _parse_names(value)
    if get_origin(kind) is Literal:
        return _one_of(value, [str(choice) for choice in get_args(kind)])
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(_one_of(value, [choice.value for choice in kind]))
    return _parse_plain(kind, value)


def _parse_plain(kind: object, value: Value) -> object:
    if kind is str and isinstance(value, str):
        return value
    if kind is bool:
        return _one_of(str(value).lower(), ["true", "false"]) == "true"
    if kind in (int, float) and not isinstance(value, bool) and isinstance(value, (str, int, float)):
        return _parse_number(kind, value)
    raise ValueError(f"is not a {'number' if kind in (int, float) else 'text'}")


def _parse_number(kind: object, value: str | float) -> int | float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (kind is int and number != int(number)):
        raise ValueError(f"is not a {'whole ' if kind is int else ''}number")
    return int(number) if kind is int else number


def _parse_names(value: Value) -> tuple[str, ...]:
    names = [name for name in value.split(",") if name] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ValueError("is not a list of names")
    return tuple(str(name) for name in names)


def _one_of(value: Value, choices: list[str]) -> str:
    if value not in choices:
        raise ValueError(f"is not one of {', '.join(choices)}")
    return str(value)
