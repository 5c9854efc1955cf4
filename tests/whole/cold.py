"""Originals put into archive classes behind imgctl's back, and what the store says of them."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from imgctl.model import StorageClass
from imgctl.store.blobs.base import Blob, BlobStore
from imgctl.store.blobs.open import open_store
from tests.whole.deployment import Deployment


def cold_of(deployment: Deployment) -> BlobStore:
    """The storage classes of a deployment's store."""
    return open_store(deployment.store)


def originals(deployment: Deployment) -> list[Blob]:
    """Every row's original as the store describes it, in the order of ids."""
    cold = cold_of(deployment)
    found = (cold.details(image.original_key or "") for image in deployment.images())
    return [blob for blob in found if blob is not None]


def archive(deployment: Deployment, keys: Iterable[str], *, to: str = StorageClass.GLACIER) -> None:
    """Move originals into an archive class; no row learns of it."""
    cold = cold_of(deployment)
    for key in keys:
        blob = cold.details(key)
        assert blob is not None
        cold.move(key, to=to, etag=blob.etag)


def archive_all(deployment: Deployment, *, to: str = StorageClass.GLACIER) -> None:
    """Move every original into an archive class."""
    archive(deployment, [image.original_key or "" for image in deployment.images()], to=to)


def is_restore(method: str, path: str) -> bool:
    """Whether a request asks to restore an object."""
    return method == "POST" and "restore" in urlsplit(path).query.split("&")
