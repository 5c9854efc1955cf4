"""The bill of a planned product by AWS's rules: GiB, tiers, free tiers, minimums, every request."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from imgctl.model import Sized
from imgctl.pricing import lesson_profile
from imgctl.pricing.costs import (
    Operation,
    flat_plan,
    monthly_cdn,
    monthly_internet,
    monthly_storage,
    request_cost,
)
from imgctl.pricing.lesson_profile import corrections
from imgctl.pricing.lines import Line, Period, Unit, counted, total, weighed
from imgctl.pricing.plan import ROW_BYTES, VIEWED, Figures, Group, Modelled, Month, Plan, Profile, month_lengths
from imgctl.pricing.prices import STANDARD, Card

DAYS_A_YEAR = 365
TYPICAL_MONTH_DAYS = 30
KEYS_A_LIST = 1000

ASSUMPTIONS = (
    "uploads come evenly through the month, so a month's own photos are stored for half of it on average",
    "each original is put into STANDARD, read once to render, and moved to its class by one request",
    "the whole account's free tiers and lower tiers are this product's",
    f"a row of the catalog is {ROW_BYTES} bytes of database storage; the database's machine is not counted",
)


def model(card: Card, plan: Plan, *, profile: Profile = Profile.AWS) -> Modelled:
    """Compute the plan's bill by a profile; ConfigError if the card lacks the class of its originals or a price."""
    card.of(plan.originals)
    if profile is Profile.LESSON:
        months, figures, words = lesson_profile.lesson_months, lesson_profile.lesson_figures, lesson_profile.ASSUMPTIONS
    else:
        months, figures, words = aws_months, aws_figures, ASSUMPTIONS
    return Modelled(
        plan=plan,
        profile=profile,
        card=card,
        months=tuple(months(card, plan)),
        figures=figures(card, plan),
        assumptions=(_view(plan), *words),
    )


def _view(plan: Plan) -> str:
    if not plan.viewed:
        return "nothing is viewed: there is no variant"
    loads = f"a view loads {' and '.join(plan.viewed)}"
    missing = [name for name in VIEWED if name not in plan.variants]
    return f"{loads} ({', '.join(missing)} is not built, the next size stands in)" if missing else loads


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The photos stored on average over a month, and how many of their originals are archived."""

    photos: int
    variant_bytes: int
    warm: int
    warm_bytes: int
    archived: int
    archived_bytes: int


def aws_months(card: Card, plan: Plan) -> Iterator[Month]:
    """Yield each month, billed for its average storage, including that of earlier months."""
    begin = 0
    starts = month_lengths(plan.start or date(card.as_of.year, card.as_of.month, 1), plan.months)
    for number, (first, days) in enumerate(starts, start=1):
        end = begin + days
        stored = stored_on_average(plan, begin, end)
        groups = {
            Group.STORAGE: _storage(card, plan, stored),
            Group.REQUESTS: _requests(card, plan, days=days, stored=stored),
            Group.TRANSITIONS: _transitions(card, plan, begin, end),
            Group.DELIVERY: delivery(card, plan, views=int(plan.views(days)), cdn=plan.cdn),
            Group.TAGS: _tags(card, plan, stored),
            Group.DATABASE: database_lines(card, stored.photos),
        }
        yield Month(number=number, first=first, days=days, groups=groups)
        begin = end


def aws_figures(card: Card, plan: Plan) -> Figures:
    """Return the usual headline figures, as AWS bills them."""
    views = int(plan.views(TYPICAL_MONTH_DAYS))
    return Figures(
        year_bytes=plan.uploads_per_day * DAYS_A_YEAR * plan.photo_size,
        view_bytes=views * plan.view_size,
        without_cdn=total(delivery(card, plan, views=views, cdn=False)),
        with_cdn=total(delivery(card, plan, views=views, cdn=True)),
        flat_plan=flat_plan(card, size=views * plan.view_size, requests=views * len(plan.viewed)),
    )


def stored_on_average(plan: Plan, begin: int, end: int) -> Stored:
    """Return the mean, from day `begin` to day `end`, of the photos uploaded daily since day 0."""
    days = end - begin
    # Uploads at an even rate add up to a triangle: twice its area is the difference of two squares.
    stock = 2 * days * plan.stock
    photos = plan.uploads_per_day * (end**2 - begin**2) + stock
    is_archived = plan.originals != STANDARD
    late, early = max(0, end - plan.archive_after_days), max(0, begin - plan.archive_after_days)
    archived = plan.uploads_per_day * (late**2 - early**2) + stock if is_archived else 0

    def mean(twice_the_area: int, size: int = 1) -> int:
        return twice_the_area * size // (2 * days)

    return Stored(
        photos=mean(photos),
        variant_bytes=mean(photos, plan.variant_size),
        warm=mean(photos - archived),
        warm_bytes=mean(photos - archived, plan.original_size),
        archived=mean(archived),
        archived_bytes=mean(archived, plan.original_size),
    )


def delivery(card: Card, plan: Plan, *, views: int, cdn: bool) -> tuple[Line, ...]:
    """Return the lines of a month of views: from the bucket with a GET each, or from the CDN with a GET per miss."""
    size, requests = views * plan.view_size, views * len(plan.viewed)
    if not cdn:
        return (*monthly_internet(card, size), _monthly(card, "GET by viewers", Operation.GET, requests))
    missed = int(requests * (1 - plan.hit_ratio))
    gets = _monthly(card, "GET by the CDN", Operation.GET, missed)
    fetched = weighed(card, "to the CDN", int(size * (1 - plan.hit_ratio)), card.transfer.to_cdn, period=Period.MONTHLY)
    return (*monthly_cdn(card, size=size, requests=requests), fetched, gets)


def _storage(card: Card, plan: Plan, stored: Stored) -> tuple[Line, ...]:
    kept = len(plan.variants) * stored.photos
    variants = Sized(objects=kept, size=stored.variant_bytes)
    warm = Sized(objects=stored.warm, size=stored.warm_bytes)
    archived = Sized(objects=stored.archived, size=stored.archived_bytes)
    return (
        *monthly_storage(card, STANDARD, variants, of="variants"),
        *monthly_storage(card, STANDARD, warm, stored_bytes=stored.variant_bytes, of="originals"),
        *monthly_storage(card, plan.originals, archived),
    )


def _requests(card: Card, plan: Plan, *, days: int, stored: Stored) -> tuple[Line, ...]:
    photos = plan.uploads_per_day * days
    objects = stored.photos * (1 + len(plan.variants))
    lists = plan.audits * -(-objects // KEYS_A_LIST)
    return (
        _monthly(card, "PUT of originals", Operation.PUT, photos),
        _monthly(card, "GET to render", Operation.GET, photos if plan.variants else 0),
        _monthly(card, "PUT of variants", Operation.PUT, photos * len(plan.variants)),
        _monthly(card, "LIST of audits", Operation.LIST, lists),
    )


def _transitions(card: Card, plan: Plan, begin: int, end: int) -> tuple[Line, ...]:
    if plan.originals == STANDARD:
        return ()
    days = max(0, end - plan.archive_after_days) - max(0, begin - plan.archive_after_days)
    stock = plan.stock if begin == 0 and plan.stock_class != plan.originals else 0
    moved, name = plan.uploads_per_day * days + stock, f"transition to {plan.originals}"
    return (request_cost(card, plan.originals, Operation.TRANSITION, moved, name=name, period=Period.MONTHLY),)


def _tags(card: Card, plan: Plan, stored: Stored) -> tuple[Line, ...]:
    tags = plan.tags * stored.photos * (1 + len(plan.variants))
    return (counted("tags", tags, card.extras.tags, unit=Unit.OBJECTS, period=Period.MONTHLY),) if tags else ()


def database_lines(card: Card, rows: int) -> tuple[Line, ...]:
    """Return the line of a month of `rows` catalog rows."""
    return (weighed(card, "rows of the catalog", rows * ROW_BYTES, card.database.gb, period=Period.MONTHLY),)


def _monthly(card: Card, name: str, operation: Operation, count: int) -> Line:
    return request_cost(card, STANDARD, operation, count, name=name, period=Period.MONTHLY)


YEAR_MONTHS = 12


def wrong_words(found: Modelled) -> tuple[str, ...]:
    """Return the lesson's errors, with the arithmetic; none for other profiles."""
    if found.profile is not Profile.LESSON:
        return ()
    year = replace(found.plan, months=YEAR_MONTHS, originals=STANDARD)
    real = model(found.card, year, profile=Profile.AWS)
    first_year = sum((month.of(Group.STORAGE) for month in real.months), Decimal(0))
    return corrections(found.card, found.plan, first_year=first_year, with_cdn=real.figures.with_cdn)
