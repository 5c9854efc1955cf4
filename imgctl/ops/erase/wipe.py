"""Deletion of everything stored of images that are being erased: their blobs, versions, trash and unfinished uploads."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from uuid import UUID

from sqlalchemy import Connection

from imgctl.errors import StoreUnsupported
from imgctl.keys import TRASH, named_image
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal, read, write_parts
from imgctl.ops.erase.held import held
from imgctl.ops.erase.options import EraseOrder, Notes
from imgctl.run.threads import thread_pool
from imgctl.store.blobs.base import Remnant
from imgctl.store.catalog.queries.erased import Erasure, Found, erasures, note_found
from imgctl.store.catalog.queries.holds import lock_holds

log = logging.getLogger(__name__)

# Images per listing: a directory is read once for that many.
LOOK = 64
PAGE = 1000

Everything = dict[UUID, list[Remnant]]


class Wiper:
    """Finds the remnants of images, and deletes them.

    `kept` is why the store keeps remnants of an image in the trash.
    """

    def __init__(self, parts: Parts, order: EraseOrder, *, stop: StopSignal) -> None:
        self.kept: dict[UUID, str] = {}
        self._parts = parts
        self._order = order
        self._stop = stop
        self._knows_uploads = True
        self._prefixes = (parts.settings.store.originals_prefix, parts.settings.store.variants_prefix)

    def look(self, images: Iterable[tuple[UUID, Notes]]) -> Everything:
        """Return all remnants under these images' stems, except trash and unfinished uploads."""
        every = [(image_id, notes.stems(image_id, self._prefixes)) for image_id, notes in images]
        chunks = [every[at : at + LOOK] for at in range(0, len(every), LOOK)]
        found: Everything = {}
        with thread_pool(self._order.concurrency, name="erase") as threads:
            for some in threads.map(self._look, chunks):
                for one in some:
                    image_id = named_image(one.key)
                    if image_id is not None:
                        found.setdefault(image_id, []).append(one)
        return found

    def wipe(self, erasing: Sequence[Erasure]) -> dict[UUID, str]:
        """Delete the remnants of these, except of owners held by now; returns the store's errors by image."""
        return self._purge(erasing, self.look((one.id, Notes.read(one.notes)) for one in erasing))

    def sweep(self) -> None:
        """Delete trash and unfinished uploads of any image that is being erased."""
        self.kept = {}
        for found in self.elsewhere():
            known = read(self._parts.catalog, partial(erasures, ids=found), stop=self._stop)
            some = [one for one in known.values() if one.erased_at is None]
            self.kept |= self._purge(some, {one.id: found[one.id] for one in some})

    def elsewhere(self) -> Iterator[Everything]:
        """Yield the trash and the unfinished uploads of all images, in pages."""
        left = chain(self._parts.store.remnants([TRASH]), self._uploads())
        while not self._stop.is_set() and (some := list(islice(left, PAGE))):
            found: Everything = {}
            for one in some:
                if (image_id := named_image(one.key)) is not None:
                    found.setdefault(image_id, []).append(one)
            if found:
                yield found

    def held(self, erasing: Iterable[Erasure]) -> dict[UUID, str]:
        """Return why some of these may not be erased: a hold on the owner, or any hold if the owner cannot be compared."""
        return read(self._parts.catalog, partial(held, erasing=erasing, order=self._order), stop=self._stop)

    def _look(self, some: Sequence[tuple[UUID, set[str]]]) -> list[Remnant]:
        return list(self._parts.store.remnants(sorted({stem for _, stems in some for stem in stems})))

    def _uploads(self) -> Iterator[Remnant]:
        try:
            yield from self._parts.store.uploads()
        except StoreUnsupported as error:
            if self._knows_uploads:
                log.warning("unfinished multipart uploads are not deleted: %s", error.line)
            self._knows_uploads = False

    def _purge(self, erasing: Sequence[Erasure], found: Everything) -> dict[UUID, str]:
        """Record the remnants found, then delete them, so that a kill neither loses nor doubles a count.

        Holds are checked in the transaction that records: a hold is placed either before it, and then nothing is deleted,
        or after it, and then whoever places it learns which deletions had begun.
        """

        def record(connection: Connection, some: Sequence[Erasure]) -> list[UUID]:
            lock_holds(connection)
            kept = held(connection, some, self._order)
            free = [one for one in some if one.id not in kept]
            notes = {one.id: Notes.read(one.notes).seen(found[one.id]) for one in free}
            noted = [Found(id=one, notes=now.text, blobs=now.blobs, bytes=now.bytes) for one, now in notes.items()]
            if noted:
                note_found(connection, noted)
            return list(notes)

        some = [one for one in erasing if one.id in found]
        free = list(chain.from_iterable(write_parts(self._parts.catalog, some, record, stop=self._stop)))
        refused = self._parts.store.purge([one for image_id in free for one in found[image_id]])
        return {image_id: error.line for one, error in refused if (image_id := named_image(one.key)) is not None}
