"""Writing a price card as the TOML that `load_card` reads."""

import json
from collections.abc import Iterator
from decimal import Decimal

from imgctl.pricing.lines import plain
from imgctl.pricing.prices import Card, CdnPlan, ClassPrices, Extras, Tiers


def card_toml(card: Card) -> str:
    """The whole card; reading it again gives the same card."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: Card) -> Iterator[str]:
    yield f"name = {_text(card.name)}"
    yield f"region = {_text(card.region)}"
    yield f"as_of = {card.as_of.isoformat()}"
    yield f"source = {_text(card.source)}"
    yield f"gb_bytes = {card.gb_bytes}"
    for prices in card.classes.values():
        yield from _class(prices)
    yield f"\n[requests]\nlist = {plain(card.list_requests)}"
    transfer = card.transfer
    yield "\n[transfer]"
    yield f"internet = {_tiers(transfer.internet)}"
    yield f"internet_free_gb = {plain(transfer.internet_free_gb)}"
    yield f"inter_region = {plain(transfer.inter_region)}"
    yield f"to_cdn = {plain(transfer.to_cdn)}"
    yield from _cdn(card)
    yield "\n[extras]"
    yield from (f"{name} = {plain(getattr(card.extras, name))}" for name in Extras.__slots__)
    yield f"\n[database]\ngb = {plain(card.database_gb)}"


def _class(prices: ClassPrices) -> Iterator[str]:
    yield f"\n[classes.{prices.name}]\nstorage = {_tiers(prices.storage)}"
    for name in ("put", "get", "transition"):
        price: Decimal | None = getattr(prices, name)
        if price is not None:
            yield f"{name} = {plain(price)}"
    for name in ("minimum_days", "minimum_bytes", "overhead_bytes", "overhead_standard_bytes", "monitored_bytes"):
        yield f"{name} = {getattr(prices, name)}"
    yield f"monitoring = {plain(prices.monitoring)}"
    for name, price in prices.access_tiers.items():
        yield f"access_tiers.{name} = {plain(price)}"
    for name, one in prices.retrieval.items():
        hours = ", ".join(plain(hour) for hour in one.hours)
        yield f"retrieval.{name} = {{ gb = {plain(one.gb)}, requests = {plain(one.requests)}, hours = [{hours}] }}"


def _cdn(card: Card) -> Iterator[str]:
    cdn = card.cdn
    yield "\n[cdn]"
    yield f"internet = {_tiers(cdn.internet)}"
    for name in ("free_gb", "https", "http", "invalidation"):
        yield f"{name} = {plain(getattr(cdn, name))}"
    yield f"free_requests = {cdn.free_requests}"
    yield f"free_invalidations = {cdn.free_invalidations}"
    for plan in cdn.plans:
        yield from _plan(plan)


def _plan(plan: CdnPlan) -> Iterator[str]:
    yield f"\n[[cdn.plans]]\nname = {_text(plan.name)}"
    yield f"monthly = {plain(plan.monthly)}"
    yield f"requests = {plan.requests}"
    yield f"gb = {plain(plan.gb)}"
    yield f"storage_gb = {plain(plan.storage_gb)}"


def _tiers(tiers: Tiers) -> str:
    parts = (
        f"{{ up_to_gb = {plain(tier.up_to_gb)}, price = {plain(tier.price)} }}"
        if tier.up_to_gb is not None
        else f"{{ price = {plain(tier.price)} }}"
        for tier in tiers
    )
    return f"[{', '.join(parts)}]"


def _text(value: str) -> str:
    # JSON's strings are TOML's, where nothing but plain escapes are needed.
    return json.dumps(value, ensure_ascii=False)
