"""One image looked at from all sides: its row, its blobs as they are now, its history, its cost, and what would mend it."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from imgctl.config import Settings
from imgctl.imaging.recipe import digest
from imgctl.keys import ORIGINAL, ROLES, key_of
from imgctl.model import Image, Variant, VariantFormat
from imgctl.ops.desk.advice import Advice, advise
from imgctl.ops.desk.history import Moment, history
from imgctl.ops.parts import Parts
from imgctl.pricing.card import load_card
from imgctl.pricing.estimate import Billing, Estimate, billing
from imgctl.pricing.lines import Line
from imgctl.pricing.storage import monthly_storage
from imgctl.run.threads import thread_pool
from imgctl.store.catalog.lookups import clock
from imgctl.store.cold.base import ColdStore, StoredBlob


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobSight:
    """A blob of an image: under which key it is or should be, whether the row names it, and what lies there (None: nothing)."""

    role: str
    key: str | None
    named: bool
    blob: StoredBlob | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """All that is known of one image at `now`, by the database's clock."""

    image: Image
    now: datetime
    blobs: tuple[BlobSight, ...]
    history: tuple[Moment, ...]
    cost: Estimate
    billing: Billing
    advice: Advice


def look(parts: Parts, cold: ColdStore, image: Image, *, endpoint_url: str = "") -> Sight:
    """Look at an image: a HEAD for each of its blobs, all at once."""
    with parts.catalog.read() as connection:
        now = clock(connection)
    blobs = blobs_of(image, parts.settings, cold)
    settings = parts.settings
    present = {one.role: one.blob for one in blobs}
    return Sight(
        image=image,
        now=now,
        blobs=blobs,
        history=history(image, present, now=now),
        cost=monthly_cost(settings, [one.blob for one in blobs if one.blob]),
        billing=billing(settings.store.url, endpoint_url),
        advice=advise(
            image, present, now=now, recipe=digest(settings.variants.recipe()), max_attempts=settings.work.max_attempts
        ),
    )


def blobs_of(image: Image, settings: Settings, cold: ColdStore) -> tuple[BlobSight, ...]:
    """The four blobs of an image; one that the row does not name is looked for where it would be."""
    keys = {role: _keys(image, role, settings) for role in ROLES}
    with thread_pool(len(ROLES), name="head") as threads:
        return tuple(threads.map(lambda role: _sight(image, role, keys[role], cold), ROLES))


def monthly_cost(settings: Settings, blobs: list[StoredBlob]) -> Estimate:
    """What keeping these blobs costs a month."""
    card = load_card(Path(settings.cost.card).expanduser() if settings.cost.card else None)
    lines: list[Line] = []
    for storage_class in sorted({blob.storage_class for blob in blobs}):
        sizes = [blob.size for blob in blobs if blob.storage_class == storage_class]
        # One by one: a class with a smallest billable size charges each blob by itself.
        for size in sizes:
            lines += monthly_storage(card, storage_class=storage_class, objects=1, size=size)
    return Estimate(lines=tuple(lines), card=card.name, as_of=card.as_of)


def _keys(image: Image, role: str, settings: Settings) -> list[str]:
    named = image.original_key if role == ORIGINAL else image.variant_key(Variant(role))
    if named or role == ORIGINAL:
        return [named] if named else []
    prefix = settings.store.variants_prefix
    return [key_of(image.id, role, one.extension, prefix=prefix) for one in VariantFormat]


def _sight(image: Image, role: str, keys: list[str], cold: ColdStore) -> BlobSight:
    named = bool(image.original_key if role == ORIGINAL else image.variant_key(Variant(role)))
    for key in keys:
        blob = cold.head(key)
        if blob is not None:
            return BlobSight(role=role, key=key, named=named, blob=blob)
    return BlobSight(role=role, key=keys[0] if named else None, named=named, blob=None)
