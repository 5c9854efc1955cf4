"""A card with the prices of today's price list: what was found is taken, what was not is kept and named."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from imgctl.pricing.lines import plain
from imgctl.pricing.offers import WANTED, Offer
from imgctl.pricing.prices import Card, Tiers

TRANSFER = "transfer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """The new card, the prices that changed (name, before, after), those confirmed, and those the list did not tell."""

    card: Card
    changed: tuple[tuple[str, str, str], ...]
    confirmed: tuple[str, ...]
    kept: tuple[str, ...]


def refreshed(card: Card, offers: Mapping[str, Offer], *, region: str, source: str) -> Refreshed:
    """The card with what the offers say; CDN, retrieval, minimums and extras stay as they are."""
    changed, confirmed, kept = [], [], []
    for name, wanted in WANTED.items():
        tiers = offers[wanted.offer].find(wanted)
        before = _value(card, name)
        if not tiers or tiers[-1].up_to_gb is not None or (len(tiers) > 1 and not _is_tiered(name)):
            kept.append(name)
        elif tiers == before:
            confirmed.append(name)
        else:
            changed.append((name, _words(before), _words(tiers)))
            card = _with(card, name, tiers)
    published = max(offer.published for offer in offers.values())
    card = replace(card, name=f"aws {region}", region=region, as_of=published, source=source)
    return Refreshed(card=card, changed=tuple(changed), confirmed=tuple(confirmed), kept=tuple(kept))


def _is_tiered(name: str) -> bool:
    return name.endswith(("storage", "internet"))


def _value(card: Card, name: str) -> Tiers:
    where, what = name.split(".")
    if where == TRANSFER:
        return card.transfer.internet
    prices = card.of(where)
    if what == "storage":
        return prices.storage
    price = {"put": prices.put, "get": prices.get, "transition": prices.transition, "monitoring": prices.monitoring}[
        what
    ]
    return () if price is None else (replace(prices.storage[-1], price=price, up_to_gb=None),)


def _with(card: Card, name: str, tiers: Tiers) -> Card:
    where, what = name.split(".")
    if where == TRANSFER:
        return replace(card, transfer=replace(card.transfer, internet=tiers))
    prices, price = card.of(where), tiers[0].price
    new = {
        "storage": lambda: replace(prices, storage=tiers),
        "put": lambda: replace(prices, put=price),
        "get": lambda: replace(prices, get=price),
        "transition": lambda: replace(prices, transition=price),
        "monitoring": lambda: replace(prices, monitoring=price),
    }[what]()
    card = replace(card, classes={**card.classes, where: new})
    # A LIST costs what a PUT into STANDARD costs, whatever the class.
    return replace(card, list_requests=price) if name == "STANDARD.put" else card


def _words(tiers: Tiers) -> str:
    return ", ".join(plain(tier.price) for tier in tiers) or "none"
