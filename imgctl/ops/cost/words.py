"""What has to be said beside the lesson's figures."""

from dataclasses import replace
from decimal import Decimal

from imgctl.pricing.lesson import corrections
from imgctl.pricing.model import model
from imgctl.pricing.plan import Group, Modelled, Profile
from imgctl.pricing.prices import STANDARD

YEAR_MONTHS = 12


def wrong_words(found: Modelled) -> tuple[str, ...]:
    """Where the lesson's words are wrong, with the arithmetic; nothing for another profile."""
    if found.profile is not Profile.LESSON:
        return ()
    year = replace(found.plan, months=YEAR_MONTHS, originals=STANDARD)
    real = model(found.card, year, profile=Profile.AWS)
    first_year = sum((month.of(Group.STORAGE) for month in real.months), Decimal(0))
    return corrections(found.card, found.plan, first_year=first_year, with_cdn=real.figures.with_cdn)
