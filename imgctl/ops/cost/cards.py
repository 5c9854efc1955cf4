"""The price card in force."""

from pathlib import Path

from imgctl.config import Settings
from imgctl.pricing.card import load_card
from imgctl.pricing.prices import Card


def card_in_force(settings: Settings) -> Card:
    """The card that `[cost] card` names, or the one that comes with imgctl; ConfigError for a wrong one."""
    return load_card(Path(settings.cost.card).expanduser() if settings.cost.card else None)
