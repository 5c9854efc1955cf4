"""The bucket as boto3 sees it, for what obstore does not know: the client's typed face, and requests tried again."""

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypedDict, TypeVar, cast

from imgctl.config.settings import StoreSettings
from imgctl.errors import BlobMissing, ConfigError
from imgctl.store.blobs.names import is_utf8
from imgctl.store.blobs.open import bucket_and_prefix
from imgctl.store.blobs.s3_boto import FAILURES, failure_of
from imgctl.store.blobs.s3_connect import Boto3S3, Connection, connection, open_boto3
from imgctl.store.blobs.s3_failure import Target

T = TypeVar("T")

_FIRST_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS = 0.1, 15.0


class RestoreAnswer(TypedDict):
    """What of boto3's answer to `restore_object` is read."""

    ResponseMetadata: Mapping[str, object]


class TagAnswer(TypedDict):
    """What of boto3's answer to `get_object_tagging` is read."""

    TagSet: list[Mapping[str, str]]


class ControlS3(Boto3S3, Protocol):
    """The part of boto3's S3 client that storage classes, restores and lifecycle rules need."""

    def restore_object(self, **arguments: object) -> RestoreAnswer:
        """POST /key?restore."""

    def get_object_tagging(self, **arguments: object) -> TagAnswer:
        """GET /key?tagging."""

    def delete_object(self, **arguments: object) -> object:
        """DELETE /key?versionId=…"""

    def get_bucket_versioning(self, **arguments: object) -> Mapping[str, object]:
        """GET /bucket?versioning."""

    def get_bucket_lifecycle_configuration(self, **arguments: object) -> Mapping[str, object]:
        """GET /bucket?lifecycle."""

    def put_bucket_lifecycle_configuration(self, **arguments: object) -> object:
        """PUT /bucket?lifecycle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket, the prefix below which the store lies (empty, or ending with a slash), and a client of it."""

    where: Connection
    prefix: str
    client: ControlS3

    @property
    def name(self) -> str:
        """The bucket's name."""
        return self.where.bucket

    @property
    def is_aws(self) -> bool:
        """Whether this is S3 itself: other servers may know less."""
        return not self.where.endpoint_url

    def object(self, key: str) -> dict[str, object]:
        """The arguments that name a key's object: boto3 takes every name that a bucket can hold."""
        if not is_utf8(key):
            raise BlobMissing(f"there is no blob {key}", hint=f"looked in bucket {self.name}")
        return {"Bucket": self.name, "Key": self.prefix + key}

    def target(self, key: str = "") -> Target:
        """What errors name; an empty key is the bucket."""
        return Target(bucket=self.name, key=key, endpoint=self.where.endpoint)

    def call(self, key: str, request: Callable[[], T]) -> T:
        """Ask until answered, at most `retries` times again, with full jitter (the client itself never retries)."""
        for attempt in range(self.where.retries + 1):
            try:
                return request()
            except FAILURES as error:
                failure = failure_of(error, self.target(key))
                if not failure.transient or attempt == self.where.retries:
                    # Without its cause, whose text repeats what servers say of credentials.
                    raise failure.error from None
            time.sleep(random.uniform(0, min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2**attempt)))
        raise AssertionError("unreachable")


class LazyBucket:
    """A bucket that is connected to on first use, in the process that uses it."""

    def __init__(self, settings: StoreSettings, *, bucket: str, prefix: str) -> None:
        self._settings = settings
        self._name = bucket
        self._prefix = prefix
        self._lock = threading.Lock()
        self._opened: Bucket | None = None

    def open(self) -> Bucket:
        """The bucket, connected."""
        with self._lock:
            if self._opened is None:
                self._opened = connected(self._settings, self._name, self._prefix)
            return self._opened


def bucket_of(settings: StoreSettings) -> Bucket:
    """The bucket behind `settings.url`, connected; ConfigError for a store that is none."""
    scheme, _, rest = settings.url.partition("://")
    if scheme != "s3":
        hint = "[store] url is s3://BUCKET[/PREFIX]; leave --via out"
        raise ConfigError("lifecycle rules and batch jobs exist for buckets only", hint=hint)
    return connected(settings, *bucket_and_prefix(rest))


def connected(settings: StoreSettings, bucket: str, prefix: str) -> Bucket:
    """The bucket with a client of its own, which never retries: `Bucket.call` does, and knows which errors may pass."""
    where = connection(settings, bucket)
    client = cast("ControlS3", open_boto3(replace(where, retries=0)))
    return Bucket(where=where, prefix=prefix, client=client)
