"""A bucket listed with its storage classes, so that no server's odd page loops for ever or loses a key."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

from imgctl.errors import StoreError, StoreUnsupported
from imgctl.model import StorageClass
from imgctl.store.blobs.s3_boto import FAILURES, failure_of
from imgctl.store.blobs.s3_connect import ListAnswer, Listed
from imgctl.store.cold.base import StoredBlob
from imgctl.store.cold.s3_client import Bucket

PAGE = 1000


def scan(bucket: Bucket, *, prefix: str, after: str, until: str) -> Iterator[StoredBlob]:
    """The blobs whose keys begin with `prefix`, `after` < key <= `until`; StoreError where the order is not S3's."""
    skip = len(bucket.prefix)
    for listed in _objects(_Listing(bucket), bucket.prefix + prefix, bucket.prefix + after if after else ""):
        key = listed["Key"][skip:]
        if until and key > until:
            return
        # None: the folder marker of the store's own prefix.
        if key:
            yield _stored(key, listed)


class _Listing:
    """Pages of a bucket, with restores unless the server refuses to tell of them."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._extra: dict[str, object] = {"OptionalObjectAttributes": ["RestoreStatus"]}

    def page(self, prefix: str, start: dict[str, object]) -> ListAnswer:
        """One page from `start` on."""
        return self._bucket.call("", partial(self._asked, prefix, start))

    def _asked(self, prefix: str, start: dict[str, object]) -> ListAnswer:
        wanted = {"Bucket": self._bucket.name, "Prefix": prefix, "MaxKeys": PAGE, **start}
        try:
            return self._bucket.client.list_objects_v2(**wanted, **self._extra)
        except FAILURES as error:
            # A server that knows no optional attributes calls the request bad, or not implemented.
            failure = failure_of(error, self._bucket.target()).error
            if not self._extra or type(failure) not in (StoreError, StoreUnsupported):
                raise
            answer = self._bucket.client.list_objects_v2(**wanted)
            self._extra = {}
            return answer


def _objects(listing: _Listing, prefix: str, after: str) -> Iterator[Listed]:
    last, token = after, ""
    while True:
        # By the last key, not the token: a page is the same whoever asks for it, and when.
        start: dict[str, object] = {"ContinuationToken": token} if token else {"StartAfter": last}
        page = listing.page(prefix, start)
        for listed in page.get("Contents", ()):
            if listed["Key"] <= last:
                raise _disorder(last, listed["Key"])
            last = listed["Key"]
            yield listed
        if not page.get("IsTruncated"):
            return
        token = _onward(page, token, last)


def _onward(page: ListAnswer, token: str, last: str) -> str:
    """The token to go on by from a page without keys, which says nothing else of where it ended."""
    if page.get("Contents"):
        return ""
    onward = page.get("NextContinuationToken", "")
    if not onward or onward == token:
        hint = "the server's listing does not move on; list with another tool to see whether it ends"
        raise StoreError(f"the store lists nothing behind {last or 'its beginning'}, and says there is more", hint=hint)
    return onward


def _stored(key: str, listed: Listed) -> StoredBlob:
    restore = listed.get("RestoreStatus", {})
    until = restore.get("RestoreExpiryDate")
    return StoredBlob(
        key=key,
        size=listed["Size"],
        modified_at=listed["LastModified"],
        etag=listed.get("ETag", "").strip('"'),
        storage_class=listed.get("StorageClass") or StorageClass.STANDARD,
        restoring=restore.get("IsRestoreInProgress", False),
        restored_until=until if until is not None and until > datetime.now(UTC) else None,
    )


def _disorder(last: str, key: str) -> StoreError:
    hint = "narrow the listing to keys of one shape; this server does not sort others as S3 does"
    return StoreError(f"the store lists {key} behind {last}, out of byte order", hint=hint)
