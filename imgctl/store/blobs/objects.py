"""Operations that obstore performs the same way for all providers: read, head, sign, and list to check a bucket."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import obstore
from obstore.exceptions import InvalidPathError

from imgctl.errors import BlobCorrupt, BlobExists, BlobMissing, StoreError
from imgctl.keys import PROBES
from imgctl.store.blobs.base import Blob, BlobStore, checked
from imgctl.store.blobs.calls import Calls
from imgctl.store.blobs.files import replaced

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import AzureStore, GCSStore, S3Store

    Client = AzureStore | GCSStore | S3Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """The objects of one bucket below a prefix; keys count from the prefix.

    `client` opens on first use. `etag_of` returns the value that changes with an object; `pinned` returns the options of a
    read that fails if that value changed.
    """

    prefix: str
    calls: Calls
    client: "Callable[[], Client]"
    etag_of: "Callable[[ObjectMeta], str]"
    pinned: "Callable[[str], GetOptions]"

    def get(self, key: str) -> bytes:
        """The whole object."""
        return self._get(key, {})

    def read(self, key: str, *, start: int, length: int, etag: str) -> bytes:
        """See BlobStore."""
        try:
            return self._get(key, {"range": (start, start + length), **self.pinned(etag)})
        except BlobExists:
            # Raised for any failed precondition.
            raise replaced(key) from None

    def head(self, key: str) -> Blob | None:
        """The object, or None if it or the bucket is missing (HEAD cannot distinguish them); its class is UNKNOWN."""
        try:
            found = self.calls.call(key, lambda: obstore.head(self.client(), self.prefix + key))
        except BlobMissing:
            return None
        return Blob(key=key, size=found["size"], modified_at=found["last_modified"], etag=self.etag_of(found))

    def sign(self, key: str, *, seconds: int) -> str:
        """A URL that lets its bearer read the object for `seconds` (at most seven days on AWS and Google)."""
        name, lasts = self.prefix + checked(key), timedelta(seconds=seconds)
        return self.calls.call(key, lambda: obstore.sign(self.client(), "GET", name, lasts))

    def reach(self) -> None:
        """Make one small listing."""

        def first_page() -> None:
            # For a name that obstore cannot represent: the listing itself succeeded.
            with suppress(InvalidPathError):
                next(iter(obstore.list(self.client(), self.prefix.rstrip("/") or None)), None)

        self.calls.call("", first_page)

    def _get(self, key: str, options: "GetOptions") -> bytes:
        name = self.prefix + checked(key)
        return self.calls.call(key, lambda: obstore.get(self.client(), name, options=options).bytes().to_bytes())


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
