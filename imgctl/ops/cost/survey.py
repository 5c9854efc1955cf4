"""The archive in the catalog, as input for pricing, from one statement; and a plan that starts from it."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from imgctl.errors import UsageError
from imgctl.keys import ORIGINAL
from imgctl.model import Variant
from imgctl.pricing.archive_bill import TYPICAL_SIZES, Archive, Held
from imgctl.pricing.plan import Plan
from imgctl.pricing.prices import STANDARD, Card
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.aggregates import MONTH, TOTAL, USER, Stored, Weights, stored
from imgctl.store.catalog.queries.lookups import Scope, clock
from imgctl.units import count_of

RECENT = timedelta(days=30)
TOP_USERS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A named part of the archive: a user or a month."""

    name: str
    archive: Archive


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The results of one statement: the archive, the last 30 days' part, the top users by cost, months if requested.

    `movable` are the originals older than the cutoff; `promised` rows may have no bytes yet, `unknown` ones have no size.
    """

    archive: Archive
    recent: Archive
    movable: Mapping[str, Held]
    users: tuple[Part, ...]
    months: tuple[Part, ...]
    promised: int
    unknown: int
    assumptions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The options of a survey; `older_than` sets the cutoff for movable originals, `sizes` the estimated bytes of a variant."""

    scope: Scope = field(default_factory=Scope)
    sizes: Mapping[str, int] | None = None
    top: int = TOP_USERS
    by_month: bool = False
    older_than: timedelta | None = None


def survey(catalog: Catalog, card: Card, question: Question) -> Survey:
    """Query the catalog once; sends no request to the store."""
    sizes = {**TYPICAL_SIZES, **(question.sizes or {})}
    with catalog.read() as connection:
        now = clock(connection)
        found = list(
            stored(
                connection,
                recent_since=now - RECENT,
                weights=_weights(card, sizes),
                top=question.top,
                scope=question.scope,
                by_month=question.by_month,
                cutoff=_cutoff(now, question.older_than),
            )
        )
    totals, priced = [one for one in found if one.kind == TOTAL], card.every()
    return Survey(
        archive=_archive(totals, sizes, priced),
        recent=_recent(totals, sizes, priced),
        movable={one.storage_class: one.old for one in totals if one.old.both.objects and one.storage_class in priced},
        users=_parts((one for one in found if one.kind == USER), sizes, priced),
        months=tuple(
            sorted(_parts((one for one in found if one.kind == MONTH), sizes, priced), key=lambda one: one.name)
        ),
        promised=sum(one.promised for one in totals),
        unknown=sum(one.unknown for one in totals),
        assumptions=_assumptions(sizes),
    )


def _cutoff(now: datetime, older_than: timedelta | None) -> datetime | None:
    return None if older_than is None else now - older_than


def _weights(card: Card, sizes: Mapping[str, int]) -> Weights:
    byte = {name: float(prices.storage[0].price) / card.gb_bytes for name, prices in card.every().items()}
    return Weights(byte=byte, variants={one.value: sizes[one.value] * byte[STANDARD] for one in Variant})


def _archive(rows: Iterable[Stored], sizes: Mapping[str, int], priced: Container[str]) -> Archive:
    held: dict[str, Held] = {}
    variants = {one.value: 0 for one in Variant}
    for one in rows:
        held[one.storage_class] = held.get(one.storage_class, Held()) + one.all
        for name in variants:
            variants[name] += one.variants[name]
    return _of(held, variants, sizes, priced)


def _recent(rows: list[Stored], sizes: Mapping[str, int], priced: Container[str]) -> Archive:
    """Return the recent part of the archive; variants are counted at the average of their class."""
    variants = {one.value: 0 for one in Variant}
    for one in rows:
        for name in variants:
            variants[name] += one.variants[name] * one.recent.both.objects // (one.all.both.objects or 1)
    return _of({one.storage_class: one.recent for one in rows}, variants, sizes, priced)


def _of(
    held: Mapping[str, Held], variants: Mapping[str, int], sizes: Mapping[str, int], priced: Container[str]
) -> Archive:
    return Archive(
        originals={name: one for name, one in held.items() if name in priced},
        unpriced={name: one for name, one in held.items() if name not in priced},
        variants=variants,
        sizes=dict(sizes),
    )


def _parts(rows: Iterable[Stored], sizes: Mapping[str, int], priced: Container[str]) -> tuple[Part, ...]:
    named: dict[str, list[Stored]] = {}
    for one in rows:
        named.setdefault(one.month or str(one.user_id), []).append(one)
    return tuple(Part(name=name, archive=_archive(found, sizes, priced)) for name, found in named.items())


def _assumptions(sizes: Mapping[str, int]) -> tuple[str, ...]:
    estimates = ", ".join(f"{name.value} {count_of(sizes[name.value], 'byte')}" for name in Variant)
    return (
        f"originals' bytes are from the catalog; variants are counted by their keys and estimated at {estimates} (--sizes)",
        "readable copies of restored originals, old versions and requests other than the last month's are not counted",
    )


def plan_from(found: Survey, plan: Plan) -> Plan:
    """Return the plan with the archive's own figures: uploads of the last 30 days, mean bytes, the class with most bytes.

    UsageError for an archive without images.
    """
    archive = found.archive
    if not archive.rows:
        raise UsageError("the catalog has no images to start from", hint="leave --from-catalog out, or upload some")
    if not archive.originals:
        classes = ", ".join(archive.unpriced)
        raise UsageError(f"the price card has no price of {classes}", hint="--card FILE with these classes")
    largest = max(archive.originals, key=lambda name: archive.originals[name].both.size)
    built = {name: archive.sizes[name] for name, count in archive.variants.items() if count}
    return replace(
        plan,
        uploads_per_day=-(-found.recent.rows // RECENT.days),
        sizes={**built, ORIGINAL: archive.size // archive.rows},
        originals=largest,
        stock=archive.rows,
        stock_class=largest,
    )


def origin_of(found: Survey) -> str:
    """Return one line on the figures that the plan starts from."""
    mean = found.archive.size // max(1, found.archive.rows)
    return (
        f"Starts from the catalog: {count_of(found.archive.rows, 'image')} of {count_of(mean, 'byte')} on average, "
        f"{count_of(found.recent.rows, 'image')} from the last 30 days; the sizes of variants are assumed."
    )
