"""Originals that a backfill cannot read: what bringing them back would cost, and asking for it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from tempfile import TemporaryFile
from typing import IO
from uuid import UUID

from imgctl.errors import ConfigError
from imgctl.model import Image, StorageClass, is_archived
from imgctl.ops.backfill.order import Fate, ImageOutcome
from imgctl.ops.parts import Parts
from imgctl.ops.restore.ask import request
from imgctl.ops.restore.order import Outcome, RestoreOrder
from imgctl.ops.restore.price import Pile
from imgctl.ops.retry import StopSignal, retry
from imgctl.pricing.prices import Card
from imgctl.pricing.restore import hours_until_restored, restore_estimate
from imgctl.pricing.storage import Sized
from imgctl.store.blobs.base import Tier
from imgctl.store.catalog.lookups import PAGE_ROWS, by_ids

ID_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What restoring everything by a tier costs in US dollars, and how many hours it takes at least and at most."""

    tier: Tier
    usd: Decimal
    hours: tuple[Decimal, Decimal]


class Cold:
    """The images of one run whose originals must be restored; their ids lie in a file, because they may be many."""

    def __init__(self) -> None:
        self.restoring = 0
        self._needs = Pile()
        self._ids, self._untold = TemporaryFile(), TemporaryFile()  # noqa: SIM115 (closed by close)

    @property
    def needs(self) -> Sized:
        """How many need a restore, of so many bytes together."""
        return Sized(objects=sum(self._needs.objects.values()), size=sum(self._needs.size.values()))

    @property
    def classes(self) -> Counter[str]:
        """How many need a restore, by class."""
        return self._needs.objects

    def add(self, one: ImageOutcome) -> None:
        """Count an outcome, where it is about a cold original."""
        self.restoring += one.fate is Fate.RESTORING
        if one.fate is Fate.NEEDS_RESTORE:
            (self._ids if one.storage_class else self._untold).write(one.id.bytes)
            if one.storage_class:
                self._needs.add(one.storage_class, one.size)

    def learn(self, parts: Parts, *, stop: StopSignal) -> None:
        """Count those whose class nobody had said by what their rows have learned since."""
        for page in _pages(self._untold, parts, stop):
            for image in page:
                name = image.storage_class if is_archived(image.storage_class) else None
                self._needs.add(name or StorageClass.GLACIER, image.bytes or 0)
                self._ids.write(image.id.bytes)
        self._untold.seek(0)
        self._untold.truncate()

    def offers(self, card: Card, *, days: int) -> list[Offer]:
        """Every tier that all of them can be restored by, the cheapest first."""
        archived = self._needs.sized()
        found = []
        for tier in Tier:
            try:
                cost = restore_estimate(card, archived=archived, tier=tier, days=days).one_off
                hours = [hours_until_restored(card, name, tier) for name in archived]
            except ConfigError:
                # A class without this tier.
                continue
            if hours:
                longest = (max(one[0] for one in hours), max(one[1] for one in hours))
                found.append(Offer(tier=tier, usd=cost, hours=longest))
        return sorted(found, key=lambda one: one.usd)

    def ask(self, order: RestoreOrder, parts: Parts, *, stop: StopSignal) -> Iterator[Outcome]:
        """Ask for their restores, as far as the budget reaches; those it does not reach are left."""
        cold = parts.store
        yield from request(_pages(self._ids, parts, stop), order, catalog=parts.catalog, cold=cold, stop=stop)

    def close(self) -> None:
        """Forget them."""
        self._ids.close()
        self._untold.close()


def _pages(file: IO[bytes], parts: Parts, stop: StopSignal) -> Iterator[list[Image]]:
    file.seek(0)
    while data := file.read(ID_BYTES * PAGE_ROWS):
        ids = [UUID(bytes=data[start : start + ID_BYTES]) for start in range(0, len(data), ID_BYTES)]

        def attempt(ids: list[UUID] = ids) -> list[Image]:
            with parts.catalog.read() as connection:
                return sorted(by_ids(connection, ids).values(), key=lambda one: one.id)

        yield retry(attempt, stop=stop)
