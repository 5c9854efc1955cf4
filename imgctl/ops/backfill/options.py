"""The options of a backfill, and the outcome of each image."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from imgctl.model import Variant
from imgctl.ops.common.rows import Chosen


class Mode(StrEnum):
    """Which variants are wanted: the missing ones, also those of an out-of-date recipe, or all."""

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
    """The wanted variants and rows; `recipe` is the current recipe's digest; `verify` looks up the blobs in the store too."""

    mode: Mode = Mode.MISSING
    variants: tuple[Variant, ...] = tuple(Variant)
    recipe: str
    shard: Shard | None = None
    verify: bool = False

    @property
    def forgets(self) -> bool:
        """Whether the next run would rebuild finished rows: then a run must record its progress."""
        partly = self.mode is Mode.STALE and set(self.variants) != set(Variant)
        return self.mode is Mode.FORCE or partly


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillOrder:
    """The variants to build, and the rows; `lists_restores`: the store's listings report restores, as AWS's do."""

    selection: Selection
    chosen: Chosen = field(default_factory=Chosen)
    variants_prefix: str = ""
    lists_restores: bool = True


class Fate(StrEnum):
    """The result for a chosen image in this run."""

    BUILT = "built"
    FAILED = "failed"
    RETURNED = "returned"
    DEFERRED = "deferred"
    LOST = "lost"
    RESTORING = "restoring"
    NEEDS_RESTORE = "needs_restore"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOutcome:
    """One image's fate; `error` is a sentence for users, `reason` the kind of failure, for counts.

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
