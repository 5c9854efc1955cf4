"""Money: the provider that bills the store, its price card, and the user's agreement to an estimate."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from imgctl.config.settings import Settings
from imgctl.errors import UsageError
from imgctl.model import Sized
from imgctl.pricing.card_files import card_names, load_card
from imgctl.pricing.costs import INSTANT, Operation, request_cost, retrieval_cost
from imgctl.pricing.estimate import Billing, billing, caveat
from imgctl.pricing.lines import dollars, plain, total
from imgctl.pricing.prices import STANDARD, Card


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The provider that bills, and the price card in force."""

    bill: Billing
    card: Card

    def price(self, usd: Decimal) -> str:
        """Return an amount for users, with its card."""
        if self.bill is Billing.NONE:
            return "free"
        unknown = caveat(self.card.name, self.bill)
        return f"{unknown}{dollars(usd)}" if unknown else f"{dollars(usd)} by {self.card.name}"

    def requests(self, *, gets: int, puts: int) -> Decimal:
        """Return the price of reading originals and putting variants, in US dollars; retries and ranges are left out."""
        counts = ((Operation.GET, gets), (Operation.PUT, puts))
        return sum((request_cost(self.card, STANDARD, one, count).amount for one, count in counts), Decimal(0))

    def quoted(self, words: str) -> str:
        """Return words that contain an amount, with the card and its date, and a caveat where prices are unknown."""
        return f"{caveat(self.card.name, self.bill)}{words} ({self.card.name}, {self.card.as_of})"

    def fees(self) -> dict[str, Decimal]:
        """Return the classes that are readable at once for a price per GB, and that price, in US dollars.

        Empty for a store that bills nothing.
        """
        if self.bill is Billing.NONE:
            return {}
        found = {name: prices.retrieval.get(INSTANT) for name, prices in self.card.classes.items()}
        return {name: one.gb for name, one in found.items() if one is not None and one.gb}

    def beside_requests(self) -> str:
        """Return what reads cost besides their requests, in words."""
        classes = f" for blobs in {', '.join(fees)}, and" if (fees := self.fees()) else ""
        return f"a price per GB{classes} for transfer out of the region"

    def retrieval(self, read: Mapping[str, Sized]) -> Decimal:
        """Return the price per GB of reading originals, by class, in US dollars; that of the requests is left out."""
        lines = [retrieval_cost(self.card, name, INSTANT, read[name]) for name in self.fees() if name in read]
        return sum(map(total, lines), Decimal(0))


def terms_of(settings: Settings, *, endpoint_url: str) -> Terms:
    """Return the billing terms of the store at this endpoint; ConfigError for an invalid price card."""
    return Terms(bill=billing(settings.store.url, endpoint_url), card=card_in_force(settings))


def card_in_force(settings: Settings) -> Card:
    """Return the card of `[cost] card`, else the card of the store's provider; ConfigError for an invalid one."""
    if named := settings.cost.card:
        return load_card(named if named in card_names() else Path(named).expanduser())
    store = settings.store
    # Other endpoints of the S3 API have the same classes, so AWS's card is used for them.
    endpoint = store.endpoint(os.environ) if store.url.startswith("s3://") else ""
    return load_card(billing(store.url, endpoint).card)


def cards_offered(settings: Settings) -> dict[str, Card]:
    """Return the card in force and then those of imgctl, by their names for --card; ConfigError for an invalid one."""
    ours, packaged = card_in_force(settings), {name: load_card(name) for name in card_names()}
    named = next((name for name, card in packaged.items() if card == ours), settings.cost.card)
    return {named: ours, **packaged}


def agree(
    what: str,
    usd: Decimal | None,
    terms: Terms,
    *,
    yes: bool,
    max_usd: Decimal | None = None,
    dry_run: bool = False,
) -> None:
    """Raise UsageError if `what` is billed, and neither --yes nor a --max-usd of at least `usd` is given.

    `usd` is None if the price is not known yet. Dry runs need no agreement, nor do stores that bill nothing.
    """
    if dry_run or terms.bill is Billing.NONE:
        return
    price = f"{what} costs {'money' if usd is None else f'{dollars(usd)} once'}"
    if max_usd is not None and usd is not None and usd > max_usd:
        raise UsageError(f"{price}, more than --max-usd {plain(max_usd)}", hint="choose less, or raise --max-usd")
    if max_usd is None and not yes:
        raise UsageError(f"{price}: needs --yes", hint="add --yes or --max-usd N, or --dry-run to look first")
