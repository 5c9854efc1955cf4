"""A proposed change to the existing archive, priced by its own sizes and ages."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from imgctl.config.settings import Settings
from imgctl.errors import UsageError
from imgctl.ops.cost.survey import Question, Survey, survey
from imgctl.pricing.other_provider import move_elsewhere
from imgctl.pricing.prices import Card
from imgctl.pricing.whatif import Change, Move, Today, WhatIf, what_if
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.lookups import Scope
from imgctl.units import count_of, parse_seconds

VIEWS_A_PHOTO = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A change, and assumptions that the catalog lacks: sizes of variants, views a month (None: ten of each new photo).

    `elsewhere` is the price card of another provider for the whole archive, instead of a change.
    """

    change: Change
    scope: Scope
    sizes: Mapping[str, int] | None = None
    views: int | None = None
    hit_ratio: Decimal = Decimal("0.9")
    elsewhere: Card | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The effect of the change, and the assumptions."""

    result: WhatIf
    survey: Survey
    assumptions: tuple[str, ...]


def parse_move(text: str, known: Collection[str] = ()) -> Move:
    """`older-than=90d,to=GLACIER`, where `known` are the card's classes; UsageError for anything else."""
    pairs = [part.strip().partition("=")[::2] for part in text.split(",")]
    parts = dict(pairs)
    is_unique = len(parts) == len(pairs)
    target, age = parts.pop("to", ""), parts.pop("older-than", "0d")
    if parts or not target or not is_unique:
        raise UsageError(f"--transition {text!r} is not a policy", hint="write older-than=90d,to=GLACIER")
    older_than = timedelta(seconds=parse_seconds(age))
    # Azure's has a name of its own on the cards.
    own = {"ARCHIVE": "AZURE_ARCHIVE"} if "AZURE_ARCHIVE" in known else {}
    return Move(older_than=older_than, to=own.get(target.upper(), target.upper()))


def propose(catalog: Catalog, card: Card, settings: Settings, proposal: Proposal) -> Answer:
    """Price a change on the archive in the catalog; costs one query of the catalog and no request to the store."""
    change = proposal.change
    older_than = None if change.move is None else change.move.older_than
    question = Question(scope=proposal.scope, sizes=proposal.sizes, top=0, older_than=older_than)
    found = survey(catalog, card, question)
    views = found.recent.rows * VIEWS_A_PHOTO if proposal.views is None else proposal.views
    today = Today(
        archive=found.archive,
        movable=found.movable,
        views=views,
        hit_ratio=proposal.hit_ratio,
        cdn=bool(settings.links.cdn),
    )
    there = proposal.elsewhere
    return Answer(
        result=what_if(card, today, change) if there is None else move_elsewhere(card, there, today),
        survey=found,
        assumptions=_assumptions(proposal, views, found, today),
    )


def _assumptions(proposal: Proposal, views: int, found: Survey, today: Today) -> tuple[str, ...]:
    change, assumptions = proposal.change, list(found.assumptions)
    guess = f", {VIEWS_A_PHOTO} of each photo of the last 30 days (--views)" if proposal.views is None else ""
    assumptions.append(
        f"{count_of(views, 'view')} a month{guess}; today {'through the CDN' if today.cdn else 'from the bucket'} ([links] cdn)"
    )
    if change.format is not None:
        assumptions.append(f"{change.format} takes {change.size_ratio} of the bytes (--format {change.format}=RATIO)")
    if change.move is not None:
        assumptions.append(
            "originals below 128 KiB and archived ones stay; those that move are as long in their class as they are old"
        )
    if (there := proposal.elsewhere) is not None:
        assumptions.append(f"after the move the prices are those of {there.name} as of {there.as_of}")
    return tuple(assumptions)
