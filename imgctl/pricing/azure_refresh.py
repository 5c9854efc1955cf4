"""Refreshes a card from Azure's public Retail Prices API: prices that it lacks are kept and named."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import cast

from imgctl.errors import ConfigError
from imgctl.pricing.prices import Card, Tier, Tiers
from imgctl.pricing.refresh import Refreshed, Table, Value, taken

PRODUCT = "General Block Blob v2"
# Meters by their names (Azure Retail Prices API, product General Block Blob v2, locally redundant).
WANTED: Mapping[str, str] = {
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
    offered = {name: meters.prices.get(meter, ()) for name, meter in WANTED.items()}
    offered |= {f"{name}.transition": offered[f"{name}.put"] for name in _MOVES}
    found = taken(card, offered)
    new = replace(found.card, name=f"az {region}", region=region, as_of=meters.since, source=source)
    return replace(found, card=new)
