"""The protocol for requests to a cloud that obstore does not support, by whole object names; used by `CloudStore`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from imgctl.config.catalog_store import StoreSettings
from imgctl.model import StorageClass
from imgctl.store.blobs.address import certificates
from imgctl.store.blobs.base import Blob, Remnant, Restore, SignedPut, Tier
from imgctl.store.blobs.clouds.signed import AllowedPut
from imgctl.store.blobs.errors import ErrorResponse
from imgctl.store.blobs.listing_pages import Page

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig, RetryConfig

    from imgctl.store.blobs.bucket_store import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """Bytes to put, their metadata, and the MD5 that the server verifies."""

    body: bytes
    md5: bytes
    content_type: str
    cache: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Soft:
    """Soft delete: how long deleted objects are kept, zero if off; `permanent`: old versions may be deleted sooner."""

    retention: timedelta = timedelta(0)
    permanent: bool = False


class Provider(Protocol):
    """One bucket of a cloud. Nothing is retried; raises the clients' errors, or ErrorResponse."""

    cloud: str
    batch: int
    moves_in_place: bool
    classes: tuple[StorageClass, ...]

    @property
    def endpoint(self) -> str:
        """The URL for requests."""

    @property
    def is_own(self) -> bool:
        """Whether this is the cloud itself; an emulator may support less."""

    def client(self) -> "Client":
        """A new client for reads."""

    def etag_of(self, etag: str | None, version: str | None) -> str:
        """The value that changes with an object, from obstore's response."""

    def pinned(self, etag: str) -> "GetOptions":
        """The options of a read that fails if the object changed."""

    def put(self, name: str, put: Put, *, absent: bool) -> None:
        """Put an object; `absent`: only if the name is free. The server rejects bytes with another MD5."""

    def put_file(
        self, name: str, path: Path, *, size: int, content_type: str, sha256: bytes, call: Callable[..., object]
    ) -> None:
        """Put a file of any size in bounded memory, if the name is free; the server checks each piece.

        `call` makes each request, and retries it.
        """

    def details(self, name: str) -> Blob:
        """The object with its class; the key is its name."""

    def page(self, prefix: str, after: str, token: str) -> tuple[Page, str]:
        """A page of the objects whose names begin with `prefix` and sort after `after`, in byte order; or the page of a token.

        It may be empty; returned with the token of the next page, empty at the end.
        """

    def delete(self, names: list[str]) -> list[tuple[str, ErrorResponse]]:
        """Delete up to `batch` objects; returns those that were rejected, including missing ones."""

    def everything(self, prefix: str, token: str) -> tuple[list[Remnant], str]:
        """A page of all objects and versions whose names begin with `prefix`, deleted or not, and the token of the next."""

    def purge(self, remnants: list[Remnant], *, permanent: bool) -> list[tuple[Remnant, ErrorResponse]]:
        """Delete up to `batch` of these, each version by itself; `permanent`: also soft-deleted ones, if allowed."""

    def soft(self) -> Soft:
        """The bucket's soft-delete settings."""

    def copy(self, source: str, name: str, *, etag: str, content_type: str) -> None:
        """Copy an object that has this ETag, with its metadata, to a name that must be free, in the standard class."""

    def move(self, name: str, *, to: str, etag: str) -> Blob:
        """See BlobStore."""

    def restore(self, name: str, *, tier: Tier) -> Restore:
        """See BlobStore; a restored object stays in the standard class."""

    def keeps_versions(self) -> bool | None:
        """See BlobStore; None if only the response of a put can tell, and nothing was put yet."""

    def copied_version(self, name: str, blob: Blob) -> str | None:
        """See BlobStore."""

    def delete_version(self, name: str, version_id: str) -> None:
        """See BlobStore."""

    def sign_create(self, name: str, wanted: AllowedPut) -> SignedPut | None:
        """See BlobStore."""


def bytes_options(settings: StoreSettings, endpoint: str) -> "tuple[ClientConfig, RetryConfig]":
    """Options of the client for reads: it never retries."""
    options: ClientConfig = {"timeout": timedelta(seconds=settings.timeout)}
    options["allow_http"] = endpoint.startswith("http://")
    if settings.ca_bundle:
        options["root_certificate"] = certificates(str(Path(settings.ca_bundle).expanduser()))
    return options, {"max_retries": 0, "retry_timeout": timedelta(seconds=1)}
