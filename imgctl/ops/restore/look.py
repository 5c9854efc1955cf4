"""Looking at originals: by a listing where they lie close together, else one by one."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Self

from imgctl.errors import BucketMissing, StoreDenied, StoreError, StoreUnavailable
from imgctl.model import Image, is_archived
from imgctl.ops.restore.order import RestoreOrder, Seen, State, Wanted
from imgctl.ops.retry import StopSignal, retry
from imgctl.ops.rows import BadId, pages
from imgctl.run.threads import end_threads, open_threads
from imgctl.store.blobs.base import Blob, BlobStore
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.lookups import named
from imgctl.store.catalog.storage_class import Truth, set_truths

# One request lists a thousand keys and costs as much as twelve HEADs.
LISTED_FOR_A_HEAD = 12
FEW = 25


def rows(
    catalog: Catalog, wanted: Wanted, *, stop: StopSignal, bad: list[BadId] | None = None
) -> Iterator[list[Image]]:
    """The rows wanted, a page at a time; `bad` takes ids of a file that name none."""
    if not wanted.ids:
        yield from pages(catalog, wanted.chosen, stop=stop, bad=bad)
        return

    def attempt() -> list[Image]:
        with catalog.read() as connection:
            return named(connection, wanted.ids, wanted.chosen.scope)

    if found := retry(attempt, stop=stop):
        yield found


class Judge:
    """Says when a run is `over`: no bucket, or as many refusals and silences in a row as there are threads."""

    def __init__(self, order: RestoreOrder) -> None:
        self.over: StoreError | None = None
        self._in_a_row = 0
        self._most = order.concurrency

    def hear(self, error: StoreError | None) -> None:
        """How one more request ended."""
        self._in_a_row = self._in_a_row + 1 if isinstance(error, StoreUnavailable | StoreDenied) else 0
        if isinstance(error, BucketMissing) or self._in_a_row >= self._most:
            self.over = self.over or error


class Looker:
    """Looks at originals in `concurrency` threads; inside `with Looker(…) as looker:`."""

    def __init__(self, cold: BlobStore, order: RestoreOrder) -> None:
        self.pool = open_threads(order.concurrency, name="restore")
        self._cold = cold
        self._lists_restores = order.lists_restores
        self._may_list = True

    def look(self, images: Sequence[Image]) -> list[Seen]:
        """Each row with its original, in their order; raises the StoreError that stands in the way of listing."""
        keyed = sorted((image for image in images if image.original_key), key=lambda one: _bytes(one.original_key))
        listed = self._listed([image.original_key or "" for image in keyed]) if len(keyed) > FEW else {}
        rest = [image for image in keyed if self._is_open(image.original_key or "", listed)]
        headed = dict(zip((one.id for one in rest), self.pool.map(self.head, rest), strict=True))
        return [headed.get(image.id) or seen(image, listed.get(image.original_key or "")) for image in images]

    def head(self, image: Image) -> Seen:
        """One row with its original as it is at this moment; does not raise."""
        try:
            blob = self._cold.details(image.original_key) if image.original_key else None
        except StoreError as error:
            return Seen(image=image, blob=None, state=State.UNKNOWN, error=error)
        return seen(image, blob, fresh=True)

    def close(self) -> None:
        """End the threads; what has not begun is dropped."""
        end_threads(self.pool)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_open(self, key: str, listed: dict[str, Blob | None]) -> bool:
        """Whether the listing leaves open how readable an original is."""
        blob = listed.get(key)
        if key not in listed or blob is None:
            return key not in listed
        if blob.tier_unknown:
            return True
        untold = not blob.restoring and blob.restored_until is None
        return is_archived(blob.storage_class) and untold and not self._lists_restores

    def _listed(self, keys: Sequence[str]) -> dict[str, Blob | None]:
        """What a listing from the first to the last key says of these; those it did not come to are not in it."""
        if not self._may_list:
            return {}
        wanted, found, most = set(keys), dict[str, Blob | None](), LISTED_FOR_A_HEAD * len(keys)
        last, count = "", 0
        try:
            # A key without its last character sorts before it, and next to nothing lies between the two.
            for blob in islice(self._cold.scan(after=keys[0][:-1], until=keys[-1]), most):
                last, count = blob.key, count + 1
                if blob.key in wanted:
                    found[blob.key] = blob
        except StoreDenied:
            # Who may look at a blob need not be allowed to list.
            self._may_list = False
            return {}
        whole = count < most
        gone = (key for key in keys if key not in found and (whole or _bytes(key) <= _bytes(last)))
        return found | dict.fromkeys(gone)


def seen(image: Image, blob: Blob | None, *, fresh: bool = False) -> Seen:
    """How readable an original is: `expired` where the row says that it was restored, and the store no longer does."""
    return Seen(image=image, blob=blob, state=_state(image, blob), fresh=fresh)


def readable_until(blob: Blob) -> datetime | None:
    """When the readable copy of an archived blob expires; None where there is none, or no more."""
    until = blob.restored_until
    return until if is_archived(blob.storage_class) and until is not None and until > datetime.now(UTC) else None


def is_wanted(one: Seen, order: RestoreOrder) -> bool:
    """Whether an original must be asked for: it is archived, or restored for less long than wanted."""
    if one.state in (State.ARCHIVED, State.EXPIRED):
        return True
    if one.state is not State.RESTORED or order.permanent or one.blob is None:
        return False
    until = readable_until(one.blob)
    # Stores round up to midnight: the same command again on the same day finds it restored for long enough.
    day = (datetime.now(UTC) + timedelta(days=order.days)).replace(hour=0, minute=0, second=0, microsecond=0)
    return until is None or until < day


def note(catalog: Catalog, looked: Sequence[Seen], *, stop: StopSignal) -> None:
    """Write into the rows what differs from what the store says, in one transaction."""
    truths = [truth for one in looked if (truth := _truth(one)) is not None]
    if truths:
        retry(partial(_write, catalog, truths), stop=stop)


def _write(catalog: Catalog, truths: Sequence[Truth]) -> None:
    with catalog.write() as connection:
        set_truths(connection, truths)


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
    """What must be written into the row so that it says what the store says, or None."""
    image, blob = one.image, one.blob
    if blob is None:
        return None
    same = (image.storage_class or "STANDARD") == blob.storage_class
    storage_class, until = image.storage_class if same else blob.storage_class, readable_until(blob)
    if (storage_class, until) == (image.storage_class, image.restored_until):
        return None
    return Truth(id=image.id, row_class=image.storage_class, storage_class=storage_class, restored_until=until)


def _bytes(key: str | None) -> bytes:
    return (key or "").encode()
