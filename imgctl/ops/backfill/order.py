"""What a backfill is asked to do, and what it says of each image."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from imgctl.model import Variant
from imgctl.ops.rows import FIRST, Chosen


class Mode(StrEnum):
    """Which variants are wanted: those that are missing, those of an out-of-date recipe too, or all."""

    MISSING = "missing"
    STALE = "stale"
    FORCE = "force"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One of `count` equal parts of the ids, `number` from 1."""

    number: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which variants are wanted of which rows; `recipe` is the current one's name, `verify` asks the store as well."""

    mode: Mode = Mode.MISSING
    variants: tuple[Variant, ...] = tuple(Variant)
    recipe: str
    shard: Shard | None = None
    verify: bool = False

    @property
    def forgets(self) -> bool:
        """Whether a row that was built is wanted again by the next run: then a run must remember how far it came."""
        partly = self.mode is Mode.STALE and set(self.variants) != set(Variant)
        return self.mode is Mode.FORCE or partly


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillOrder:
    """What to build of which rows behind `after`, where; `lists_restores`: listings tell of restores, as AWS's do."""

    selection: Selection
    chosen: Chosen = field(default_factory=Chosen)
    after: UUID = FIRST
    variants_prefix: str = ""
    lists_restores: bool = True


class Fate(StrEnum):
    """What became of a chosen image in this run."""

    BUILT = "built"
    FAILED = "failed"
    RETURNED = "returned"
    LOST = "lost"
    RESTORING = "restoring"
    NEEDS_RESTORE = "needs_restore"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOutcome:
    """One image's fate; `error` is a sentence for people, `reason` the kind of a failure, to count by.

    `size` is the original's bytes.
    """

    id: UUID
    fate: Fate
    variants: tuple[Variant, ...] = ()
    error: str | None = None
    reason: str | None = None
    storage_class: str | None = None
    size: int = 0
    seconds: float = 0.0
