"""Rows with the blobs that the store holds of them: from a listing read in parallel, or by a request for each blob."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from imgctl.config.settings import StoreSettings
from imgctl.errors import KeyShapeError, StoreUnavailable
from imgctl.keys import ORIGINAL, key_of, parse_key
from imgctl.model import Image, Variant
from imgctl.ops.retry import StopSignal, retry
from imgctl.run.window import RateLimit
from imgctl.store.blobs.base import Blob, BlobStore

# After this many blobs of no wanted row (two requests' worth) a new listing begins at the next row.
SKIP_AT_MOST = 2000
LISTED_A_REQUEST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBlobs:
    """A row and those blobs that it names and the store holds, by their keys."""

    image: Image
    blobs: Mapping[str, Blob]

    def blob(self, key: str | None) -> Blob | None:
        """The blob under one of the row's keys, or None."""
        return None if key is None else self.blobs.get(key)


class BlobLooker:
    """Looks at the blobs of rows that come in the order of ids (in any order without `listing`).

    A listing is read in step with the rows and holds one page; a key that it lacks gets a HEAD before it counts as
    missing, limited to `rate`. `list_requests` and `heads` count the requests. Not thread-safe; outages are retried.
    """

    def __init__(
        self,
        store: BlobStore,
        settings: StoreSettings,
        *,
        listing: bool,
        pool: Executor,
        stop: StopSignal,
        rate: RateLimit | None = None,
    ) -> None:
        prefixes = {settings.originals_prefix, settings.variants_prefix} if listing else set[str]()
        self.heads = 0
        self._store = store
        self._pool = pool
        self._stop = stop
        self._rate = rate
        self._listings = [_Listing(store, prefix) for prefix in sorted(prefixes)]

    @property
    def list_requests(self) -> int:
        """How many listing requests were made."""
        return sum(one.requests for one in self._listings)

    def look(self, images: Sequence[Image]) -> list[RowBlobs]:
        """Each of the rows with its blobs; StoreUnavailable once an outage lasted too long."""
        found = {image.id: self._listed(image) for image in images}
        missing = [(image.id, key) for image in images for key in keys_of(image) if _is_open(found[image.id].get(key))]
        self.heads += len(missing)
        for (image_id, key), blob in zip(missing, self._pool.map(self._head, [key for _, key in missing]), strict=True):
            if blob is not None:
                found[image_id][key] = blob
            else:
                found[image_id].pop(key, None)
        return [RowBlobs(image=image, blobs=found[image.id]) for image in images]

    def _head(self, key: str) -> Blob | None:
        if self._rate is not None and (turn := self._rate.reserve(1)):
            self._stop.wait(turn)
        return retry(partial(self._store.details, key), stop=self._stop, on=StoreUnavailable)

    def _listed(self, image: Image) -> dict[str, Blob]:
        wanted = keys_of(image)
        found: dict[str, Blob] = {}
        for listing in self._listings:
            blobs = retry(partial(listing.blobs_of, image.id), stop=self._stop, on=StoreUnavailable)
            found |= {blob.key: blob for blob in blobs if blob.key in wanted}
        return found


def _is_open(blob: Blob | None) -> bool:
    """Whether a listing does not settle which blob is there."""
    return blob is None or blob.tier_unknown


def keys_of(image: Image) -> list[str]:
    """Every key that a row names: its original's and its variants'."""
    named = (image.original_key, *(image.variant_key(variant) for variant in Variant))
    return [key for key in named if key is not None]


class _Listing:
    """The blobs under one prefix, read forwards, by the ids in their keys."""

    def __init__(self, store: BlobStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix
        self._stream: Iterator[Blob] | None = None
        self._begun = self._read = 0
        self._next: tuple[UUID, Blob] | None = None

    @property
    def requests(self) -> int:
        return self._begun + self._read // LISTED_A_REQUEST

    def blobs_of(self, image_id: UUID) -> list[Blob]:
        """The blobs of an image; ids must not fall from call to call. After an error the same may be asked again."""
        try:
            if self._stream is None or not self._reach(image_id):
                self._open(image_id)
                self._reach(image_id, skip=None)
            return self._take(image_id)
        except StoreUnavailable:
            self._stream = None
            raise

    def _open(self, image_id: UUID) -> None:
        start = key_of(image_id, ORIGINAL, "x", prefix=self._prefix).removesuffix(f"-{ORIGINAL}.x")
        self._stream = self._store.scan(prefix=self._prefix, after=start)
        self._begun += 1
        self._next = self._advance()

    def _reach(self, image_id: UUID, *, skip: int | None = SKIP_AT_MOST) -> bool:
        """Go to the image's first blob, or behind where it would be; False where that is too far."""
        passed = 0
        while self._next is not None and self._next[0] < image_id:
            if passed == skip:
                return False
            passed += 1
            self._next = self._advance()
        return True

    def _take(self, image_id: UUID) -> list[Blob]:
        found = []
        while self._next is not None and self._next[0] == image_id:
            found.append(self._next[1])
            self._next = self._advance()
        return found

    def _advance(self) -> tuple[UUID, Blob] | None:
        for blob in self._stream if self._stream is not None else ():
            self._read += 1
            try:
                return parse_key(blob.key, prefix=self._prefix).id, blob
            except KeyShapeError:
                # Not ours: the other role's prefix, or somebody else's.
                continue
        return None
