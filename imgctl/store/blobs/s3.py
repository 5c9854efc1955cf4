"""The store that is a bucket: S3 and whatever speaks it."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, cast
from uuid import uuid4

import obstore

from imgctl.config.settings import StoreSettings
from imgctl.errors import BlobCorrupt, BlobExists, BlobMissing, StoreError
from imgctl.keys import PROBES
from imgctl.store.blobs.base import IMMUTABLE, Blob, SignedPut
from imgctl.store.blobs.files import read_checked, replaced
from imgctl.store.blobs.names import checked, is_portable
from imgctl.store.blobs.s3_absent import LACKING, PutIfAbsent
from imgctl.store.blobs.s3_connect import Boto3S3, Connection, connection, open_boto3, open_obstore
from imgctl.store.blobs.s3_failure import FAILURES, Target, failure_of
from imgctl.store.blobs.s3_listing import Listing, PlainPage, blob_of, blobs_of
from imgctl.store.blobs.traits import Kept, Traits

if TYPE_CHECKING:
    from obstore import Attributes, GetOptions, ObjectMeta
    from obstore.store import S3Store as ObstoreS3

T = TypeVar("T")
Method = Literal["GET", "PUT", "HEAD", "DELETE"]

Mode = Literal["create", "overwrite"]

_ONE_PUT_BYTES = 64 * 2**20
_DELETE_BATCH = 1000
_FIRST_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS = 0.1, 15.0


class S3Store:
    """Blobs as objects of one bucket, all under one prefix (empty, or ending with a slash)."""

    def __init__(self, settings: StoreSettings, *, bucket: str, prefix: str = "") -> None:
        self._settings = settings
        self._bucket = bucket
        self._prefix = prefix
        self._lock = threading.Lock()
        self._opened: tuple[Connection, ObstoreS3] | None = None
        self._control: Boto3S3 | None = None
        self._absent = PutIfAbsent(bucket)
        self._pushbacks = 0

    @property
    def pushbacks(self) -> int:
        """How often the server asked for patience: 5xx, 429, resets and timeouts."""
        return self._pushbacks

    @property
    def put_if_absent(self) -> Kept | None:
        """Whether the server refuses a put under a key that is taken; None before the first `create` or `copy`."""
        return self._absent.found

    def traits(self) -> Traits:
        """What the server does of what imgctl's laws rest on, each tried on small objects that are deleted again."""
        from imgctl.store.blobs.s3_traits import Prober

        kept = self._find_put_if_absent("")
        prober = Prober(self._boto3(), self._target(""), f"{self._prefix}{PROBES}{uuid4()}/")
        try:
            return Traits(
                put_if_absent=kept,
                checksum=prober.checksum() if self._settings.checksum != "none" else Kept.UNKNOWN,
                order=prober.order(),
                if_match=prober.if_match(),
                etag=prober.etag(),
            )
        finally:
            with suppress(StoreError):
                self._call("", partial(obstore.delete, self._store, prober.put))

    def create(self, key: str, body: bytes, *, content_type: str) -> None:
        """Put if absent, with a CRC64NVME that the server checks; a try committed without an answer ends in BlobExists.

        A server that lacks put-if-absent is asked by HEAD first.
        """
        name = checked(key)
        kept = self._find_put_if_absent(name)
        if kept in LACKING and self.head(key) is not None:
            raise BlobExists(f"{key} is already in the store")
        mode: Mode = "overwrite" if kept is Kept.NOT_IMPLEMENTED else "create"
        self._put(key, body, {"Content-Type": content_type}, mode=mode)

    def create_file(self, key: str, path: Path, *, size: int, content_type: str, sha256: bytes) -> None:
        """Like `create`; beyond 64 MiB in parts, one part in memory, each checked, the last step put-if-absent."""
        if size <= _ONE_PUT_BYTES:
            body = read_checked(path, size=size, sha256=sha256)
            self.create(key, body, content_type=content_type)
            return
        if self.head(key) is not None:
            raise BlobExists(f"{key} is already in the store")
        from imgctl.store.blobs.s3_boto import upload_file

        client, target, name = self._boto3(), self._target(key), self._prefix + key
        try:
            upload_file(
                client,
                target,
                name,
                path,
                size=size,
                content_type=content_type,
                sha256=sha256,
                condition=self._condition(key),
            )
        except BlobMissing:
            # The upload is gone: its completion was committed unheard, and then asked for again.
            if self.head(key) is None:
                raise
            raise BlobExists(f"{key} is already in the store") from None

    def replace(self, key: str, body: bytes, *, content_type: str, cache_control: str = IMMUTABLE) -> None:
        """Put, over an older blob if there is one."""
        described = {"Content-Type": content_type} | ({"Cache-Control": cache_control} if cache_control else {})
        self._put(key, body, described, mode="overwrite")

    def get(self, key: str) -> bytes:
        """The whole blob; BlobMissing, or BlobArchived where it must be restored first."""
        name = self._prefix + checked(key)
        return self._call(key, lambda: obstore.get(self._store, name).bytes().to_bytes())

    def read(self, key: str, *, start: int, length: int, etag: str) -> bytes:
        """Up to `length` bytes from `start` on; BlobCorrupt when the object no longer has this ETag."""
        name, options = self._prefix + checked(key), _range(start, length, etag)
        try:
            return self._call(key, lambda: obstore.get(self._store, name, options=options).bytes().to_bytes())
        except BlobExists:
            # Said of every precondition that fails.
            raise replaced(key) from None

    def copy(self, source_key: str, key: str, *, etag: str, content_type: str) -> None:
        """Copy on the server, beyond 5 GiB in parts; what is there stays, also where a server knows no conditions."""
        source, name = self._prefix + checked(source_key), self._prefix + checked(key)
        condition = self._condition(key)
        if self._open()[0].endpoint_url and self.head(key) is not None:
            raise BlobExists(f"{key} is already in the store")
        from imgctl.store.blobs.s3_copy import copy_object, description

        found = self._call(source_key, lambda: obstore.get(self._store, source, options={"head": True}))
        copy = partial(
            copy_object,
            etag=etag,
            size=found.meta["size"],
            described=description(found.attributes, content_type),
            replaces=found.attributes.get("Content-Type") != content_type,
            condition=condition,
        )
        try:
            copy(self._boto3(), self._target(source_key), source, name)
        except BlobExists:
            if self.head(key) is None:
                raise replaced(source_key) from None
            raise BlobExists(f"{key} is already in the store") from None

    def head(self, key: str) -> Blob | None:
        """The blob's description, or None when there is none (or no bucket: HEAD does not say which).

        Without its storage class: obstore does not read it.
        """
        name = self._prefix + key
        # Names that obstore would alter may well lie in the bucket: others put there what they like.
        ask = partial(obstore.head, self._store, name) if is_portable(key) else partial(self._plain_head, name)
        try:
            return blob_of(self._call(key, ask), key)
        except BlobMissing:
            return None

    def scan(self, *, prefix: str = "", after: str = "", until: str = "") -> Iterator[Blob]:
        """Blobs in UTF-8 byte order of their keys; a page that fails is asked for again from the last key on."""
        pages = self.pages(prefix=prefix, after=after)
        return blobs_of(pages, under=self._prefix, prefix=prefix, after=after, until=until)

    def pages(
        self, *, prefix: str = "", after: str = "", asked: Callable[[], None] = lambda: None
    ) -> "Iterator[Sequence[ObjectMeta]]":
        """What `scan` is made of: whole pages as they come, names with the store's own prefix, some not asked for.

        `asked` hears of each request.
        """
        listing = Listing(
            self._store,
            prefix=self._prefix + prefix,
            after=self._prefix + after,
            plain_page=self._plain_page,
            asked=asked,
        )
        return iter(lambda: tuple(self._call("", listing.page)), ())

    @property
    def prefix(self) -> str:
        """What stands before every key in the bucket."""
        return self._prefix

    def delete(self, keys: Iterable[str]) -> None:
        """Delete blobs, a thousand a request; one that is already gone is no error."""
        names = (self._prefix + checked(key) for key in keys)
        while batch := list(islice(names, _DELETE_BATCH)):
            self._call(batch[0] if len(batch) == 1 else "", partial(obstore.delete, self._store, batch))

    def sign(self, key: str, *, seconds: int, method: str = "GET") -> str:
        """A URL that lets its bearer do `method` on the blob for `seconds` (at most seven days on AWS)."""
        name, known = self._prefix + checked(key), cast("Method", method)
        return self._call(key, lambda: obstore.sign(self._store, known, name, timedelta(seconds=seconds)))

    def sign_create(self, key: str, *, seconds: int, size: int, content_type: str, sha256: bytes) -> SignedPut | None:
        """A PUT whose size, type, SHA-256 and put-if-absent are part of the signature; None where it could overwrite."""
        if self._find_put_if_absent(checked(key)) in LACKING:
            return None
        from imgctl.store.blobs.s3_boto import sign_put

        client, target, name = self._boto3(), self._target(key), self._prefix + checked(key)
        return sign_put(
            client,
            target,
            name,
            seconds=seconds,
            size=size,
            content_type=content_type,
            sha256=sha256,
            others=self._open()[0].headers,
        )

    def stored_sha256(self, key: str) -> bytes | None:
        """What HEAD says of an object that was put whole with its SHA-256."""
        from imgctl.store.blobs.s3_boto import stored_sha256

        return stored_sha256(self._boto3(), self._target(key), self._prefix + checked(key))

    def check(self) -> None:
        """List, then put, read and delete a probe: a put alone may make a bucket that is missing."""
        key, body = f"{PROBES}{uuid4()}", b"imgctl"
        next(self.scan(prefix=key), None)
        try:
            self.replace(key, body, content_type="text/plain")
            if self.get(key) != body:
                raise BlobCorrupt(f"bucket {self._bucket} does not give back what was put", hint="check the endpoint")
        except BaseException:
            with suppress(StoreError):
                self.delete([key])
            raise
        self.delete([key])

    def _find_put_if_absent(self, key: str) -> Kept:
        """Whether the server has it; `key` is what the caller is about to put, for the text of errors."""
        return self._absent.find(self._store, partial(self._call, key), prefix=self._prefix)

    def _condition(self, key: str) -> Mapping[str, str]:
        """Put-if-absent as boto3 takes it; nothing for a server that would refuse the header."""
        from imgctl.store.blobs.s3_boto import IF_ABSENT

        return {} if self._find_put_if_absent(key) is Kept.NOT_IMPLEMENTED else IF_ABSENT

    def _plain_page(self, prefix: str, after: str) -> "PlainPage":
        from imgctl.store.blobs.s3_boto import list_page

        return list_page(self._boto3(), self._target(""), prefix, after)

    def _plain_head(self, name: str) -> "ObjectMeta":
        from imgctl.store.blobs.s3_boto import head_object

        return head_object(self._boto3(), self._target(name), name)

    def _boto3(self) -> Boto3S3:
        where = self._open()[0]
        with self._lock:
            if self._control is None:
                self._control = open_boto3(where)
            return self._control

    @property
    def _store(self) -> "ObstoreS3":
        opened = self._opened
        return opened[1] if opened is not None else self._open()[1]

    def _open(self) -> "tuple[Connection, ObstoreS3]":
        with self._lock:
            if self._opened is None:
                where = connection(self._settings, self._bucket)
                self._opened = (where, open_obstore(where))
            return self._opened

    def _put(self, key: str, body: bytes, described: "Attributes", *, mode: Mode) -> None:
        name = self._prefix + checked(key)
        put = partial(obstore.put, self._store, name, body, attributes=described, mode=mode, use_multipart=False)
        self._call(key, put)

    def _target(self, key: str) -> Target:
        return Target(bucket=self._bucket, key=key, endpoint=self._open()[0].endpoint)

    def _call(self, key: str, request: Callable[[], T]) -> T:
        """Ask until answered, at most `retries` times again, with full jitter (the client itself never retries)."""
        for attempt in range(self._settings.retries + 1):
            try:
                return request()
            except FAILURES as error:
                failure = failure_of(error, self._target(key))
                self._pushbacks += failure.transient
                if not failure.transient or attempt == self._settings.retries:
                    # Without its cause, whose text repeats what servers say of credentials.
                    raise failure.error from None
            time.sleep(random.uniform(0, min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2**attempt)))
        raise AssertionError("unreachable")


def _range(start: int, length: int, etag: str) -> "GetOptions":
    return {"range": (start, start + length), "if_match": f'"{etag}"'}
