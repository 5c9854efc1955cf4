"""The state of originals in the store, and the update of their rows with it."""

from collections.abc import Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import StoreError
from imgctl.keys import ORIGINAL
from imgctl.model import Image, is_archived
from imgctl.ops.common.retry import StopSignal, write
from imgctl.ops.common.row_blobs import BlobLooker, RowBlobs
from imgctl.ops.restore.options import RestoreOrder, Seen, State
from imgctl.store.blobs.base import Blob, BlobStore
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.storage_class import Truth, set_truths


def originals(
    store: BlobStore,
    settings: StoreSettings,
    *,
    lists_restores: bool,
    pool: Executor,
    stop: StopSignal,
    keeps: tuple[type[StoreError], ...] = (StoreError,),
) -> BlobLooker:
    """Return a looker for originals; errors in `keeps` are returned with their row, and `Failures` counts them."""
    return BlobLooker(
        store,
        settings,
        pool=pool,
        stop=stop,
        roles=(ORIGINAL,),
        lists_restores=lists_restores,
        keeps=keeps,
    )


def seen(row: RowBlobs) -> Seen:
    """Return the state of an original: `expired` if the row has a restore that the store no longer reports."""
    blob = row.blob(row.image.original_key)
    state = State.UNKNOWN if row.error else _state(row.image, blob)
    return Seen(image=row.image, blob=blob, state=state, fresh=row.fresh, error=row.error)


def readable_until(blob: Blob) -> datetime | None:
    """Return when the readable copy of an archived blob expires; None if there is no copy (any more)."""
    until = blob.restored_until
    return until if is_archived(blob.storage_class) and until is not None and until > datetime.now(UTC) else None


def is_wanted(one: Seen, order: RestoreOrder) -> bool:
    """Whether an original must be requested: it is archived, or its copy expires before the requested days."""
    if one.state in (State.ARCHIVED, State.EXPIRED):
        return True
    if one.state is not State.RESTORED or order.permanent or one.blob is None:
        return False
    until = readable_until(one.blob)
    # Stores round up to midnight: a repeated command on the same day then finds the copy valid for long enough.
    day = (datetime.now(UTC) + timedelta(days=order.days)).replace(hour=0, minute=0, second=0, microsecond=0)
    return until is None or until < day


def note(catalog: Catalog, looked: Sequence[Seen], *, stop: StopSignal) -> None:
    """Update the rows that differ from the store's state, in one transaction."""
    if truths := [truth for one in looked if (truth := _truth(one)) is not None]:
        write(catalog, lambda connection: set_truths(connection, truths), stop=stop)


def _state(image: Image, blob: Blob | None) -> State:
    if blob is None:
        return State.MISSING
    if not is_archived(blob.storage_class):
        return State.READABLE
    if readable_until(blob) is not None:
        return State.RESTORED
    if blob.restoring:
        return State.RESTORING
    return State.EXPIRED if image.restored_until is not None else State.ARCHIVED


def _truth(one: Seen) -> Truth | None:
    """Return the update that makes the row match the store, or None."""
    image, blob = one.image, one.blob
    if blob is None:
        return None
    same = (image.storage_class or "STANDARD") == blob.storage_class
    storage_class, until = image.storage_class if same else blob.storage_class, readable_until(blob)
    if (storage_class, until) == (image.storage_class, image.restored_until):
        return None
    return Truth(id=image.id, row_class=image.storage_class, storage_class=storage_class, restored_until=until)
