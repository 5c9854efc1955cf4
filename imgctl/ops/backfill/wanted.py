"""Which variants of an image a backfill builds, missing or of changed settings, and which blobs it may delete: pure rules."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from uuid import UUID

from imgctl.errors import KeyShapeError
from imgctl.keys import key_of, parse_key
from imgctl.model import Image, Status, StorageClass, Variant, VariantFormat
from imgctl.ops.backfill.options import Mode, Selection, Shard
from imgctl.store.catalog.queries.backfill import SHARD_DIGITS

NOTHING: frozenset[Variant] = frozenset()
KEY_PARTS = 4


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
