"""Read-only access to buckets of S3, Google Cloud Storage and Azure: listed page by page, one request for each object."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import obstore

from imgctl.config.catalog_store import SourceSettings
from imgctl.errors import BlobMissing, ConfigError
from imgctl.store.blobs.address import bucket_and_prefix, certificates
from imgctl.store.blobs.base import Blob, is_portable
from imgctl.store.blobs.errors import Target, failure_of
from imgctl.store.blobs.listing_pages import Page, bare
from imgctl.store.blobs.s3.listing import pages_of
from imgctl.store.blobs.s3.store import S3Store

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef
    from obstore import GetResult
    from obstore.store import AzureConfig, ClientConfig, GCSConfig, ObjectStore, RetryConfig

R = TypeVar("R")

PIECE = 2**20
SCHEMES = ("s3", "gs", "az")
_PROVIDERS = {"gs": "Google Cloud Storage", "az": "Azure"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """An object while it is being read: its size, its ETag without quotes, and its bytes, readable once: whole or in pieces."""

    size: int
    etag: str
    whole: Callable[[], bytes]
    pieces: Callable[[], Iterator[bytes]]


class Elsewhere(Protocol):
    """A bucket below one prefix, to be read; keys count from the prefix. Every method raises the matching StoreError."""

    bucket: str
    prefix: str

    @property
    def endpoint(self) -> str:
        """The endpoint's URL, or the provider's name."""

    def pages(self, beginning: str = "") -> Iterator[Page]:
        """Objects with their classes whose keys begin with `beginning`, up to a thousand a page and a request."""

    def head(self, key: str) -> Blob | None:
        """One object with its class, or None."""

    def read(self, key: str, take: Callable[[Got], R]) -> R:
        """Read an object in one request and return the result of `take`, which is called again if the connection breaks."""


def open_elsewhere(settings: SourceSettings) -> Elsewhere:
    """The bucket of `settings.url`, which connects on first use; ConfigError for an invalid URL."""
    scheme, _, rest = settings.url.partition("://")
    if scheme not in SCHEMES:
        # The URL is not shown: it may contain a password.
        raise ConfigError(
            f"unknown kind of source: {scheme[:20]!r}", hint="s3://, gs:// or az://, then BUCKET[/PREFIX]"
        )
    bucket, prefix = bucket_and_prefix(rest)
    if scheme == "s3":
        return S3Elsewhere(settings, bucket, prefix)
    return CloudElsewhere(settings, scheme, bucket, prefix)


class S3Elsewhere:
    """Objects of S3 or a compatible server: listed by boto3, which returns classes and all names exactly."""

    def __init__(self, settings: SourceSettings, bucket: str, prefix: str) -> None:
        self._store = S3Store(settings.as_store(), bucket=bucket, prefix=prefix)
        self.bucket, self.prefix = bucket, prefix

    @property
    def endpoint(self) -> str:
        return self._store.bucket.where.endpoint

    def pages(self, beginning: str = "") -> Iterator[Page]:
        return pages_of(self._store.bucket, prefix=beginning)

    def head(self, key: str) -> Blob | None:
        return self._store.details(key)

    def read(self, key: str, take: Callable[[Got], R]) -> R:
        bucket = self._store.bucket
        if is_portable(bucket.prefix + key):
            return bucket.call(
                key,
                lambda: take(_got(obstore.get(bucket.bytes, bucket.prefix + key), lambda etag, _: bare(etag or ""))),
            )
        # Names that obstore would alter: empty parts, dots, control characters.
        return bucket.call(
            key, lambda: take(_got_by_boto3(bucket.client.get_object(Bucket=bucket.name, Key=bucket.prefix + key)))
        )


class CloudElsewhere:
    """Objects of Google Cloud Storage or Azure; obstore finds the credentials in their own chains, and retries."""

    def __init__(self, settings: SourceSettings, scheme: str, bucket: str, prefix: str) -> None:
        self.bucket, self.prefix = bucket, prefix
        self._settings = settings
        self._scheme = scheme

    @property
    def endpoint(self) -> str:
        return self._settings.endpoint_url or f"{_PROVIDERS[self._scheme]} {self._settings.account}".rstrip()

    def pages(self, beginning: str = "") -> Iterator[Page]:
        whole = self.prefix + beginning
        found = self._call(
            "",
            lambda: iter(obstore.list(self._store, whole[: whole.rfind("/") + 1].rstrip("/") or None, chunk_size=1000)),
        )
        while (some := self._call("", lambda: next(found, None))) is not None:
            mine = [one for one in some if one["path"].startswith(whole)]
            yield Page(
                tuple(one["path"][len(self.prefix) :] for one in mine),
                tuple(one["size"] for one in mine),
                tuple(one["last_modified"] for one in mine),
                # Listings have no class; reads of archived objects succeed all the same.
                ("STANDARD",) * len(mine),
                tuple(_stamp(one["e_tag"], one["version"]) for one in mine),
            )

    def head(self, key: str) -> Blob | None:
        try:
            found = self._call(key, lambda: obstore.head(self._store, self.prefix + key))
        except BlobMissing:
            return None
        etag = _stamp(found["e_tag"], found["version"])
        return Blob(key=key, size=found["size"], modified_at=found["last_modified"], etag=etag)

    def read(self, key: str, take: Callable[[Got], R]) -> R:
        return self._call(key, lambda: take(_got(obstore.get(self._store, self.prefix + key), _stamp)))

    @cached_property
    def _store(self) -> "ObjectStore":
        from obstore.store import AzureStore, GCSStore

        settings = self._settings
        options: ClientConfig = {"timeout": timedelta(seconds=settings.timeout)}
        options["allow_http"] = settings.endpoint_url.startswith("http://")
        if settings.ca_bundle:
            options["root_certificate"] = certificates(str(Path(settings.ca_bundle).expanduser()))
        retries: RetryConfig = {"max_retries": settings.retries}
        if self._scheme == "gs":
            google: GCSConfig = {"skip_signature": settings.anonymous}
            if settings.endpoint_url:
                google["base_url"] = settings.endpoint_url
            return GCSStore(self.bucket, config=google, client_options=options, retry_config=retries)
        azure: AzureConfig = {"skip_signature": settings.anonymous}
        if settings.account:
            azure["account_name"] = settings.account
        if settings.endpoint_url:
            azure["endpoint"] = settings.endpoint_url
        return AzureStore(self.bucket, config=azure, client_options=options, retry_config=retries)

    def _call(self, key: str, request: Callable[[], R]) -> R:
        try:
            return request()
        except Exception as error:
            failure = failure_of(error, Target(bucket=self.bucket, key=key, endpoint=self.endpoint))
            if failure is None:
                raise
            raise failure.error from None


def _got(response: "GetResult", etag_of: Callable[[str | None, str | None], str]) -> Got:
    return Got(
        size=response.meta["size"],
        etag=etag_of(response.meta["e_tag"], response.meta["version"]),
        whole=lambda: response.bytes().to_bytes(),
        pieces=lambda: map(bytes, response.stream(min_chunk_size=PIECE)),
    )


def _got_by_boto3(response: "GetObjectOutputTypeDef") -> Got:
    body = response["Body"]
    return Got(
        size=response["ContentLength"],
        etag=bare(response.get("ETag", "")),
        whole=body.read,
        pieces=lambda: body.iter_chunks(PIECE),
    )


def _stamp(etag: str | None, version: str | None) -> str:
    """A value that changes with an object: its ETag and its version (a generation at Google)."""
    return " ".join(filter(None, (bare(etag or ""), version)))
