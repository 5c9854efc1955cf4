"""Price cards as TOML files: strictly read into dataclasses, and written from them."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from datetime import date
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import TypeVar, get_args, get_origin

from imgctl.errors import ConfigError, os_reason
from imgctl.pricing.lines import plain
from imgctl.pricing.prices import CLASSES, STANDARD, Card, Tier

_DEFAULT = "aws-us-east-1"
# Assumed to have us-east-1's prices, as the card's source states; `imgctl cost cards refresh --region` fetches AWS's.
_SAME = ("aws-us-east-2", "aws-us-west-2")
_MOST_DIGITS = 30
T = TypeVar("T")


def card_names() -> tuple[str, ...]:
    """Return the names of the cards that come with imgctl."""
    found = (one.name for one in (files("imgctl.pricing") / "cards").iterdir())
    return (*sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")), *_SAME)


def load_card(path: Path | str | None = None) -> Card:
    """Load a card from a TOML file, or by name one that comes with imgctl; ConfigError names the faulty field."""
    name = _DEFAULT if path is None else str(path)
    if name in _SAME:
        region = name.removeprefix("aws-")
        same = load_card()
        source = f"{same.source}; taken to be the same in {region}, not checked"
        return replace(same, name=f"aws {region}", region=region, source=source)
    packaged = files("imgctl.pricing") / "cards"
    try:
        text = (packaged / f"{name}.toml" if name in card_names() else Path(name)).read_text("utf-8")
        # Decimals, so that prices are exact to the last digit.
        table = tomllib.loads(text, parse_float=Decimal)
        if name in card_names():
            # CDN and database cost the same whichever provider holds the bucket.
            usual = tomllib.loads((packaged / f"{_DEFAULT}.toml").read_text("utf-8"), parse_float=Decimal)
            table = {
                "cdn": usual["cdn"],
                "database": usual["database"],
                "extras": dict.fromkeys(usual["extras"], 0),
                **table,
            }
    except OSError as error:
        raise ConfigError(f"price card {name}: {os_reason(error)}", hint="check --card") from None
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise ConfigError(f"price card {name}: not TOML: {error}", hint="see the card that comes with imgctl") from None
    place = f"price card {name}: "
    card = _record(Card, table, place)
    if card.gb_bytes < 1:
        raise _wrong(f"{place}gb_bytes", "must be 1 or more")
    if unknown := [one for one in card.classes if one not in CLASSES]:
        raise _wrong(f"{place}classes.{unknown[0]}", f"is not a storage class; there are {', '.join(CLASSES)}")
    if STANDARD not in card.classes:
        raise _wrong(f"{place}classes.{STANDARD}", "is missing")
    return card


def card_toml(card: Card) -> str:
    """Return the whole card as TOML; reading it gives the same card."""
    found = _fields(card)
    sections: dict[str, object] = {f"classes.{name}": prices for name, prices in card.classes.items()}
    sections |= {name: value for name, value in found.items() if is_dataclass(value)}
    lines = list(_assignments({name: value for name, value in found.items() if name not in {*sections, "classes"}}))
    for title, record in sections.items():
        lines += ["", f"[{title}]", *_assignments(_fields(record))]
    return "\n".join(lines) + "\n"


def _record(make: type[T], value: object, place: str) -> T:
    """Build a dataclass from a table that has every field without a default, and no unknown key.

    A misspelt name must not pass: its price would be missing from every sum.
    """
    table, given = dict(_table(value, place)), {}
    assert is_dataclass(make)
    for field in fields(make):
        where = f"{place}{field.name}"
        if field.name in table:
            given[field.name] = _value(field.type, table.pop(field.name), where)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise _wrong(where, "is missing")
    if table:
        raise _wrong(f"{place}{next(iter(table))}", "is unknown")
    return make(**given)


def _value(kind: object, value: object, place: str) -> object:
    """Convert a value to its field's type."""
    inner = get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        return _record(kind, value, f"{place}.")
    if get_origin(kind) is Mapping:
        return {name: _value(inner[1], one, f"{place}.{name}") for name, one in _table(value, place).items()}
    if get_origin(kind) is tuple:
        return _tuple(inner, value if isinstance(value, list) else [], place)
    if kind is str and not (isinstance(value, str) and value):
        raise _wrong(place, "is not a text")
    if kind is date and not isinstance(value, date):
        raise _wrong(place, "is not a date like 2026-10-03")
    if kind in (str, date):
        return value
    number = _number(value, place)
    if kind is int and number != int(number):
        raise _wrong(place, "is not a whole number")
    return int(number) if kind is int else number


def _tuple(inner: tuple[object, ...], value: list[object], place: str) -> tuple[object, ...]:
    """Convert a list of tables or texts, or a pair of numbers [least, most]."""
    if inner[1] is not Ellipsis:
        span = tuple(_number(one, place) for one in value)
        if len(span) != 2 or span[0] > span[1]:
            raise _wrong(place, "is not [least, most]")
        return span
    if inner[0] is str:
        return tuple(_value(str, one, f"{place}[{number}]") for number, one in enumerate(value))
    if not value or not all(isinstance(one, dict) for one in value):
        raise _wrong(place, "is not a list of tables")
    found = tuple(_value(inner[0], one, f"{place}[{number}]") for number, one in enumerate(value))
    bounds = [one.up_to_gb for one in found if isinstance(one, Tier)]
    rising = [bound for bound in bounds[:-1] if bound is not None]
    if bounds and (bounds[-1] is not None or len(rising) != len(bounds) - 1 or rising != sorted(set(rising))):
        raise _wrong(place, "must rise by up_to_gb, and its last tier have none")
    return found


def _table(value: object, place: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _wrong(place, "is not a table")
    return value


def _number(value: object, place: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not Decimal(value).is_finite():
        raise _wrong(place, "is not a number")
    if value < 0:
        raise _wrong(place, "is negative")
    # `1e99999999` is short in a file, and has as many digits as a number.
    if value and not -_MOST_DIGITS < Decimal(value).adjusted() < _MOST_DIGITS:
        raise _wrong(place, "is not a price or size")
    return Decimal(value)


def _wrong(place: str, what: str) -> ConfigError:
    return ConfigError(f"{place.removesuffix('.')} {what}", hint="correct the card")


def _fields(record: object) -> dict[str, object]:
    """Return a dataclass's fields, without None and empty ones."""
    assert is_dataclass(record) and not isinstance(record, type)
    found = {one.name: getattr(record, one.name) for one in fields(record)}
    return {name: value for name, value in found.items() if value is not None and value not in ({}, ())}


def _assignments(values: Mapping[str, object]) -> Iterator[str]:
    return (f"{name} = {_toml(value)}" for name, value in values.items())


def _toml(value: object) -> str:
    match value:
        case str():
            # A JSON string is a TOML string, as long as it needs only simple escapes.
            return json.dumps(value, ensure_ascii=False)
        case Decimal():
            return plain(value)
        case date():
            return value.isoformat()
        case int():
            return str(value)
        case tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case Mapping():
            return f"{{ {', '.join(_assignments(value))} }}"
        case _:
            return _toml(_fields(value))
