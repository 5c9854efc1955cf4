"""Blobs put after their row was erased: the process that put them notices when it records its result, and deletes them.

A process killed in between leaves a blob: `erase` checks again once leases and promises have ended; later an audit
finds it.
"""

import logging
from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import Connection

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import StoreError
from imgctl.keys import stem_of
from imgctl.ops.common.retry import StopSignal, retry
from imgctl.ops.common.transactions import InProcess, Transactions
from imgctl.store.blobs.base import BlobStore
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.erased import erasures
from imgctl.store.catalog.queries.holds import in_force
from imgctl.units import count_of

log = logging.getLogger(__name__)


def delete_if_erased(
    catalog: Catalog, store: BlobStore, settings: StoreSettings, ids: Iterable[UUID], *, stop: StopSignal
) -> set[UUID]:
    """Of images whose rows this process lost, delete the blobs of the erased ones; returns the erased ids."""
    lost = set(ids)
    gone = erased_or_held(InProcess(catalog), lost, stop=stop) if lost else {}
    delete_late(store, [stem for one, is_kept in gone.items() if not is_kept for stem in stems_of(one, settings)])
    return set(gone)


def erased_or_held(catalog: Transactions, ids: Iterable[UUID], *, stop: StopSignal) -> dict[UUID, bool]:
    """Return which of these images were erased or are being erased, and whether their blobs must stay for now.

    They must while any hold is in force: only `erase` and `repair --erased` can compare their owners with the holds. An
    erasure looks for late blobs before it ends; afterwards an audit finds them.
    """
    wanted = list(ids)
    gone = retry(lambda: catalog.read(_erased_or_held, wanted), stop=stop)
    if kept := sum(gone.values()):
        what = count_of(kept, "erased image")
        log.warning(
            "late blobs of %s stay, because of a hold; `imgctl erase` or `imgctl repair --erased` decides", what
        )
    return gone


def _erased_or_held(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, bool]:
    found = erasures(connection, ids)
    return dict.fromkeys(found, bool(found) and bool(in_force(connection)))


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
