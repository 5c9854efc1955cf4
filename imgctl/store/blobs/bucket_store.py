"""What the stores in buckets have in common: reads, heads, signed URLs and the listing of a check, by obstore."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import obstore
from obstore.exceptions import InvalidPathError

from imgctl.errors import BlobCorrupt, BlobExists, BlobMissing, StoreError
from imgctl.keys import PROBES
from imgctl.store.blobs.base import Blob, BlobStore, checked, is_portable
from imgctl.store.blobs.files import replaced
from imgctl.store.blobs.retries import Calls

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import AzureStore, GCSStore, S3Store

    Client = AzureStore | GCSStore | S3Store


class ObjectStore(BlobStore):
    """The objects of one bucket below a prefix (empty, or ending with a slash); keys count from the prefix.

    `client` opens on first use. `etag_of` returns the value that changes with an object; `pinned` returns the options of a
    read that fails if that value changed.
    """

    def __init__(
        self,
        *,
        prefix: str,
        calls: Calls,
        client: "Callable[[], Client]",
        etag_of: "Callable[[ObjectMeta], str]",
        pinned: "Callable[[str], GetOptions]",
    ) -> None:
        self.prefix, self._calls = prefix, calls
        self._open, self._etag_of, self._pinned = client, etag_of, pinned

    @property
    def pushbacks(self) -> int:
        return self._calls.pushbacks

    def get(self, key: str) -> bytes:
        return self._get(key, {})

    def read(self, key: str, *, start: int, length: int, etag: str) -> bytes:
        try:
            return self._get(key, {"range": (start, start + length), **self._pinned(etag)})
        except BlobExists:
            # Raised for any failed precondition.
            raise replaced(key) from None

    def head(self, key: str) -> Blob | None:
        """The object, or None if it or the bucket is missing (HEAD cannot distinguish them); its class is UNKNOWN."""
        # The bucket may contain names that obstore would alter, put there by other programs.
        if not is_portable(key):
            return self.details(key)
        try:
            found = self._calls.call(key, lambda: obstore.head(self._open(), self.prefix + key))
        except BlobMissing:
            return None
        return Blob(key=key, size=found["size"], modified_at=found["last_modified"], etag=self._etag_of(found))

    def sign(self, key: str, *, seconds: int) -> str:
        """A URL that lets its bearer read the object for `seconds` (at most seven days on AWS and Google)."""
        name, lasts = self.prefix + checked(key), timedelta(seconds=seconds)
        return self._calls.call(key, lambda: obstore.sign(self._open(), "GET", name, lasts))

    def reach(self) -> None:
        """See BlobStore; obstore loads faster than boto3, and the first put waits for this."""

        def first_page() -> None:
            # For a name that obstore cannot represent: the listing itself succeeded.
            with suppress(InvalidPathError):
                next(iter(obstore.list(self._open(), self.prefix.rstrip("/") or None)), None)

        self._calls.call("", first_page)

    def _get(self, key: str, options: "GetOptions") -> bytes:
        name = self.prefix + checked(key)
        return self._calls.call(key, lambda: obstore.get(self._open(), name, options=options).bytes().to_bytes())


def check(store: BlobStore, bucket: str) -> None:
    """List, then put, read and delete a probe: a put alone may create a missing bucket."""
    store.reach()
    key, body = f"{PROBES}{uuid4()}", b"imgctl"
    try:
        store.replace(key, body, content_type="text/plain")
        if store.get(key) != body:
            raise BlobCorrupt(f"bucket {bucket} returned other bytes than were put", hint="check the endpoint")
    except BaseException:
        with suppress(StoreError):
            store.delete([key])
        raise
    store.delete([key])


def check_free(store: BlobStore, key: str) -> None:
    """Raise BlobExists if the key exists; called before each try, because an earlier one may have succeeded."""
    if store.head(key) is not None:
        raise taken(key)


def check_old(store: BlobStore, key: str, version_id: str) -> None:
    """Raise StoreError unless the blob exists, and this is not its current version."""
    current = store.details(key)
    if current is None or current.version_id in (None, version_id):
        raise StoreError(
            f"{key}: version {version_id} is not an old one of a blob that exists", hint="it was left as it is"
        )


def taken(key: str) -> BlobExists:
    """The error for an existing key."""
    return BlobExists(f"{key} is already in the store")
