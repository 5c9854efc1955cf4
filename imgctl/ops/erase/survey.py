"""What an erasure would delete, counted beforehand: rows, blobs by class, old versions, leftovers, trash, fees, links."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Connection

from imgctl.errors import ImageMissing
from imgctl.keys import ORIGINAL, TRASH, own_key
from imgctl.model import UNKNOWN, Sized
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal, read
from imgctl.ops.common.row_blobs import keys_of
from imgctl.ops.common.spend import Terms
from imgctl.ops.common.tally import Totals
from imgctl.ops.erase.options import EraseOrder, Notes
from imgctl.ops.erase.subject import Subject
from imgctl.ops.erase.wipe import Wiper
from imgctl.ops.support.links import cdn_url
from imgctl.pricing.costs import Operation, left_early, request_cost
from imgctl.pricing.estimate import Estimate, estimated
from imgctl.pricing.prices import STANDARD
from imgctl.store.blobs.base import Remnant
from imgctl.store.catalog.queries.erased import count_of_owner
from imgctl.store.catalog.queries.holds import LegalHold, held_among
from imgctl.store.catalog.queries.lookups import Scope, by_ids, newest
from imgctl.units import DAY_SECONDS

# Blobs are listed before and after the deletion.
LOOKS = 2

T = TypeVar("T")


@dataclass(slots=True)
class Survey:
    """Images by state, blobs by class, versions, trash and uploads; `held` are the users under a hold.

    `lists` counts the requests that list the images' blobs once.
    """

    images: int = 0
    erasing: int = 0
    urls: int = 0
    lists: int = 0
    markers: int = 0
    unfinished_uploads: int = 0
    classes: Totals[str] = field(default_factory=Totals)
    old_versions: Totals[str] = field(default_factory=Totals)
    leftovers: Totals[str] = field(default_factory=Totals)
    trash: Totals[str] = field(default_factory=Totals)
    held: dict[UUID, LegalHold] = field(default_factory=dict)
    ages: Totals[tuple[str, int]] = field(default_factory=Totals)

    @property
    def whole(self) -> Sized:
        """Everything that would be deleted, versions and trash too."""
        return self.classes.whole + self.old_versions.whole + self.trash.whole

    def estimate(self, terms: Terms) -> Estimate:
        """Return the one-off cost: early deletion fees and listing requests; deletions are free."""
        parts = ((name, age, sized) for (name, age), sized in self.ages.items() if name in terms.card.classes)
        lists = request_cost(terms.card, STANDARD, Operation.LIST, LOOKS * self.lists)
        return estimated(terms.card, [line for line in (*left_early(terms.card, parts), lists) if line.quantity])

    def add(self, remnants: Iterable[Remnant], named: Sequence[str], at: datetime) -> None:
        """Count the remnants of one image in the store."""
        for one in remnants:
            if one.is_marker:
                self.markers += 1
            elif one.upload_id is not None:
                self.unfinished_uploads += 1
            else:
                self._add_blob(one, named, at)

    def _add_blob(self, one: Remnant, named: Sequence[str], at: datetime) -> None:
        storage_class = STANDARD if one.storage_class == UNKNOWN else one.storage_class
        if one.key.startswith(TRASH):
            self.trash.add(storage_class, one.size)
        elif one.is_current:
            self.classes.add(storage_class, one.size)
            if one.key not in named:
                self.leftovers.add(storage_class, one.size)
        else:
            self.old_versions.add(storage_class, one.size)
        self.ages.add((storage_class, int((at - one.modified_at).total_seconds() // DAY_SECONDS)), one.size)


def survey(parts: Parts, order: EraseOrder, *, stop: StopSignal, tell_url: Callable[[str], None]) -> Survey:
    """Look up everything that an order would delete; calls `tell_url` with each link that a CDN may have served.

    ImageMissing for a user who has no images and had none that was erased: a receipt would prove nothing.
    """
    if order.user_id is not None:
        read(parts.catalog, partial(_check_known, user_id=order.user_id, owner=order.owner(order.user_id)), stop=stop)
    look = _Look(parts, order, stop=stop, tell_url=tell_url)
    look.rows()
    look.erasing()
    look.elsewhere()
    return look.found


def _check_known(connection: Connection, *, user_id: UUID, owner: bytes) -> None:
    if not newest(connection, Scope(user_id=user_id), limit=1) and not count_of_owner(connection, owner):
        hint = "check the id: imgctl stats --by user lists users with images"
        raise ImageMissing(f"user {user_id} has no images, and none that was erased", hint=hint)


class _Look:
    def __init__(self, parts: Parts, order: EraseOrder, *, stop: StopSignal, tell_url: Callable[[str], None]) -> None:
        self.found = Survey()
        self._parts = parts
        self._stop = stop
        self._tell_url = tell_url
        self._subject = Subject(parts, order, stop=stop)
        self._wiper = Wiper(parts, order, stop=stop)
        self._at = datetime.now(UTC)

    def rows(self) -> None:
        """Count images that still have rows, and listed ids without a row."""
        for some in self._subject.named():
            images = self._read(partial(by_ids, ids=[image_id for image_id, _ in some]))
            self.found.images += len(images)
            self.found.held |= self._read(partial(held_among, users={one.user_id for one in images.values()}))
            keys = {one: tuple(keys_of(images[one])) if one in images else () for one, _ in some}
            self._look(keys, {one.id: one.recipe for one in images.values()})

    def erasing(self) -> None:
        """Count images that an earlier run left partly erased."""
        for some in self._subject.erasing():
            self.found.erasing += len(some)
            if not self._subject.is_named:
                self._look({one.id: Notes.read(one.notes).named for one in some}, {})

    def elsewhere(self) -> None:
        """Count trash and unfinished uploads of the images; for an order by file, only as far as `Subject.holds` knows."""
        for some in self._wiper.elsewhere():
            for image in self._read(partial(by_ids, ids=some)).values():
                if self._subject.holds(image):
                    self.found.add(some[image.id], (), self._at)

    def _look(self, named: Mapping[UUID, tuple[str, ...]], recipes: Mapping[UUID, str | None]) -> None:
        store = self._parts.settings.store
        seen = self._wiper.look((one, Notes(named=keys)) for one, keys in named.items())
        stems = len(named) * len({store.originals_prefix, store.variants_prefix})
        # Google lists soft-deleted objects by a second request.
        self.found.lists += stems * (2 if store.url.startswith("gs://") else 1)
        for image_id, keys in named.items():
            self.found.add(seen.get(image_id, ()), keys, self._at)
            for url in _urls(self._parts, keys, recipes.get(image_id)):
                self.found.urls += 1
                self._tell_url(url)

    def _read(self, query: Callable[[Connection], T]) -> T:
        return read(self._parts.catalog, query, stop=self._stop)


def _urls(parts: Parts, keys: Sequence[str], recipe: str | None) -> list[str]:
    """Return the links of a row's variants, with and without their version."""
    base, store = parts.settings.links.cdn, parts.settings.store
    own = [own_key(key, originals=store.originals_prefix, variants=store.variants_prefix) for key in keys]
    variants = [key for key, found in zip(keys, own, strict=True) if found is not None and found.role != ORIGINAL]
    return [cdn_url(base, key, one) for key in variants for one in dict.fromkeys((recipe, None))] if base else []
