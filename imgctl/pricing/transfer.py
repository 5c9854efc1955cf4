"""What delivering costs: bytes to the internet from the bucket, or through the CDN."""

from imgctl.pricing.lines import Line, Period, counted, tiered
from imgctl.pricing.prices import Card, CdnPlan


def monthly_internet(card: Card, size: int) -> tuple[Line, ...]:
    """`size` bytes a month from the bucket to the internet, after what is free; GET requests come on top."""
    paid = max(0, size - int(card.transfer.internet_free_gb * card.gb_bytes))
    return tiered(card, "to the internet", paid, card.transfer.internet, period=Period.MONTHLY)


def monthly_cdn(card: Card, *, size: int, requests: int) -> tuple[Line, ...]:
    """`size` bytes in so many HTTPS requests a month from the CDN to viewers, after what is free; without origin GETs."""
    paid = max(0, size - int(card.cdn.free_gb * card.gb_bytes))
    asked = max(0, requests - card.cdn.free_requests)
    lines = tiered(card, "from the CDN", paid, card.cdn.internet, period=Period.MONTHLY)
    return (*lines, counted("CDN requests", asked, card.cdn.https, period=Period.MONTHLY))


def flat_plan(card: Card, *, size: int, requests: int) -> CdnPlan | None:
    """The cheapest flat plan whose allowance holds so many bytes and requests a month; None where none does."""
    fitting = [one for one in card.cdn.plans if one.requests >= requests and one.gb * card.gb_bytes >= size]
    return min(fitting, key=lambda one: one.monthly, default=None)
