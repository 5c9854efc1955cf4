"""A bucket's traits, tested with requests that it should reject or obey; the probes are deleted again."""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from uuid import uuid4

import obstore

from imgctl.errors import (
    BlobCorrupt,
    BlobExists,
    BucketMissing,
    StoreDenied,
    StoreError,
    StoreUnavailable,
    StoreUnsupported,
)
from imgctl.keys import PROBES
from imgctl.store.blobs.s3.bucket import Bucket, columns_in, once
from imgctl.store.blobs.s3.multipart import put_chunks
from imgctl.store.blobs.traits import Kept, Traits, put_twice, warning
from imgctl.units import count_of

log = logging.getLogger(__name__)

# With these servers a HEAD checks that a key is absent.
LACKING = (Kept.IGNORED, Kept.NOT_IMPLEMENTED)

# The check value of CRC-64/NVME, 0xae8b14860a799888, as S3 writes it, and another body of the same length.
_BODY, _OTHER, _CRC64NVME = b"123456789", b"987654321", "rosUhgp5mIg="
_TYPE = "text/plain"
# The smallest part but the last (S3 User Guide, multipart upload limits).
_PART_BYTES = 5 * 2**20
# Byte order, which is neither the order of put nor that of a dictionary.
_ORDERED = ("B", "a", "a1", "b", "é")


def put_if_absent(bucket: Bucket, key: str) -> Kept:
    """Whether a put under an existing key is rejected, tested by putting a small object twice under a new name.

    UNKNOWN if these puts are forbidden. A missing feature is logged once. After a StoreError the next call tests again;
    `key` is the key in error texts.
    """
    if (kept := bucket.traits.put_if_absent) is not None:
        return kept
    with bucket.lock:
        if (kept := bucket.traits.put_if_absent) is None:
            kept = bucket.traits.put_if_absent = _put_twice(bucket, key)
            if text := warning(kept):
                log.warning("bucket %s: %s", bucket.name, text)
    return kept


def _put_twice(bucket: Bucket, key: str) -> Kept:
    name = f"{bucket.prefix}{PROBES}{uuid4()}"
    put = partial(obstore.put, bucket.bytes, name, b"imgctl", mode="create", use_multipart=False)
    delete = partial(obstore.delete, bucket.bytes, name)
    try:
        return put_twice(partial(bucket.call, key, put), delete=partial(bucket.call, key, delete))
    except StoreUnsupported:
        return Kept.NOT_IMPLEMENTED


def all_traits(bucket: Bucket, *, checksum: bool) -> Traits:
    """Test all traits of the bucket, put-if-absent only if it is not yet tested; `checksum`: whether puts have one."""
    put_if_absent(bucket, "")
    traits, prober = bucket.traits, _Prober(bucket)
    try:
        traits.checksum = prober.checksum() if checksum else Kept.UNKNOWN
        traits.order, traits.if_match, traits.etag = prober.order(), prober.if_match(), prober.etag()
    finally:
        with suppress(StoreError):
            bucket.call("", partial(obstore.delete, bucket.bytes, prober.put))
    return traits


def multipart(bucket: Bucket, key: str) -> Kept:
    """Whether completing a multipart put under an existing key is rejected; the first object stays there."""
    body = memoryview(bytes(_PART_BYTES) + _BODY)
    put_chunks(bucket, key, iter((body[:_PART_BYTES], body[_PART_BYTES:])), _TYPE, condition={})
    if (size := bucket.request(bucket.client.head_object, key)["ContentLength"]) != len(body):
        message = f"{key} has {count_of(size, 'byte')}, its two parts had {len(body):,}"
        raise BlobCorrupt(message, hint="use another server")
    try:
        put_chunks(bucket, key, iter((memoryview(_OTHER),)), _TYPE)
    except BlobExists:
        return Kept.YES
    except StoreUnsupported:
        return Kept.NOT_IMPLEMENTED
    return Kept.IGNORED


def object_lock(bucket: Bucket) -> str | None:
    """The default retention of a bucket with Object Lock, empty if it has none; None without Object Lock."""
    try:
        response = bucket.call("", bucket.client.get_object_lock_configuration, Bucket=bucket.name)
    except (BucketMissing, StoreDenied, StoreUnavailable):
        raise
    except StoreError:
        # 404 if it was never enabled; other servers don't implement the request.
        return None
    configuration = response.get("ObjectLockConfiguration", {})
    if configuration.get("ObjectLockEnabled") != "Enabled":
        return None
    kept = configuration.get("Rule", {}).get("DefaultRetention", {})
    spans = [count_of(kept[name], name.lower().removesuffix("s")) for name in ("Days", "Years") if kept.get(name)]
    return f"{kept.get('Mode')} for {spans[0]}" if spans else ""


class _Prober:
    """Tests one server; all its objects are under one prefix, and `put` lists their names."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._name = f"{bucket.prefix}{PROBES}{uuid4()}/"
        self.put: list[str] = []

    def etag(self) -> Kept:
        """Whether PUT returns the object's ETag."""
        return Kept.YES if self._put("etag") else Kept.IGNORED

    def checksum(self) -> Kept:
        """Whether a body that differs from its CRC64NVME is rejected."""
        wrong = {**self._object("wrong"), "Body": _OTHER, "ChecksumCRC64NVME": _CRC64NVME}
        return Kept.YES if self._rejects(partial(once, self._bucket.client.put_object, **wrong)) else Kept.IGNORED

    def order(self) -> Kept:
        """Whether a listing is in byte order, and begins after start-after."""
        for name in reversed(_ORDERED):
            self._put(f"order/{name}")
        whole, rest = self._listed(""), self._listed(f"{self._name}order/{_ORDERED[1]}")
        wanted = [f"{self._name}order/{name}" for name in _ORDERED]
        return Kept.YES if (whole, rest) == (wanted, wanted[2:]) else Kept.IGNORED

    def if_match(self) -> Kept:
        """Whether a ranged GET returns its range, and is rejected with another ETag."""
        self._put("range")
        get, ranged = self._bucket.client.get_object, {**self._object("range"), "Range": "bytes=2-4"}

        def is_part() -> bool:
            return bool(once(get, **ranged)["Body"].read() == _BODY[2:5])

        if not self._bucket.call("", is_part):
            return Kept.NOT_IMPLEMENTED
        other = '"00000000000000000000000000000000"'
        return Kept.YES if self._rejects(partial(once, get, **ranged, IfMatch=other)) else Kept.IGNORED

    def _object(self, name: str) -> dict[str, object]:
        if (whole := self._name + name) not in self.put:
            self.put.append(whole)
        return {"Bucket": self._bucket.name, "Key": whole}

    def _put(self, name: str) -> str:
        """Put a probe; returns its ETag, empty if the response has none."""
        response = self._bucket.call("", self._bucket.client.put_object, **self._object(name), Body=_BODY)
        return response.get("ETag", "")

    def _listed(self, after: str) -> list[str]:
        wanted = {"Bucket": self._bucket.name, "Prefix": f"{self._name}order/", "StartAfter": after}
        response = self._bucket.call("", self._bucket.client.list_objects_v2, **wanted)
        if (columns := columns_in(response)) is not None:
            return list(columns.keys)
        return [found["Key"] for found in response.get("Contents", ())]

    def _rejects(self, request: Callable[[], object]) -> bool:
        """Whether the server rejects this request, for a reason other than permissions or load."""
        try:
            self._bucket.call("", request)
        except (StoreDenied, StoreUnavailable):
            raise
        except StoreError:
            return True
        return False
