"""Refreshes a card from the public price list of AWS or Azure: prices that the list lacks are kept and named."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TypeAlias, cast

from imgctl.errors import ConfigError
from imgctl.pricing.lines import plain
from imgctl.pricing.prices import Card, Cdn, ClassPrices, Database, Extras, Requests, Tier, Tiers

Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value] | None"
Table: TypeAlias = "dict[str, Value]"

OFFERS = ("AmazonS3", "AmazonGlacier", "AmazonS3GlacierDeepArchive", "AWSDataTransfer")
PER_THOUSAND = 1000
# Usage types begin with a short name of their region, except in us-east-1: `EUC1-TimedStorage-ByteHrs`.
_REGION = re.compile(r"(?:[A-Z]{2,4}\d?-)?(.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The place of a card's price in an offer: usage type, and the operation if several share one."""

    offer: str
    usage: str
    operation: str = ""
    thousands: bool = False


_S3, _FLEXIBLE, _DEEP, _TRANSFER = OFFERS
WANTED: Mapping[str, Wanted] = {
    "STANDARD.storage": Wanted(offer=_S3, usage="TimedStorage-ByteHrs"),
    "STANDARD_IA.storage": Wanted(offer=_S3, usage="TimedStorage-SIA-ByteHrs"),
    "ONEZONE_IA.storage": Wanted(offer=_S3, usage="TimedStorage-ZIA-ByteHrs"),
    "INTELLIGENT_TIERING.storage": Wanted(offer=_S3, usage="TimedStorage-INT-FA-ByteHrs"),
    "GLACIER_IR.storage": Wanted(offer=_S3, usage="TimedStorage-GIR-ByteHrs"),
    "GLACIER.storage": Wanted(offer=_FLEXIBLE, usage="TimedStorage-ByteHrs"),
    "DEEP_ARCHIVE.storage": Wanted(offer=_DEEP, usage="TimedStorage-GDA-ByteHrs"),
    "STANDARD.put": Wanted(offer=_S3, usage="Requests-Tier1", thousands=True),
    "STANDARD.get": Wanted(offer=_S3, usage="Requests-Tier2", thousands=True),
    "GLACIER.put": Wanted(offer=_S3, usage="Requests-GLACIER-Tier1", operation="PostObject", thousands=True),
    "STANDARD_IA.transition": Wanted(offer=_S3, usage="Requests-Tier4", thousands=True),
    "GLACIER.transition": Wanted(offer=_S3, usage="Requests-Tier3", operation="S3-GlacierTransition", thousands=True),
    "DEEP_ARCHIVE.transition": Wanted(offer=_S3, usage="Requests-Tier3", operation="S3-GDATransition", thousands=True),
    "INTELLIGENT_TIERING.monitoring": Wanted(offer=_S3, usage="Monitoring-Automation-INT", thousands=True),
    "transfer.internet": Wanted(offer=_TRANSFER, usage="DataTransfer-Out-Bytes"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One offer file: its publication day, and tiers by usage type and operation; empty tiers for a conflict."""

    published: date
    prices: Mapping[tuple[str, str], Tiers]

    def find(self, wanted: Wanted) -> Tiers:
        """Return the tiers of a price, per 1,000 for requests; empty if the file has none or several."""
        found = {
            tiers
            for (usage, operation), tiers in self.prices.items()
            if usage == wanted.usage and wanted.operation in ("", operation)
        }
        tiers = found.pop() if len(found) == 1 else ()
        factor = PER_THOUSAND if wanted.thousands else 1
        return tuple(Tier(price=tier.price * factor, up_to_gb=tier.up_to_gb) for tier in tiers)


def read_offer(table: Value, *, source: str) -> Offer:
    """Read an offer file of AWS; ConfigError for any other content."""
    try:
        parsed = cast("dict[str, str]", table)
        published = date.fromisoformat(parsed["publicationDate"][:10])
        prices: dict[tuple[str, str], Tiers] = {}
        for key, tiers in _prices(cast("dict[str, dict[str, Table]]", table)):
            prices[key] = tiers if prices.get(key, tiers) == tiers else ()
    except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
        raise ConfigError(f"{source} is not a price list of AWS: {error!r}", hint="check --url") from None
    return Offer(published=published, prices=prices)


def _prices(table: dict[str, dict[str, Table]]) -> Iterator[tuple[tuple[str, str], Tiers]]:
    terms = cast("dict[str, Table]", table["terms"].get("OnDemand", {}))
    for sku, product in table["products"].items():
        attributes = cast("dict[str, str]", product["attributes"])
        found = _REGION.fullmatch(attributes.get("usagetype", ""))
        for term in terms.get(sku, {}).values():
            dimensions = cast("dict[str, dict[str, str | dict[str, str]]]", cast("Table", term)["priceDimensions"])
            if found:
                yield (found[1], attributes.get("operation", "")), _offered_tiers(list(dimensions.values()))


def _offered_tiers(dimensions: list[dict[str, str | dict[str, str]]]) -> Tiers:
    tiers = []
    for one in sorted(dimensions, key=lambda one: Decimal(str(one.get("beginRange", "0")))):
        price = Decimal(cast("dict[str, str]", one["pricePerUnit"])["USD"])
        end = str(one.get("endRange", "Inf"))
        # The free tier comes first; the card holds it in a separate field.
        if price or end == "Inf":
            tiers.append(Tier(price=price, up_to_gb=None if end == "Inf" else Decimal(end)))
    return tuple(tiers)


TRANSFER = "transfer"
_CLASS_PRICES = ("storage", "put", "get", "transition", "monitoring", "access_tiers", "retrieval")
_TRANSFER_PRICES = ("internet", "inter_region", "to_cdn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """The new card, the changed prices (name, before, after), the confirmed ones, and those that the list lacks."""

    card: Card
    changed: tuple[tuple[str, str, str], ...]
    confirmed: tuple[str, ...]
    kept: tuple[str, ...]


def refreshed(card: Card, offers: Mapping[str, Offer], *, region: str, source: str) -> Refreshed:
    """Return the card with the offers' prices; CDN, retrieval, minimums and extras stay as they are."""
    found = taken(card, {name: offers[wanted.offer].find(wanted) for name, wanted in WANTED.items()})
    published = max(offer.published for offer in offers.values())
    return replace(found, card=replace(found.card, name=f"aws {region}", region=region, as_of=published, source=source))


def taken(card: Card, offered: Mapping[str, Tiers]) -> Refreshed:
    """Return the card with the offered prices, by name (`STANDARD.put`); all other prices keep their values, and are named."""
    changed, confirmed, kept = [], [], []
    others = [name for name in _priced(card) if name not in offered]
    for name, tiers in offered.items():
        before = _value(card, name)
        if not tiers or tiers[-1].up_to_gb is not None or (len(tiers) > 1 and not _is_tiered(name)):
            kept.append(name)
        elif tiers == before:
            confirmed.append(name)
        else:
            changed.append((name, _words(before), _words(tiers)))
            card = _with(card, name, tiers)
    return Refreshed(card=card, changed=tuple(changed), confirmed=tuple(confirmed), kept=(*kept, *others))


def _priced(card: Card) -> Iterator[str]:
    """Yield the names of a card's prices that are not 0; the CDN's and the extras have one name each."""
    for name, prices in card.classes.items():
        yield from (f"{name}.{one}" for one in _CLASS_PRICES if getattr(prices, one))
    yield from (f"{TRANSFER}.{one}" for one in _TRANSFER_PRICES if getattr(card.transfer, one))
    groups: Mapping[str, Cdn | Extras | Database] = {"cdn": card.cdn, "extras": card.extras, "database": card.database}
    for name, group in groups.items():
        if any(getattr(group, one.name) for one in fields(group)):
            yield name


def _is_tiered(name: str) -> bool:
    return name.endswith(("storage", "internet"))


def _value(card: Card, name: str) -> Tiers:
    where, what = name.split(".")
    if where == TRANSFER:
        return card.transfer.internet
    prices = card.of(where)
    if what == "storage":
        return prices.storage
    price: Decimal | None = getattr(prices, what)
    return () if price is None else (Tier(price=price),)


def _with(card: Card, name: str, tiers: Tiers) -> Card:
    where, what = name.split(".")
    if where == TRANSFER:
        return replace(card, transfer=replace(card.transfer, internet=tiers))
    prices, price = card.of(where), tiers[0].price
    found = {field.name: getattr(prices, field.name) for field in fields(prices)}
    new = ClassPrices(**found | {what: tiers if what == "storage" else price})
    card = replace(card, classes={**card.classes, where: new})
    # A LIST costs what a PUT into STANDARD costs, whatever the class.
    return replace(card, requests=Requests(list=price)) if name == "STANDARD.put" else card


def _words(tiers: Tiers) -> str:
    return ", ".join(plain(tier.price) for tier in tiers) or "none"


PRODUCT = "General Block Blob v2"
# Meters by their names (Azure Retail Prices API, product General Block Blob v2, locally redundant).
METERS: Mapping[str, str] = {
    "STANDARD.storage": "Hot LRS Data Stored",
    "STANDARD.put": "Hot LRS Write Operations",
    "STANDARD.get": "Hot Read Operations",
    "COOL.storage": "Cool LRS Data Stored",
    "COOL.put": "Cool LRS Write Operations",
    "COOL.get": "Cool Read Operations",
    "COLD.storage": "Cold LRS Data Stored",
    "COLD.put": "Cold LRS Write Operations",
    "COLD.get": "Cold Read Operations",
    "AZURE_ARCHIVE.storage": "Archive LRS Data Stored",
    "AZURE_ARCHIVE.put": "Archive LRS Write Operations",
}
# A move costs a write in the target tier.
_MOVES = ("COOL", "COLD", "AZURE_ARCHIVE")
_THOUSANDS = re.compile(r"(\d+)K")


@dataclass(frozen=True, slots=True, kw_only=True)
class Meters:
    """The tiers of each meter, per GB or 1,000 requests, and the latest day on which one took effect."""

    since: date
    prices: Mapping[str, Tiers]


def read_meters(pages: Iterable[Value], *, source: str) -> Meters:
    """Read pages of the API's response; ConfigError for any other content."""
    found: dict[str, dict[Decimal, Decimal]] = {}
    since = date.min
    try:
        for page in pages:
            for item in cast("list[Table]", cast("Table", page)["Items"]):
                if item["type"] != "Consumption" or item["productName"] != PRODUCT:
                    continue
                price, unit = Decimal(str(item["retailPrice"])), str(item["unitOfMeasure"])
                if thousands := _THOUSANDS.fullmatch(unit):
                    price /= int(thousands[1])
                found.setdefault(str(item["meterName"]), {})[Decimal(str(item["tierMinimumUnits"]))] = price
                since = max(since, date.fromisoformat(str(item["effectiveStartDate"])[:10]))
    except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
        raise ConfigError(f"{source} is not Azure's price list: {error!r}", hint="check --url") from None
    if not found:
        raise ConfigError(f"{source} has no prices of {PRODUCT} there", hint="check --region: eastus2, westeurope")
    return Meters(since=since, prices={name: _tiers(each) for name, each in found.items()})


def _tiers(by_least: Mapping[Decimal, Decimal]) -> Tiers:
    bounds = sorted(by_least)
    return tuple(
        Tier(price=by_least[least], up_to_gb=above) for least, above in zip(bounds, [*bounds[1:], None], strict=True)
    )


def refreshed_azure(card: Card, meters: Meters, *, region: str, source: str) -> Refreshed:
    """Return the card with the meters' prices; retrieval, transfer, minimums and the CDN stay as they are."""
    offered = {name: meters.prices.get(meter, ()) for name, meter in METERS.items()}
    offered |= {f"{name}.transition": offered[f"{name}.put"] for name in _MOVES}
    found = taken(card, offered)
    new = replace(found.card, name=f"az {region}", region=region, as_of=meters.since, source=source)
    return replace(found, card=new)
