"""The options of a backfill, the outcome of each image, and the rules for wanted variants and for deletions."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from imgctl.errors import KeyShapeError
from imgctl.keys import key_of, parse_key
from imgctl.model import Image, Status, StorageClass, Variant, VariantFormat
from imgctl.ops.common.rows import Chosen
from imgctl.store.catalog.queries.backfill import SHARD_DIGITS

NOTHING: frozenset[Variant] = frozenset()
KEY_PARTS = 4


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


def wanted(image: Image, selection: Selection, *, gone: AbstractSet[Variant] = NOTHING) -> tuple[Variant, ...]:
    """Return the variants to build, in the selection's order; `gone` ones are in the row but missing from the store."""
    if image.status is not Status.READY or not in_shard(image.id, selection.shard):
        return ()
    stale = selection.mode is Mode.STALE and image.recipe != selection.recipe
    if stale or selection.mode is Mode.FORCE:
        return selection.variants
    return tuple(one for one in selection.variants if image.key(one) is None or one in gone)


def in_shard(image_id: UUID, shard: Shard | None) -> bool:
    """Whether an id is in a shard; must match the database's expression."""
    return shard is None or image_id.int % 16**SHARD_DIGITS % shard.count == shard.number - 1


def recipe_after(image: Image, built: Iterable[Variant], recipe: str) -> str | None:
    """Return a row's recipe after these were built: the current one if all variants have it, else None (no change)."""
    return recipe if image.recipe == recipe or set(built) == set(Variant) else None


def may_be_left(image: Image) -> bool:
    """Whether a leased row without wanted variants may have leftovers to delete, in case its holder died.

    A row with a class other than STANDARD may belong to a move; the next transition checks it.
    """
    leased = image.leased_until is not None and image.status is Status.READY
    return leased and image.storage_class in (None, StorageClass.STANDARD)


def superseded(image: Image, keys: Iterable[str]) -> list[str]:
    """Return the variant keys in the row that `keys` replace; never an original's, never another image's."""
    kept = set(keys)
    return [key for one in Variant if (key := image.key(one)) and key not in kept and _is_variant(key, image)]


def leftovers(image_id: UUID, *, named: AbstractSet[str], prefix: str) -> list[str]:
    """Return variant keys of an image that a dead run may have put, and that are not `named` by its row."""
    keys = (key_of(image_id, one, kind.extension, prefix=prefix) for one in Variant for kind in VariantFormat)
    return [key for key in keys if key not in named]


def _is_variant(key: str, image: Image) -> bool:
    try:
        # The prefix may be an earlier one.
        parsed = parse_key("/".join(key.split("/")[-KEY_PARTS:]))
    except KeyShapeError:
        return False
    return parsed.id == image.id and parsed.role in set(Variant)
