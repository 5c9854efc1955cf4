"""The lesson's arithmetic: decimal GB, months of 30 days, the first tier's price for everything, no free allowance.

It only reproduces the lesson's figures; real bills differ: see ASSUMPTIONS.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from imgctl.pricing.lines import Line, Period, counted, dollars, plain, total, weighed
from imgctl.pricing.plan import Figures, Group, Month, Plan
from imgctl.pricing.prices import STANDARD, Card

DAYS_A_MONTH = 30
DAYS_A_YEAR = 365
DECIMAL_GB = 10**9
GLACIER = "GLACIER"

ASSUMPTIONS = (
    "1 GB is 10^9 bytes, a month has 30 days, every GB costs what the first one costs, nothing is free",
    "a month's uploads are stored for the whole of it; a photo is one PUT a variant, its original's PUT is forgotten",
    "GET requests and transitions are left out, except one GET a view behind a CDN",
    "a CDN bills only what it misses: a real one bills every byte to viewers (profile aws)",
)


def lesson_months(card: Card, plan: Plan) -> Iterator[Month]:
    """Yield each month, billed for all bytes stored by its end."""
    card = replace(card, gb_bytes=DECIMAL_GB)
    first = plan.start or card.as_of.replace(day=1)
    for number in range(1, plan.months + 1):
        groups = {
            Group.STORAGE: _storage(card, plan, number),
            Group.REQUESTS: _requests(card, plan),
            Group.DELIVERY: delivery(card, plan, cdn=plan.cdn),
        }
        yield Month(number=number, first=first, days=DAYS_A_MONTH, groups=groups)
        first += timedelta(days=DAYS_A_MONTH)


def lesson_figures(card: Card, plan: Plan) -> Figures:
    """Return the figures that the lesson quotes."""
    card = replace(card, gb_bytes=DECIMAL_GB)
    return Figures(
        year_bytes=plan.uploads_per_day * DAYS_A_YEAR * plan.photo_size,
        view_bytes=int(plan.views(DAYS_A_MONTH) * plan.view_size),
        without_cdn=total(delivery(card, plan, cdn=False)),
        with_cdn=total(delivery(card, plan, cdn=True)),
    )


def corrections(card: Card, plan: Plan, *, first_year: Decimal, with_cdn: Decimal) -> tuple[str, ...]:
    """Return the lesson's errors, with the arithmetic; `first_year` and `with_cdn` are AWS's costs of the same plan."""
    card = replace(card, gb_bytes=DECIMAL_GB)
    warm = card.of(STANDARD).storage[0].price
    year = Decimal(plan.uploads_per_day * DAYS_A_YEAR * plan.photo_size)
    month = Decimal(plan.uploads_per_day * DAYS_A_MONTH * plan.photo_size) / DECIMAL_GB * warm
    all_objects = counted(
        "PUT", plan.uploads_per_day * DAYS_A_MONTH * (len(plan.variants) + 1), _put(card), period=Period.MONTHLY
    )
    stated = counted("PUT", plan.uploads_per_day * DAYS_A_MONTH * len(plan.variants), _put(card), period=Period.MONTHLY)
    return (
        (
            f"what is stored after a year, {terabytes(year)} × ${plain(warm * 1000)}, is {dollars(year / DECIMAL_GB * warm)} "
            f"a month, not a year; the first year's storage adds up to {dollars(first_year)} on AWS (GiB, tiers, half a month for new photos)"
        ),
        *_saved_by_moving(card, plan),
        f"the monthly figure is the first month's: each further month adds {dollars(month)} of storage",
        (
            f"a photo with its variants is {len(plan.variants) + 1} objects: {all_objects.quantity:,} PUT cost {dollars(all_objects.amount)}, "
            f"not {stated.quantity:,} and {dollars(stated.amount)}"
        ),
        f"a CDN bills every byte to viewers, whatever it hits: {dollars(with_cdn)} on CloudFront for the same views",
    )


def _saved_by_moving(card: Card, plan: Plan) -> Iterator[str]:
    """Yield what the lesson's move to GLACIER saves; nothing if the card has no GLACIER."""
    if GLACIER not in card.classes:
        return
    warm, cold = card.of(STANDARD).storage[0].price, card.of(GLACIER).storage[0].price
    share = Decimal(plan.original_size) / (plan.photo_size or 1)
    saved = share * (1 - cold / warm) if warm else Decimal(0)
    yield (
        f"originals are {percent(share)} of the bytes, but moving them to GLACIER saves {percent(saved)} of the storage's dollars: "
        f"{percent(share)} × (1 − {plain(cold)} / {plain(warm)})"
    )


def terabytes(size: Decimal | int) -> str:
    """Format bytes as the lesson does: `155.125 TB` of 10^12."""
    return f"{plain(Decimal(size) / 10**12)} TB"


def percent(share: Decimal) -> str:
    """Format a share with one decimal: `59.5 %`."""
    return f"{share * 100:.1f} %"


def delivery(card: Card, plan: Plan, *, cdn: bool) -> tuple[Line, ...]:
    """Return the lines of a month of views: 7,500 GB × $.09, or a tenth of it × $.085 and a GET per view."""
    views = int(plan.views(DAYS_A_MONTH))
    size = views * plan.view_size
    if not cdn:
        return (weighed(card, "to the internet", size, card.transfer.internet[0].price, period=Period.MONTHLY),)
    missed = size * (1 - plan.hit_ratio)
    get = card.of(STANDARD).get or Decimal(0)
    return (
        weighed(card, "missed by the CDN", missed, card.cdn.internet[0].price, period=Period.MONTHLY),
        counted("GET", views, get, period=Period.MONTHLY),
    )


def _storage(card: Card, plan: Plan, number: int) -> tuple[Line, ...]:
    photos = plan.uploads_per_day * DAYS_A_MONTH * number + plan.stock
    parts = ((STANDARD, "variants", plan.variant_size), (plan.originals, "originals", plan.original_size))
    return tuple(
        weighed(card, f"{name} {what}", photos * size, card.of(name).storage[0].price, period=Period.MONTHLY)
        for name, what, size in parts
    )


def _requests(card: Card, plan: Plan) -> tuple[Line, ...]:
    puts = plan.uploads_per_day * DAYS_A_MONTH * len(plan.variants)
    return (counted("PUT", puts, _put(card), period=Period.MONTHLY),)


def _put(card: Card) -> Decimal:
    return card.of(STANDARD).put or Decimal(0)
