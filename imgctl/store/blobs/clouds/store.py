"""A bucket of Google Cloud Storage or a container of Azure as a store."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, TypeVar

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import BlobCorrupt, BlobExists, BlobMissing, StoreError
from imgctl.store.blobs.base import (
    IMMUTABLE,
    Blob,
    Remnant,
    Restore,
    SignedPut,
    Tier,
    blobs_of,
    checked,
    known_class,
)
from imgctl.store.blobs.bucket_store import ObjectStore, check, check_free, check_old, taken
from imgctl.store.blobs.clouds.listing import NOT_FOUND, everything, listed, purge
from imgctl.store.blobs.clouds.provider import Provider, Put
from imgctl.store.blobs.clouds.signed import AllowedPut
from imgctl.store.blobs.clouds.traits import all_traits, put_if_absent
from imgctl.store.blobs.errors import Target
from imgctl.store.blobs.files import read_checked, replaced
from imgctl.store.blobs.listing_pages import Page, within
from imgctl.store.blobs.retries import Calls
from imgctl.store.blobs.traits import Kept, Traits, warning
from imgctl.store.blobs.walk import Range

if TYPE_CHECKING:
    from imgctl.store.blobs.bucket_store import Client

T = TypeVar("T")

log = logging.getLogger(__name__)

_ONE_PUT_BYTES = 64 * 2**20


class CloudStore(ObjectStore):
    """Blobs as objects of one bucket, all under one prefix (empty, or ending with a slash); see BlobStore.

    obstore makes the reads; it cannot send checksums, so `provider` makes all other requests.
    """

    def __init__(self, settings: StoreSettings, provider: Provider, *, bucket: str, prefix: str = "") -> None:
        self.bucket = bucket
        self._provider = provider
        self._lock = RLock()
        self._traits = Traits()
        super().__init__(
            prefix=prefix,
            calls=Calls(settings.retries, self._target),
            client=lambda: self._client,
            etag_of=lambda found: provider.etag_of(found["e_tag"], found["version"]),
            pinned=provider.pinned,
        )

    @property
    def put_if_absent(self) -> Kept | None:
        return self._traits.put_if_absent

    def test_put_if_absent(self, key: str = "") -> Kept:
        """See BlobStore."""
        if (kept := self._traits.put_if_absent) is not None:
            return kept
        with self._lock:
            if (kept := self._traits.put_if_absent) is None:
                kept = self._traits.put_if_absent = put_if_absent(self, self.prefix, self._provider, self._calls, key)
                if text := warning(kept):
                    log.warning("bucket %s: %s", self.bucket, text)
        return kept

    def traits(self) -> Traits:
        self.test_put_if_absent()
        return all_traits(self, self.prefix, self._provider, self._calls, self._traits)

    def create(self, key: str, body: bytes, *, content_type: str) -> None:
        """Put if absent, with an MD5 that the server checks; for servers that overwrite, a HEAD precedes each try."""
        look = self.test_put_if_absent(checked(key)) is Kept.IGNORED
        self._put(key, body, content_type=content_type, absent=True, look=look)

    def create_file(self, key: str, path: Path, *, size: int, content_type: str, sha256: bytes) -> None:
        """Like `create`; beyond 64 MiB in pieces."""
        if size <= _ONE_PUT_BYTES:
            self.create(key, read_checked(path, size=size, sha256=sha256), content_type=content_type)
            return
        check_free(self, checked(key))
        put, name = self._provider.put_file, self.prefix + key
        call = partial(self._calls.call, key)
        put(name, path, size=size, content_type=content_type, sha256=sha256, call=call)

    def replace(self, key: str, body: bytes, *, content_type: str) -> None:
        self._put(key, body, content_type=content_type, cache=IMMUTABLE, absent=False)

    def read(self, key: str, *, start: int, length: int, etag: str) -> bytes:
        try:
            return super().read(key, start=start, length=length, etag=etag)
        except (BlobMissing, BlobCorrupt):
            # A deleted generation is reported as missing, and some servers report a missing object as a failed condition.
            if self.head(key) is None:
                raise BlobMissing(f"there is no blob {key}", hint=f"looked in bucket {self.bucket}") from None
            raise replaced(key) from None

    def copy(self, source_key: str, key: str, *, etag: str, content_type: str) -> None:
        place, name = self.prefix + checked(source_key), self.prefix + checked(key)
        conditional = self._provider.is_own and self.test_put_if_absent(key) is not Kept.IGNORED

        def copy() -> None:
            if not conditional:
                check_free(self, key)
            self._provider.copy(place, name, etag=etag, content_type=content_type)

        try:
            self._call(source_key, copy)
        except BlobExists:
            if self.head(key) is None:
                raise replaced(source_key) from None
            raise taken(key) from None

    def details(self, key: str, *, checksum: bool = False) -> Blob | None:  # neither cloud stores a SHA-256
        try:
            return self._blob(self._call(key, lambda: self._provider.details(self.prefix + key)))
        except BlobMissing:
            return None

    def scan(self, *, prefix: str = "", after: str = "", until: str = "") -> Iterator[Blob]:
        """See BlobStore; a failed page is requested again."""
        return blobs_of(self._pages(prefix, after, until, lambda: None))

    def pages(self, after: str, until: str, *, on_request: Callable[[], None] = lambda: None) -> Iterator[Page]:
        return self._pages("", after, until, on_request)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete blobs in batches; missing ones are ignored, other errors are raised."""
        names = (self.prefix + checked(key) for key in keys)
        while batch := list(islice(names, self._provider.batch)):
            left: list[str] = batch

            def attempt() -> None:
                nonlocal left
                rejected = [(name, error) for name, error in self._provider.delete(left) if error.status != NOT_FOUND]
                left = [name for name, _ in rejected]
                if rejected:
                    raise rejected[0][1]

            self._call(batch[0] if len(batch) == 1 else "", attempt)

    def move(self, key: str, *, to: str, etag: str) -> Blob:
        """See BlobStore; a blob that has the class already is returned as it is, with any ETag."""
        wanted = known_class(to, self._provider.classes)
        return self._blob(self._call(key, lambda: self._provider.move(self.prefix + key, to=wanted, etag=etag)))

    def restore(self, key: str, *, tier: Tier, days: int | None) -> Restore:  # restores are permanent
        return self._call(key, lambda: self._provider.restore(self.prefix + key, tier=tier))

    def keeps_versions(self) -> bool:
        if self._traits.versions is None:
            kept = self._call("", self._provider.keeps_versions)
            if kept is None:
                self.test_put_if_absent()
                kept = self._call("", self._provider.keeps_versions)
            self._traits.versions = bool(kept)
        return self._traits.versions

    def move_keeps_source(self) -> bool:
        return not self._provider.moves_in_place and self.keeps_versions()

    def copied_version(self, blob: Blob) -> str | None:
        return self._call(blob.key, lambda: self._provider.copied_version(self.prefix + blob.key, blob))

    def delete_version(self, key: str, version_id: str) -> None:
        check_old(self, key, version_id)
        # Missing: an earlier try deleted it, and its response was lost.
        with suppress(BlobMissing):
            self._call(key, lambda: self._provider.delete_version(self.prefix + key, version_id))

    def remnants(self, stems: Sequence[str]) -> Iterator[Remnant]:
        for stem in stems:
            for one in everything(self._provider, self._calls, self.prefix + stem):
                yield replace(one, key=one.key[len(self.prefix) :])

    def purge(self, remnants: Iterable[Remnant]) -> Iterator[tuple[Remnant, StoreError]]:
        left = (replace(one, key=self.prefix + one.key) for one in remnants)
        while some := list(islice(left, self._provider.batch)):
            for one, error in purge(self._provider, self._calls, some):
                yield replace(one, key=one.key[len(self.prefix) :]), error

    def sign_create(self, key: str, *, seconds: int, size: int, content_type: str, sha256: bytes) -> SignedPut | None:
        """A PUT that creates; Azure's signature covers neither size nor SHA-256: the caller must verify them."""
        if self.test_put_if_absent(checked(key)) is Kept.IGNORED:
            return None
        wanted = AllowedPut(seconds=seconds, size=size, content_type=content_type, sha256=sha256)
        return self._call(key, lambda: self._provider.sign_create(self.prefix + key, wanted))

    def check(self) -> None:
        check(self, self.bucket)

    def _put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str,
        absent: bool,
        cache: str = "",
        look: bool = False,
    ) -> None:
        md5 = hashlib.md5(body, usedforsecurity=False).digest()
        put = Put(body=body, md5=md5, content_type=content_type, cache=cache)
        name = self.prefix + checked(key)

        def attempt() -> None:
            if look:
                check_free(self, key)
            self._provider.put(name, put, absent=absent)

        self._call(key, attempt)

    def _pages(self, prefix: str, after: str, until: str, on_request: Callable[[], None]) -> Iterator[Page]:
        span = Range(prefix=prefix, after=after, until=until)
        found = listed(self._provider, self._calls, self.prefix, span, on_request=on_request)
        return within(found, after=after, until=until)

    def _call(self, key: str, request: Callable[[], T]) -> T:
        return self._calls.call(key, request)

    def _blob(self, found: Blob) -> Blob:
        return replace(found, key=found.key[len(self.prefix) :])

    @cached_property
    def _client(self) -> "Client":
        with self._lock:
            return self._provider.client()

    def _target(self, key: str) -> Target:
        return Target(bucket=self.bucket, key=key, endpoint=self._provider.endpoint, cloud=self._provider.cloud)
