"""The images of an erasure, page by page: their ids, erasures in progress, and tombstones."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from imgctl.keys import FIRST
from imgctl.model import Image
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal, read
from imgctl.ops.common.rows import BadId, Chosen, pages, read_ids
from imgctl.ops.common.signed_reports import read_signed
from imgctl.ops.erase.options import EraseOrder, Notes
from imgctl.run.scratch import Seen
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.erased import Erasure, erasures, page
from imgctl.store.catalog.queries.lookups import PAGE_ROWS, Scope

T = TypeVar("T")


class Owner(NamedTuple):
    """An owner's digest, and the id of the secret that it was made with."""

    digest: bytes
    secret_id: str


Named = tuple[UUID, Owner | None]
"""An image, and its owner by a receipt."""


class Subject:
    """The images of one order; lines of its file without an id are added to `bad`."""

    def __init__(self, parts: Parts, order: EraseOrder, *, stop: StopSignal) -> None:
        self.bad: list[BadId] = []
        self._parts = parts
        self._order = order
        self._stop = stop
        self._owner = order.owner(order.user_id) if order.user_id is not None else None

    @property
    def is_named(self) -> bool:
        """Whether the order lists ids, rather than a user or all unfinished erasures."""
        return self._order.user_id is None and not self._order.unfinished

    def named(self) -> Iterator[list[Named]]:
        """Yield the images to erase, in chunks."""
        if self.is_named:
            yield from self._chunks()
        elif self._order.user_id is not None:
            chosen = Chosen(scope=Scope(user_id=self._order.user_id))
            for some in pages(self._parts.catalog, chosen, stop=self._stop):
                yield [(image.id, None) for image in some]

    def holds(self, image: Image) -> bool:
        """Whether a row is the user's, or in `ids`; ids from a file are not checked, as they are not held in memory."""
        return image.user_id == self._order.user_id or image.id in self._order.ids

    def erasing(self) -> Iterator[list[Erasure]]:
        """Yield the erasures in progress."""
        return self._erasures(erasing=True)

    def done(self) -> Iterator[list[Erasure]]:
        """Yield the completed erasures, of this run or before."""
        return self._erasures(erasing=False)

    def _erasures(self, *, erasing: bool) -> Iterator[list[Erasure]]:
        if self.is_named:
            for some in self._chunks():
                found = self._read(partial(erasures, ids=[image_id for image_id, _ in some]))
                if mine := [one for one in found.values() if (one.erased_at is None) is erasing]:
                    yield sorted(mine, key=lambda one: one.id)
            return
        after = FIRST
        while not self._stop.is_set():
            query = partial(page, owner=self._owner, erasing=erasing, after=after)
            if not (several := self._read(query)):
                return
            yield several
            after = several[-1].id

    def _chunks(self) -> Iterator[list[Named]]:
        every = _once(self._ids())
        while not self._stop.is_set() and (some := list(islice(every, PAGE_ROWS))):
            yield some

    def _ids(self) -> Iterator[Named]:
        self.bad.clear()
        for image_id in self._order.ids:
            yield image_id, None
        if self._order.ids_from is not None:
            for _, image_id in read_ids(self._order.ids_from, self.bad):
                yield image_id, None
        for file in self._order.receipts:
            yield from self._of_receipt(file)

    def _of_receipt(self, file: Path) -> Iterator[Named]:
        user = None
        for record in read_signed(file, self._order.secret):
            if record.get("type") == "receipt":
                user = record.get("owner")
            elif record.get("type") == "erased":
                # 1.0.0rc1 did not name the secret; the owner of a receipt for one user is hashed with the one that signs it.
                signing = self._order.secret_id if record["owner"] == user else ""
                secret_id = str(record.get("secret") or signing)
                yield UUID(str(record["id"])), Owner(bytes.fromhex(str(record["owner"])), secret_id)

    def _read(self, query: Callable[[Connection], T]) -> T:
        return read(self._parts.catalog, query, stop=self._stop)


def of_another_secret(catalog: Catalog, secret_id: str) -> int:
    """Count the unfinished erasures that began with another secret, or an unknown one."""
    count, after = 0, FIRST
    while True:
        with catalog.read() as connection:
            several = page(connection, owner=None, erasing=True, after=after)
        if not several:
            return count
        count += sum(not Notes.read(one.notes).can_compare(secret_id) for one in several)
        after = several[-1].id


def _once(every: Iterator[Named]) -> Iterator[Named]:
    """Yield each image once: receipts of one user repeat the same images."""
    with closing(Seen()) as seen:
        yield from ((image_id, owner) for image_id, owner in every if seen.add(image_id.bytes))
