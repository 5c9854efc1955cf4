"""The cost of an audit itself: its requests, priced by the card."""

import os
from dataclasses import dataclass
from decimal import Decimal

from imgctl.config.settings import Settings
from imgctl.model import StorageClass, Variant
from imgctl.ops.audit.order import Tally
from imgctl.ops.common.spend import card_in_force
from imgctl.pricing.costs import Operation, request_cost
from imgctl.pricing.estimate import Billing, billing, caveat
from imgctl.pricing.lines import Period, dollars, total
from imgctl.units import count_of, counts_of


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCost:
    """Requests made and their price; the amount is None for a store that charges nothing."""

    lists: int
    heads: int
    gets: int
    amount: Decimal | None
    card: str = ""
    bill: Billing = Billing.NONE

    @property
    def brief(self) -> str:
        """One line for users."""
        requests = counts_of({"LIST": self.lists, "HEAD": self.heads, "GET": self.gets}, none="no requests")
        if self.amount is None:
            return requests
        return f"{requests} = {caveat(self.card.partition(',')[0], self.bill)}{dollars(self.amount)} ({self.card})"


def cost_of(tally: Tally, settings: Settings) -> AuditCost:
    """Price the requests so far; HEADs of variants and unarchived originals are priced as STANDARD."""
    bill = billing(settings.store.url, settings.store.endpoint(os.environ))
    if bill is Billing.NONE:
        return AuditCost(lists=0, heads=0, gets=0, amount=None)
    card = card_in_force(settings)
    counts = ((Operation.LIST, tally.lists), (Operation.HEAD, tally.heads), (Operation.GET, tally.gets))
    lines = tuple(request_cost(card, StorageClass.STANDARD, what, count) for what, count in counts)
    amount = total(lines, Period.ONE_OFF)
    name = f"{card.name}, {card.as_of}"
    return AuditCost(lists=tally.lists, heads=tally.heads, gets=tally.gets, amount=amount, card=name, bill=bill)


def look_price(images: int, settings: Settings, *, endpoint_url: str) -> str:
    """Return the maximum price of `--look` for this many images, as a sentence; empty for a store that charges nothing."""
    bill = billing(settings.store.url, endpoint_url)
    if bill is Billing.NONE:
        return ""
    card, count = card_in_force(settings), images * (1 + len(Variant))
    amount = dollars(request_cost(card, StorageClass.STANDARD, Operation.GET, count).amount)
    price = f"{caveat(card.name, bill)}{amount} for GET requests ({card.name}, {card.as_of})"
    return (
        f"--look {images} reads up to {count_of(count, 'blob')}: {price}, plus a price per GB for originals in "
        "STANDARD_IA or GLACIER_IR, and for transfer out of the region"
    )
