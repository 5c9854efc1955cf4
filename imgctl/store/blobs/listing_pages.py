"""Listings in columns: pages of keys, sizes and times, cut to the requested range and checked for byte order."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from operator import lt
from typing import NamedTuple
from urllib.parse import unquote_plus

from imgctl.errors import StoreError

PAGE_KEYS = 1000
_FIELDS = tuple(
    b"<%s>([^<]+)</%s>" % (name, name) for name in (b"Key", b"Size", b"LastModified", b"StorageClass", b"ETag")
)

Pages = Callable[[str, str], Iterator["Page"]]


class Restored(NamedTuple):
    """The state of a restore in a listing: whether it is under way, and when the readable copy expires."""

    restoring: bool = False
    until: datetime | None = None


class Page(NamedTuple):
    """Keys in byte order and, at the same places, their sizes, times and storage classes (None where unlisted).

    `restored` is None if no blob of the page was restored, or the listing has no restore status. `md5s` are in base64,
    empty if not listed.
    """

    keys: tuple[str, ...]
    sizes: tuple[int, ...]
    times: tuple[datetime, ...]
    classes: tuple[str, ...] | None = None
    etags: tuple[str, ...] = ()
    restored: tuple[Restored, ...] | None = None
    md5s: tuple[str, ...] = ()

    def cut(self, start: int, end: int) -> "Page":
        """The rows from `start` to before `end`."""
        rows = slice(start, end)
        return Page(
            self.keys[rows],
            self.sizes[rows],
            self.times[rows],
            self.classes[rows] if self.classes is not None else None,
            self.etags[rows],
            self.restored[rows] if self.restored is not None else None,
            self.md5s[rows],
        )


def within(pages: Iterator[Page], *, after: str = "", until: str = "") -> Iterator[Page]:
    """The pages of a listing that begins after `after`, up to `until` (empty: to the end).

    StoreError if a key does not sort after the previous one: a merge with the catalog would report false findings.
    """
    last = after
    for page in pages:
        check_order(page.keys, last)
        last = page.keys[-1]
        end = bisect_right(page.keys, until) if until else len(page.keys)
        if end:
            yield page.cut(0, end)
        if end < len(page.keys):
            return


def check_order(keys: tuple[str, ...], last: str) -> None:
    """Raise StoreError unless each key sorts after the one before: the server repeats keys, or sorts in another order."""
    if keys[0] > last and all(map(lt, keys, islice(keys, 1, None))):
        return
    for key in keys:
        if key <= last:
            what = f"lists {key} again" if key == last else f"lists {key} after {last}, out of byte order"
            hint = "later keys were not compared; the server repeats a page or does not sort like S3"
            raise StoreError(f"the store {what}", hint=hint)
        last = key


def columns_of(body: bytes) -> Page | None:
    """A page of ListObjectsV2 read from its XML, column by column: boto3's parser takes 80 µs a key, this 2.

    None for pages that need a real parser: a field that some objects lack, escaped text, restores, common prefixes.
    """
    count = body.count(b"<Contents>")
    columns = [re.findall(field, body) for field in _FIELDS]
    sizes = [len(column) for column in columns]
    if sizes[:3] != [count] * 3 or not {*sizes[3:]} <= {0, count} or not count:
        return None
    # Decoded all at once: XML text cannot contain the separator.
    keys, lengths, times, classes, etags = (b"\0".join(column).decode() for column in columns)
    if b"<RestoreStatus" in body or b"<CommonPrefixes>" in body or "&" in keys:
        return None
    names = keys.split("\0")
    if b"<EncodingType>url</EncodingType>" in body:
        names = [unquote_plus(name) if "%" in name or "+" in name else name for name in names]
    return Page(
        tuple(names),
        tuple(map(int, lengths.split("\0"))),
        tuple(map(datetime.fromisoformat, times.split("\0"))),
        tuple(classes.split("\0")) if classes else ("STANDARD",) * count,
        tuple(bare(etags).split("\0")) if etags else ("",) * count,
    )


def bare(etag: str) -> str:
    """An ETag without its quotes, which some servers omit."""
    return etag.replace("&quot;", "").replace("&#34;", "").replace('"', "")
