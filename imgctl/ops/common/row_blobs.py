"""Rows with their blobs in the store: from a listing if their keys lie close together, else by a request for each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import StoreDenied, StoreError, StoreUnavailable
from imgctl.keys import ORIGINAL, ROLES
from imgctl.model import Image, is_archived
from imgctl.ops.common.retry import RETRY_SECONDS, StopSignal, retry
from imgctl.run.budgets import RateLimit
from imgctl.store.blobs.base import Blob, BlobStore

T = TypeVar("T")

# One request lists a thousand keys and costs as much as twelve HEADs.
LISTED_A_REQUEST = 1000
LISTED_FOR_A_HEAD = 12
FEW = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBlobs:
    """A row and its blobs in the store, by their keys; `fresh` if each was read by its own request.

    `error` is the first error of a request for one of them.
    """

    image: Image
    blobs: Mapping[str, Blob]
    fresh: bool = False
    error: StoreError | None = None

    def blob(self, key: str | None) -> Blob | None:
        """The blob under one of the row's keys, or None."""
        return None if key is None else self.blobs.get(key)


class BlobLooker:
    """Looks up the blobs of rows, those of `roles`; not thread-safe except for `look_at`.

    Lists from the first to the last key as far as that is cheaper. Keys that the listing lacks, or whose tier or
    (without `lists_restores`) restore it does not contain, get a HEAD, limited to `rate`. `list_requests` and `heads`
    count the requests. Errors are raised, outages once they last too long; an error of a HEAD that is one of `keeps` is
    stored with its row instead, without a retry.
    """

    def __init__(
        self,
        store: BlobStore,
        settings: StoreSettings,
        *,
        pool: Executor,
        stop: StopSignal,
        roles: Sequence[str] = ROLES,
        rate: RateLimit | None = None,
        lists_restores: bool = True,
        keeps: tuple[type[StoreError], ...] = (),
    ) -> None:
        self.list_requests = self.heads = 0
        self._store = store
        self._pool = pool
        self._stop = stop
        self._rate = rate
        self._lists_restores = lists_restores
        self._keeps = keeps
        self._may_list = True
        apart = settings.originals_prefix != settings.variants_prefix
        variants = tuple(role for role in roles if role != ORIGINAL)
        self._roles = roles
        self._together = ((ORIGINAL,), variants) if apart else (roles,)

    def look(self, images: Sequence[Image]) -> list[RowBlobs]:
        """Return each of the rows with its blobs; StoreUnavailable once an outage lasted too long."""
        found: dict[str, Blob | StoreError | None] = {}
        for roles in self._together:
            found |= self._retried(partial(self._listed, [key for one in images for key in keys_of(one, roles)]))
        left = [key for one in images for key in keys_of(one, self._roles) if key not in found]
        self.heads += len(left)
        found |= zip(left, self._pool.map(self._head, left), strict=True)
        return [self._row(image, found, fresh=set(left)) for image in images]

    def look_at(self, image: Image) -> RowBlobs:
        """Return one row with its blobs as they are now."""
        keys = keys_of(image, self._roles)
        return self._row(image, {key: self._head(key) for key in keys}, fresh=set(keys))

    def _row(self, image: Image, found: Mapping[str, Blob | StoreError | None], *, fresh: set[str]) -> RowBlobs:
        keys = keys_of(image, self._roles)
        answers = {key: found[key] for key in keys}
        return RowBlobs(
            image=image,
            blobs={key: one for key, one in answers.items() if isinstance(one, Blob)},
            fresh=fresh.issuperset(keys),
            error=next((one for one in answers.values() if isinstance(one, StoreError)), None),
        )

    def _head(self, key: str) -> Blob | StoreError | None:
        if self._rate is not None and (turn := self._rate.reserve(1)):
            self._stop.wait(turn)
        try:
            return self._retried(partial(self._store.details, key))
        except self._keeps as error:
            return error

    def _listed(self, keys: Sequence[str]) -> dict[str, Blob]:
        """Return those blobs of these keys for which a listing is enough."""
        if len(keys) <= FEW or not self._may_list:
            return {}
        first, last = min(keys, key=str.encode), max(keys, key=str.encode)
        wanted, found, listed = set(keys), dict[str, Blob](), 0
        try:
            # A key without its last character sorts before it, with hardly any key between the two.
            for blob in islice(self._store.scan(after=first[:-1], until=last), LISTED_FOR_A_HEAD * len(keys)):
                listed += 1
                if blob.key in wanted and self._settles(blob):
                    found[blob.key] = blob
        except StoreDenied:
            # Credentials may allow HeadObject without ListBucket.
            self._may_list = False
        self.list_requests += 1 + listed // LISTED_A_REQUEST
        return found

    def _settles(self, blob: Blob) -> bool:
        lacks_restore = not blob.restoring and blob.restored_until is None
        may_be_restored = is_archived(blob.storage_class) and lacks_restore and not self._lists_restores
        return not (blob.tier_unknown or may_be_restored)

    def _retried(self, attempt: Callable[[], T]) -> T:
        seconds = 0.0 if issubclass(StoreUnavailable, self._keeps) else RETRY_SECONDS
        return retry(attempt, stop=self._stop, seconds=seconds, on=StoreUnavailable)


def keys_of(image: Image, roles: Iterable[str] = ROLES) -> list[str]:
    """Return the row's keys of these roles."""
    return [key for role in roles if (key := image.key(role)) is not None]
