"""Reads blobs of a bucket by HEAD and by listings, which end even if a server repeats a page."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from heapq import heappop, heappush
from itertools import chain, count, islice
from operator import gt, itemgetter
from typing import TYPE_CHECKING

from imgctl.errors import StoreError, StoreUnsupported
from imgctl.model import StorageClass
from imgctl.store.blobs.base import Blob
from imgctl.store.blobs.listing_pages import PAGE_KEYS, Page, Restored, bare, within
from imgctl.store.blobs.s3.bucket import Bucket, columns_in, once
from imgctl.store.blobs.walk import Range, walk

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef as HeadResponse
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef as ListResponse
    from mypy_boto3_s3.type_defs import ObjectTypeDef as Listed

_EXPIRY = re.compile(r'expiry-date="([^"]+)"')
_SHA256_BYTES = 32
_RESTORES = {"OptionalObjectAttributes": ["RestoreStatus"]}


def pages_of(
    bucket: Bucket, *, prefix: str = "", after: str = "", until: str = "", on_request: Callable[[], None] = lambda: None
) -> Iterator[Page]:
    """The objects whose keys begin with `prefix`, `after` < key <= `until`, in byte order; calls `on_request` for each.

    StoreError if the server sorts neither by bytes nor by path segments (see `_sorts_segments`).
    """
    pages = _flat(bucket, prefix, after, on_request)
    first = next(pages, None)
    if first is None:
        return
    if not bucket.is_aws and _sorts_segments(bucket, first, on_request):
        pages = _walked(bucket, Range(prefix=prefix, after=after, until=until), on_request)
    else:
        pages = chain((first,), pages)
    yield from within(pages, after=after, until=until)


def _walked(bucket: Bucket, wanted: Range, on_request: Callable[[], None]) -> Iterator[Page]:
    """Pages of a server that sorts path segments, directory by directory."""
    rows = walk(partial(_entries, bucket, wanted, on_request), wanted, wanted.prefix[: wanted.prefix.rfind("/") + 1])
    while some := tuple(islice(rows, PAGE_KEYS)):
        yield Page(tuple([key for key, _ in some]), *zip(*[row for _, row in some], strict=True))


def _flat(bucket: Bucket, prefix: str, after: str, on_request: Callable[[], None]) -> Iterator[Page]:
    """Pages in the server's own order; none is empty."""
    last, token = after, ""
    while True:
        # From the last key, not the token: the same start key gives the same page at any time.
        start: dict[str, object] = {"ContinuationToken": token} if token else _after(bucket, last)
        response, page = _page(bucket, prefix, start, on_request)
        if page.keys:
            last = page.keys[-1]
            yield page
        if not response.get("IsTruncated"):
            return
        token = "" if page.keys else _onward(response, token, last)


def _sorts_segments(bucket: Bucket, page: Page, on_request: Callable[[], None]) -> bool:
    """Whether the server sorts `a/b` before `a-b`, as SeaweedFS does: it compares keys segment by segment.

    For keys of one shape (`YYYY/MM/DD/…`) both orders are the same; for others a merge with the catalog would report
    false findings. Detected from the first page, or tested once with a key that has a slash: after `2024.~` a server with
    S3's order still lists `2024/…`.
    """
    if bucket.traits.sorts_segments is None and any(map(gt, page.keys, islice(page.keys, 1, None))):
        bucket.traits.sorts_segments = True
    if bucket.traits.sorts_segments is None:
        # Not every server accepts a control character in a query.
        keys = (key for key in page.keys if "/" in key and key.partition("/")[0].isprintable())
        if (key := next(keys, None)) is not None:
            start = _after(bucket, f"{key.partition('/')[0]}.~") | {"MaxKeys": 1}
            _, following = _page(bucket, "", start, on_request)
            bucket.traits.sorts_segments = not (following.keys and following.keys[0] <= key)
    return bool(bucket.traits.sorts_segments)


def _entries(
    bucket: Bucket, wanted: Range, on_request: Callable[[], None], under: str
) -> Iterator[tuple[str, tuple[object, ...] | None]]:
    """The direct children of `under` in byte order, from a server that sorts names without their slash.

    A directory is held back until no name that sorts before it can follow; few are held at once.
    """
    held: list[tuple[str, int, tuple[object, ...] | None]] = []
    start, token = _after(bucket, _start(wanted.after, under)), ""
    for number in count():
        response, page = _page(bucket, under, start, on_request, Delimiter="/")
        # An empty directory of SeaweedFS lists itself; it is an object only if a listing without delimiter has it too.
        if page.keys[:1] == (under,) and _page(bucket, under, {"MaxKeys": 1}, on_request)[1].keys[:1] != (under,):
            page = page.cut(1, len(page.keys))
        restored = page.restored or (Restored(),) * len(page.keys)
        rows = zip(page.sizes, page.times, page.classes or (), page.etags, restored, strict=True)
        found: list[tuple[str, str, tuple[object, ...] | None]]
        found = [(key, key, row) for key, row in zip(page.keys, rows, strict=True)]
        skip = len(bucket.prefix)
        found += [(one["Prefix"][skip:-1], one["Prefix"][skip:], None) for one in response.get("CommonPrefixes", ())]
        for name, key, row in sorted(found, key=itemgetter(0, 1)):
            while held and held[0][0] < name:
                yield held[0][0], heappop(held)[2]
            heappush(held, (key, number, row))
        if not response.get("IsTruncated"):
            break
        token = _onward(response, token, under)
        start = {"ContinuationToken": token}
    while held:
        yield held[0][0], heappop(held)[2]


def _start(after: str, under: str) -> str:
    """The key after which to list a directory so that nothing after `after` is missed: `a/` sorts after `a-b`."""
    if not after.startswith(under):
        return ""
    name = after[len(under) :].partition("/")[0]
    short = next((at for at, sign in enumerate(name) if sign < "/"), len(name))
    # A server may skip a directory that is itself the start key.
    return under + name[: short - 1] if short > 1 else ""


def _after(bucket: Bucket, key: str) -> dict[str, object]:
    return {"StartAfter": bucket.prefix + key if key else ""}


def _page(
    bucket: Bucket, prefix: str, start: dict[str, object], on_request: Callable[[], None], **more: object
) -> tuple["ListResponse", Page]:
    """One response of the server, and its objects as a page."""
    wanted = {"Bucket": bucket.name, "Prefix": bucket.prefix + prefix, "MaxKeys": PAGE_KEYS, **more, **start}
    response = bucket.call("", _list, bucket=bucket, wanted=wanted, on_request=on_request)
    return response, _below(bucket.prefix, columns_in(response) or _columns(response.get("Contents", [])))


def _list(bucket: Bucket, wanted: dict[str, object], on_request: Callable[[], None]) -> "ListResponse":
    on_request()
    if bucket.traits.lists_restores:
        try:
            return once(bucket.client.list_objects_v2, **wanted, **_RESTORES)
        except Exception as error:
            # A server without optional attributes rejects the request as bad or not implemented.
            if type(bucket.judged(error)) not in (StoreError, StoreUnsupported):
                raise
    response = once(bucket.client.list_objects_v2, **wanted)
    bucket.traits.lists_restores = False
    return response


def _columns(found: list["Listed"]) -> Page:
    now = datetime.now(UTC)
    return Page(
        tuple([one["Key"] for one in found]),
        tuple([one["Size"] for one in found]),
        tuple([one["LastModified"] for one in found]),
        tuple([one.get("StorageClass") or "STANDARD" for one in found]),
        tuple([bare(one.get("ETag", "")) for one in found]),
        tuple([_restored(one, now) for one in found]),
    )


def _restored(one: "Listed", now: datetime) -> Restored:
    status = one.get("RestoreStatus", {})
    until = status.get("RestoreExpiryDate")
    return Restored(status.get("IsRestoreInProgress", False), until if until is not None and until > now else None)


def _below(prefix: str, page: Page) -> Page:
    """The page with keys of the store, without the folder marker of its own prefix."""
    if not prefix:
        return page
    skip = len(prefix)
    below = page._replace(keys=tuple([key[skip:] for key in page.keys]))
    return below if all(below.keys[:1]) else below.cut(1, len(below.keys))


def _onward(response: "ListResponse", token: str, last: str) -> str:
    """The token of the next page, for a page without keys, where there is no last key to continue from."""
    onward = response.get("NextContinuationToken", "")
    if not onward or onward == token:
        hint = "the server's listing does not advance; list with another tool to see whether it ends"
        raise StoreError(f"the store lists nothing after {last or 'its beginning'}, but reports more pages", hint=hint)
    return onward


def blob_of(key: str, response: "HeadResponse") -> Blob:
    """The blob of a HEAD response."""
    header = response.get("Restore", "")
    return Blob(
        key=key,
        size=response["ContentLength"],
        modified_at=response["LastModified"],
        etag=bare(response.get("ETag", "")),
        storage_class=class_of(response),
        restoring='ongoing-request="true"' in header,
        restored_until=_expiry(header),
        version_id=response.get("VersionId"),
        sha256=_sha256(response),
    )


def class_of(response: "HeadResponse") -> str:
    """The class in a HEAD response; for Intelligent-Tiering the archive tier, if the object is in one."""
    classes = (response.get("ArchiveStatus"), response.get("StorageClass"))
    return next(filter(None, classes), StorageClass.STANDARD)


def _expiry(header: str) -> datetime | None:
    """When a restored copy expires, by the `x-amz-restore` header; None when it has expired or there is none."""
    found = _EXPIRY.search(header)
    if found is not None:
        with suppress(ValueError, OverflowError):
            until = parsedate_to_datetime(found[1]).astimezone(UTC)
            return until if until > datetime.now(UTC) else None
    return None


def _sha256(response: "HeadResponse") -> bytes | None:
    """The checksum of a whole object; None for one put without, or in parts (`…-3`: a checksum of checksums)."""
    with suppress(binascii.Error):
        digest = base64.b64decode(response.get("ChecksumSHA256", ""), validate=True)
        if len(digest) == _SHA256_BYTES and response.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT":
            return digest
    return None
