"""What was put after its row was erased: whoever put it finds that out when he reports, and deletes it again.

Who is killed in between leaves a blob: `erase` looks again once leases and promises have ended, an audit after that.
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
    """Of images whose rows were lost to somebody else, delete the blobs of those that were erased; returns these."""
    lost = set(ids)
    gone = read(catalog, partial(erased_among, ids=lost), stop=stop) if lost else set()
    delete_late(store, [stem for one in gone for stem in stems_of(one, settings)])
    return gone


def delete_late(store: BlobStore, stems: Iterable[str]) -> None:
    """Delete for good what lies under these; what cannot be deleted is logged, and found by an audit."""
    wanted = tuple(stems)
    if not wanted:
        return
    try:
        for remnant, refused in store.purge(store.remnants(wanted)):
            log.warning("%s was put after its image was erased, and stays: %s", remnant.name, refused.line)
    except StoreError as error:
        log.warning("a blob was put after its image was erased, and was not deleted: %s", error.line)


def stems_of(image_id: UUID, settings: StoreSettings) -> list[str]:
    """What the keys of an image begin with, under the prefixes in force."""
    return sorted({stem_of(image_id, prefix=one) for one in (settings.originals_prefix, settings.variants_prefix)})
