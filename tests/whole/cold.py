"""Moves originals to archive classes without imgctl, and reads their state from the store."""

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
    """Return the store's metadata of every row's original, in the order of ids."""
    cold = cold_of(deployment)
    found = (cold.details(image.original_key or "") for image in deployment.images())
    return [blob for blob in found if blob is not None]


def archive(deployment: Deployment, keys: Iterable[str], *, to: str = StorageClass.GLACIER) -> None:
    """Move originals to an archive class without changing their rows."""
    cold = cold_of(deployment)
    for key in keys:
        blob = cold.details(key)
        assert blob is not None
        cold.move(key, to=to, etag=blob.etag)


def archive_all(deployment: Deployment, *, to: str = StorageClass.GLACIER) -> None:
    """Move every original to an archive class."""
    archive(deployment, [image.original_key or "" for image in deployment.images()], to=to)


def is_restore(method: str, path: str) -> bool:
    """Whether a request asks to restore an object."""
    return method == "POST" and "restore" in urlsplit(path).query.split("&")
