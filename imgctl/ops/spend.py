"""Money: who bills the store, by which price card, and whether the user agreed to an estimate."""

import os
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from imgctl.config.settings import Settings
from imgctl.errors import UsageError
from imgctl.pricing.card import card_names, load_card
from imgctl.pricing.estimate import Billing, billing
from imgctl.pricing.lines import dollars, plain
from imgctl.pricing.prices import Card


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Who bills, by which card."""

    bill: Billing
    card: Card


def terms(settings: Settings, *, endpoint_url: str) -> Terms:
    """Who bills the store behind this endpoint, and the price card in force; ConfigError for a wrong card."""
    return Terms(bill=billing(settings.store.url, endpoint_url), card=card_in_force(settings))


def card_in_force(settings: Settings) -> Card:
    """The card that `[cost] card` names, or the one of who bills the store; ConfigError for a wrong one."""
    if named := settings.cost.card:
        return load_card(named if named in card_names() else Path(named).expanduser())
    store = settings.store
    # Another endpoint of the same API has the same classes; AWS's card stands for all that speak S3.
    endpoint = store.endpoint(os.environ) if store.url.startswith("s3://") else ""
    return load_card(billing(store.url, endpoint).card)


def cards_offered(settings: Settings) -> dict[str, Card]:
    """The card in force and then each that comes with imgctl, by what --card calls them; ConfigError for a wrong one."""
    ours, packaged = card_in_force(settings), {name: load_card(name) for name in card_names()}
    named = next((name for name, card in packaged.items() if card == ours), settings.cost.card)
    return {named: ours, **packaged}


def agree(
    what: str,
    usd: Decimal | None,
    who: Terms,
    *,
    yes: bool,
    max_usd: Decimal | None = None,
    dry_run: bool = False,
) -> None:
    """UsageError where `what` is billed, and neither --yes nor a --max-usd of at least `usd` agreed to it.

    `usd` is None where the price is not known yet. Looking needs no agreement, nor does a store that bills nothing.
    """
    if dry_run or who.bill is Billing.NONE:
        return
    price = f"{what} costs {'money' if usd is None else f'{dollars(usd)} once'}"
    if max_usd is not None and usd is not None and usd > max_usd:
        raise UsageError(f"{price}, more than --max-usd {plain(max_usd)}", hint="choose less, or raise --max-usd")
    if max_usd is None and not yes:
        raise UsageError(f"{price}: needs --yes", hint="add --yes or --max-usd N, or --dry-run to look first")
