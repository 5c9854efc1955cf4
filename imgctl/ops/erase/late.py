"""Blobs put after their row was erased: the process that put them notices when it records its result, and deletes them.

A process killed in between leaves a blob: `erase` checks again once leases and promises have ended; later an audit
finds it.
"""

import logging
from collections.abc import Iterable
from functools import partial
from uuid import UUID

from imgctl.config.places import StoreSettings
from imgctl.errors import StoreError
from imgctl.keys import stem_of
from imgctl.ops.retry import StopSignal, read
from imgctl.store.blobs.base import BlobStore
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.reservations import erased_among

log = logging.getLogger(__name__)


def delete_if_erased(
    catalog: Catalog, store: BlobStore, settings: StoreSettings, ids: Iterable[UUID], *, stop: StopSignal
) -> set[UUID]:
    """Of images whose rows this process lost, delete the blobs of the erased ones; returns the erased ids."""
    lost = set(ids)
    gone = read(catalog, partial(erased_among, ids=lost), stop=stop) if lost else set()
    delete_late(store, [stem for one in gone for stem in stems_of(one, settings)])
    return gone


def delete_late(store: BlobStore, stems: Iterable[str]) -> None:
    """Permanently delete all blobs under these stems; failures are logged, and an audit finds the blobs."""
    wanted = tuple(stems)
    if not wanted:
        return
    try:
        for remnant, refused in store.purge(store.remnants(wanted)):
            log.warning("%s was put after its image was erased, and stays: %s", remnant.name, refused.line)
    except StoreError as error:
        log.warning("a blob was put after its image was erased, and was not deleted: %s", error.line)


def stems_of(image_id: UUID, settings: StoreSettings) -> list[str]:
    """Return the stems that an image's keys begin with, under the prefixes in force."""
    return sorted({stem_of(image_id, prefix=one) for one in (settings.originals_prefix, settings.variants_prefix)})
