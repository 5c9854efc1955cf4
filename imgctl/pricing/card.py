"""Price cards as TOML files: read strictly, and written."""

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from decimal import Decimal
from importlib.resources import files
from inspect import Parameter, signature
from pathlib import Path
from typing import TypeVar

from imgctl.errors import ConfigError
from imgctl.pricing.lines import plain
from imgctl.pricing.prices import (
    CLASSES,
    STANDARD,
    Card,
    Cdn,
    CdnPlan,
    ClassPrices,
    Extras,
    Retrieval,
    Tier,
    Tiers,
    Transfer,
)
from imgctl.pricing.section import Section

__all__ = ["CLASSES", "DEFAULT", "STANDARD", "Card", "card_toml", "load_card"]

DEFAULT = "aws-us-east-1.toml"
T = TypeVar("T")


def load_card(path: Path | None = None) -> Card:
    """The card in a TOML file, or the one that comes with imgctl; ConfigError says what is wrong with it, and where."""
    name = DEFAULT if path is None else str(path)
    packaged = files("imgctl.pricing") / "cards" / DEFAULT
    try:
        text = packaged.read_text("utf-8") if path is None else path.read_text("utf-8")
        # Decimals, so that a price is what the card says to the last digit.
        table = tomllib.loads(text, parse_float=Decimal)
    except OSError as error:
        raise ConfigError(f"price card {name}: {(error.strerror or str(error)).lower()}", hint="check --card") from None
    except ValueError as error:
        raise ConfigError(f"price card {name}: not TOML: {error}", hint="see the card that comes with imgctl") from None
    with Section(table, card=name) as section:
        return _card(section)


def card_toml(card: Card) -> str:
    """The whole card; reading it again gives the same card."""
    sections: dict[str, Mapping[str, object]] = {
        **{f"classes.{name}": _fields(prices) for name, prices in card.classes.items()},
        "requests": {"list": card.list_requests},
        "transfer": _fields(card.transfer),
        "cdn": _fields(card.cdn),
        "extras": _fields(card.extras),
        "database": {"gb": card.database_gb},
    }
    top = {name: getattr(card, name) for name in ("name", "region", "as_of", "source", "gb_bytes")}
    lines = list(_assignments(top))
    for title, values in sections.items():
        # A class is named by its section.
        lines += ["", f"[{title}]", *_assignments({name: one for name, one in values.items() if name != "name"})]
    return "\n".join(lines) + "\n"


def _card(section: Section) -> Card:
    with section.section("requests") as requests:
        list_requests = requests.number("list")
    with section.section("database", optional=True) as database:
        database_gb = database.number("gb", Decimal(0))
    classes = _classes(section)
    card = _record(Card, section, classes=classes, list_requests=list_requests, database_gb=database_gb)
    if card.gb_bytes < 1:
        raise section.wrong("gb_bytes", "must be 1 or more")
    return card


def _record(make: Callable[..., T], section: Section, **given: object) -> T:
    """A dataclass: what is not given is taken from the section by the name and the type of each field."""
    left = set(section.names())
    for name, field in signature(make).parameters.items():
        if name not in given and (name in left or field.default is Parameter.empty):
            given[name] = _TAKE[field.annotation](section, name)
    return make(**given)


def _classes(section: Section) -> dict[str, ClassPrices]:
    found = {}
    with section.section("classes") as classes:
        for name in classes.names():
            if name not in CLASSES:
                raise classes.wrong(name, f"is not a storage class; there are {', '.join(CLASSES)}")
            with classes.section(name) as one:
                found[name] = _record(ClassPrices, one, name=name)
    if STANDARD not in found:
        raise section.wrong(f"classes.{STANDARD}", "is missing")
    return found


def _tiers(section: Section, name: str) -> Tiers:
    found = _list(Tier)(section, name)
    bounds = [tier.up_to_gb for tier in found[:-1] if tier.up_to_gb is not None]
    if found[-1].up_to_gb is not None or len(bounds) != len(found) - 1 or bounds != sorted(set(bounds)):
        raise section.wrong(name, "must rise by up_to_gb, and its last tier have none")
    return found


def _numbers(section: Section, name: str) -> dict[str, Decimal]:
    with section.section(name) as one:
        return {inner: one.number(inner) for inner in one.names()}


def _retrievals(section: Section, name: str) -> dict[str, Retrieval]:
    with section.section(name) as tiers:
        return {inner: _one(Retrieval)(tiers, inner) for inner in tiers.names()}


def _one(make: Callable[..., T]) -> Callable[[Section, str], T]:
    def take(section: Section, name: str) -> T:
        with section.section(name) as one:
            return _record(make, one)

    return take


def _list(make: Callable[..., T]) -> Callable[[Section, str], tuple[T, ...]]:
    def take(section: Section, name: str) -> tuple[T, ...]:
        found = []
        for one in section.sections(name):
            with one:
                found.append(_record(make, one))
        return tuple(found)

    return take


_TAKE: dict[object, Callable[[Section, str], object]] = {
    str: Section.text,
    int: Section.count,
    date: Section.day,
    Decimal: Section.number,
    Decimal | None: Section.number,
    tuple[Decimal, Decimal]: Section.span,
    Tiers: _tiers,
    Mapping[str, Decimal]: _numbers,
    Mapping[str, Retrieval]: _retrievals,
    tuple[CdnPlan, ...]: _list(CdnPlan),
    Transfer: _one(Transfer),
    Cdn: _one(Cdn),
    Extras: _one(Extras),
}


def _fields(record: object) -> dict[str, object]:
    """What a dataclass holds, without what is unknown or empty."""
    assert is_dataclass(record) and not isinstance(record, type)
    found = {one.name: getattr(record, one.name) for one in fields(record)}
    return {name: value for name, value in found.items() if value is not None and value != {}}


def _assignments(values: Mapping[str, object]) -> Iterator[str]:
    return (f"{name} = {_toml(value)}" for name, value in values.items())


def _toml(value: object) -> str:
    match value:
        case str():
            # JSON's strings are TOML's, where nothing but plain escapes are needed.
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
