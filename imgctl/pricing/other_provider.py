"""The cost of an archive with another provider, the cost of the move, and the features that provider lacks."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from imgctl.model import NONE
from imgctl.pricing.archive_bill import Archive, Held, archive_lines
from imgctl.pricing.costs import Operation, monthly_internet, request_cost, retrieval_cost
from imgctl.pricing.lines import Line, Period
from imgctl.pricing.moves import hours_words
from imgctl.pricing.prices import STANDARD, Card
from imgctl.pricing.whatif import DELIVERY, Today, WhatIf, cheapest_tier, delivery_lines
from imgctl.units import count_of, format_bytes

# The nearest classes, in order: a card's first match counts, else STANDARD.
_LIKE: Mapping[str, tuple[str, ...]] = {
    "STANDARD_IA": ("NEARLINE", "COOL"),
    "ONEZONE_IA": ("NEARLINE", "COOL"),
    "GLACIER_IR": ("COLDLINE", "COLD"),
    "GLACIER": ("ARCHIVE", "AZURE_ARCHIVE"),
    "DEEP_ARCHIVE": ("ARCHIVE", "AZURE_ARCHIVE"),
    "NEARLINE": ("STANDARD_IA", "COOL"),
    "COOL": ("STANDARD_IA", "NEARLINE"),
    "COLDLINE": ("GLACIER_IR", "COLD"),
    "COLD": ("GLACIER_IR", "COLDLINE"),
    "ARCHIVE": ("DEEP_ARCHIVE", "AZURE_ARCHIVE"),
    "AZURE_ARCHIVE": ("DEEP_ARCHIVE", "ARCHIVE"),
}


def like(name: str, card: Card) -> str:
    """Return the card's class that is nearest to one of another card."""
    if name in card.classes:
        return name
    return next((one for one in _LIKE.get(name, ()) if one in card.classes), STANDARD)


def move_elsewhere(here: Card, there: Card, today: Today) -> WhatIf:
    """Return both monthly bills and the one-off cost: every original restored, read, sent over the internet and put.

    Variants are not sent but built from the originals after the move. Puts go into the class nearest to today's.
    """
    originals: dict[str, Held] = {}
    for name, held in today.archive.originals.items():
        nearest = like(name, there)
        originals[nearest] = originals.get(nearest, Held()) + held
    after = replace(today.archive, originals=originals)
    before_lines, after_lines = archive_lines(here, today.archive), archive_lines(there, after)
    return WhatIf(
        before={**before_lines, DELIVERY: delivery_lines(here, today)},
        after={**after_lines, DELIVERY: delivery_lines(there, today)},
        once=_once(here, there, today.archive, after),
        worse=tuple(_worse(here, there, today.archive)),
    )


def _once(here: Card, there: Card, before: Archive, after: Archive) -> tuple[Line, ...]:
    lines: list[Line] = []
    for name, held in before.originals.items():
        every = held.both
        if tier := cheapest_tier(here, name):
            lines += retrieval_cost(here, name, tier, every)
        lines.append(request_cost(here, name, Operation.GET, every.objects, name=f"GET from {name}"))
    lines += (_once_only(line) for line in monthly_internet(here, before.size))
    for name, held in after.originals.items():
        lines.append(request_cost(there, name, Operation.PUT, held.both.objects, name=f"PUT into {name}"))
    variants = sum(after.variants.values())
    lines.append(request_cost(there, STANDARD, Operation.GET, after.rows, name="GET to render"))
    lines.append(request_cost(there, STANDARD, Operation.PUT, variants, name="PUT of variants"))
    return tuple(line for line in lines if line.quantity)


def _once_only(line: Line) -> Line:
    return replace(line, period=Period.ONE_OFF, name="sent over the internet")


def _worse(here: Card, there: Card, before: Archive) -> list[str]:
    found = []
    frozen = sum(
        (
            held.both
            for name, held in before.originals.items()
            if any(one.hours[1] for one in here.of(name).retrieval.values())
        ),
        NONE,
    )
    if frozen.objects:
        found.append(f"{count_of(frozen.objects, 'original')} must be restored before the move")
    for name in dict.fromkeys(like(one, there) for one in before.originals):
        if days := there.of(name).minimum_days:
            found.append(f"an original deleted from {name} within {count_of(days, 'day')} is billed for all {days}")
        for tier, one in there.of(name).retrieval.items():
            if one.hours[1]:
                found.append(f"{name} is readable only after a restore ({tier}: {hours_words(one.hours)})")
    lost = [name for name in before.originals if name != STANDARD and like(name, there) == STANDARD]
    found += (f"{there.name} has no class like {name}: those originals are kept in {STANDARD}" for name in lost)
    return [*found, *_uncounted(there)]


def lacks(card: Card) -> tuple[str, ...]:
    """Return a provider's limits from its card: missing classes, minimums, restores, and features without a price."""
    movable = {name: one for name, one in card.classes.items() if one.transition is not None}
    days = [
        f"{one.minimum_days} in {name}"
        for name, one in {STANDARD: card.of(STANDARD), **movable}.items()
        if one.minimum_days
    ]
    slow = [
        name
        for name, one in movable.items()
        if not one.access_tiers and any(tier.hours[1] for tier in one.retrieval.values())
    ]
    found = []
    if not movable:
        found.append(f"no colder class: originals stay in {STANDARD}")
    elif not slow:
        found.append("no class needs a restore: every original is readable at once")
    if days:
        found.append(f"minimum storage days: {', '.join(days)}")
    if slow:
        found.append(f"readable only after a restore: {', '.join(slow)}")
    if least := card.of(STANDARD).minimum_bytes:
        found.append(f"objects below {format_bytes(least)} are billed as {format_bytes(least)}")
    if not card.extras.tags:
        found.append("tags, inventories and batch jobs have no price on this card")
    if not card.name.startswith("aws "):
        found.append("the CDN is billed as CloudFront, the catalog as RDS")
    return (*found, *_uncounted(card))


def _uncounted(card: Card) -> Iterator[str]:
    return (f"not in these figures: {one}" for one in card.not_counted)
