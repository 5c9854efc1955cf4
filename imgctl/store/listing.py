"""Listings in bulk: pages of plain columns, each checked to follow the last one in byte order, nothing parsed."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from operator import lt
from typing import TYPE_CHECKING, NamedTuple, Protocol

from imgctl.errors import StoreError

if TYPE_CHECKING:
    from imgctl.store.blobs.s3 import S3Store

PAGE_KEYS = 1000


class Page(NamedTuple):
    """Keys in byte order and, at the same places, their sizes, times and storage classes (None where unlisted)."""

    keys: tuple[str, ...]
    sizes: tuple[int, ...]
    times: tuple[datetime, ...]
    classes: tuple[str, ...] | None = None


class Listed(Protocol):
    """What a scan of any store tells of a blob."""

    @property
    def key(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def modified_at(self) -> datetime: ...
    @property
    def storage_class(self) -> str | None: ...


Scan = Callable[[str, str], Iterator[Listed]]
Pages = Callable[[str, str], Iterator[Page]]


def of_bucket(store: "S3Store", *, asked: Callable[[], None]) -> Pages:
    """Pages of a bucket, `after` < key <= `until`, a request each, of which `asked` hears; without storage classes."""
    skip = len(store.prefix)

    def pages(after: str, until: str) -> Iterator[Page]:
        last = after
        for found in store.pages(after=after, asked=asked):
            keys = tuple([meta["path"][skip:] for meta in found])
            sizes = tuple([meta["size"] for meta in found])
            page = Page(keys, sizes, tuple([meta["last_modified"] for meta in found]))
            page, ended = within(page, after, until)
            if page.keys:
                check_order(page.keys, last)
                last = page.keys[-1]
                yield page
            if ended:
                return

    return pages


def of_scan(scan: Scan, *, classes: bool) -> Pages:
    """Pages of any scan `scan(after, until)`; with storage classes where it tells them."""

    def pages(after: str, until: str) -> Iterator[Page]:
        last, blobs = after, scan(after, until)
        while found := list(islice(blobs, PAGE_KEYS)):
            keys = tuple([blob.key for blob in found])
            check_order(keys, last)
            last = keys[-1]
            yield Page(
                keys,
                tuple([blob.size for blob in found]),
                tuple([blob.modified_at for blob in found]),
                tuple([blob.storage_class or "STANDARD" for blob in found]) if classes else None,
            )

    return pages


def within(page: Page, after: str, until: str) -> tuple[Page, bool]:
    """The part of a page with `after` < key <= `until` (empty: no bound), and whether the rest lies behind it."""
    keys = page.keys
    # The empty key too, the folder marker of the store's own prefix, is behind any bound.
    start = bisect_right(keys, after) if keys and keys[0] <= after else 0
    past = bool(until and keys and keys[-1] > until)
    end = bisect_right(keys, until) if past else len(keys)
    if start == 0 and end == len(keys):
        return page, past
    cut = slice(start, end)
    return Page(keys[cut], page.sizes[cut], page.times[cut], page.classes[cut] if page.classes else None), past


def check_order(keys: tuple[str, ...], last: str) -> None:
    """StoreError unless each key sorts behind the one before: a page that repeats, or a server of another order."""
    if keys[0] > last and all(map(lt, keys, islice(keys, 1, None))):
        return
    for key in keys:
        if key <= last:
            what = f"lists {key} again" if key == last else f"lists {key} behind {last}, out of byte order"
            hint = "nothing beyond this place was compared; the server repeats itself or does not sort as S3 does"
            raise StoreError(f"the store {what}", hint=hint)
        last = key
