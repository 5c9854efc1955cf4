"""Reading a price card from its file."""

import tomllib
from decimal import Decimal
from importlib.resources import files
from pathlib import Path

from imgctl.errors import ConfigError
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

__all__ = ["CLASSES", "DEFAULT", "STANDARD", "Card", "load_card"]

DEFAULT = "aws-us-east-1.toml"


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


def _card(section: Section) -> Card:
    gb_bytes = section.count("gb_bytes")
    if gb_bytes < 1:
        raise section.wrong("gb_bytes", "is no size")
    with section.section("requests") as requests:
        list_requests = requests.number("list")
    with section.section("database", optional=True) as database:
        database_gb = database.number("gb", Decimal(0))
    return Card(
        name=section.text("name"),
        region=section.text("region"),
        as_of=section.day("as_of"),
        source=section.text("source"),
        gb_bytes=gb_bytes,
        classes=_classes(section),
        list_requests=list_requests,
        transfer=_transfer(section),
        cdn=_cdn(section),
        extras=_extras(section),
        database_gb=database_gb,
    )


def _classes(section: Section) -> dict[str, ClassPrices]:
    found = {}
    with section.section("classes") as classes:
        for name in classes.names():
            if name not in CLASSES:
                raise classes.wrong(name, f"is no storage class; there are {', '.join(CLASSES)}")
            with classes.section(name) as one:
                found[name] = _class(name, one)
    if STANDARD not in found:
        raise section.wrong(f"classes.{STANDARD}", "is missing")
    return found


def _class(name: str, one: Section) -> ClassPrices:
    return ClassPrices(
        name=name,
        storage=_tiers(one, "storage"),
        put=one.number_or_none("put"),
        get=one.number_or_none("get"),
        transition=one.number_or_none("transition"),
        minimum_days=one.count("minimum_days", 0),
        minimum_bytes=one.count("minimum_bytes", 0),
        overhead_bytes=one.count("overhead_bytes", 0),
        overhead_standard_bytes=one.count("overhead_standard_bytes", 0),
        monitoring=one.number("monitoring", Decimal(0)),
        monitored_bytes=one.count("monitored_bytes", 0),
        access_tiers=_access_tiers(one),
        retrieval=_retrievals(one),
    )


def _access_tiers(one: Section) -> dict[str, Decimal]:
    with one.section("access_tiers", optional=True) as tiers:
        return {name: tiers.number(name) for name in tiers.names()}


def _retrievals(one: Section) -> dict[str, Retrieval]:
    found = {}
    with one.section("retrieval", optional=True) as tiers:
        for name in tiers.names():
            with tiers.section(name) as tier:
                hours = tier.span("hours")
                found[name] = Retrieval(gb=tier.number("gb"), requests=tier.number("requests"), hours=hours)
    return found


def _tiers(section: Section, name: str) -> Tiers:
    found = []
    for one in section.sections(name):
        with one:
            found.append(Tier(price=one.number("price"), up_to_gb=one.number_or_none("up_to_gb")))
    bounds = [tier.up_to_gb for tier in found[:-1] if tier.up_to_gb is not None]
    if found[-1].up_to_gb is not None or len(bounds) != len(found) - 1 or bounds != sorted(set(bounds)):
        raise section.wrong(name, "must rise by up_to_gb, and its last tier have none")
    return tuple(found)


def _transfer(section: Section) -> Transfer:
    with section.section("transfer") as one:
        return Transfer(
            internet=_tiers(one, "internet"),
            internet_free_gb=one.number("internet_free_gb"),
            inter_region=one.number("inter_region"),
            to_cdn=one.number("to_cdn"),
        )


def _cdn(section: Section) -> Cdn:
    with section.section("cdn") as one:
        return Cdn(
            internet=_tiers(one, "internet"),
            free_gb=one.number("free_gb"),
            free_requests=one.count("free_requests"),
            https=one.number("https"),
            http=one.number("http"),
            invalidation=one.number("invalidation"),
            free_invalidations=one.count("free_invalidations"),
            plans=tuple(_plan(plan) for plan in one.sections("plans")),
        )


def _plan(plan: Section) -> CdnPlan:
    with plan:
        return CdnPlan(
            name=plan.text("name"),
            monthly=plan.number("monthly"),
            requests=plan.count("requests"),
            gb=plan.number("gb"),
            storage_gb=plan.number("storage_gb"),
        )


def _extras(section: Section) -> Extras:
    with section.section("extras") as one:
        return Extras(**{name: one.number(name) for name in Extras.__slots__})
