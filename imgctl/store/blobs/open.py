"""Opens the store of a URL."""

from pathlib import Path
from typing import TYPE_CHECKING

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import ConfigError
from imgctl.store.blobs.base import BlobStore, beside

if TYPE_CHECKING:
    from imgctl.store.blobs.clouds.provider import Provider


def open_store(settings: StoreSettings) -> BlobStore:
    """Return the store of `settings.url`, which connects on first use; ConfigError for an unknown kind of URL.

    A relative `file://` path is relative to the current working directory.
    """
    scheme, separator, rest = settings.url.partition("://")
    if separator and scheme == "file" and rest:
        from imgctl.store.blobs.local import LocalStore

        root, archive = local_roots(settings, rest)
        return LocalStore(root, archive)
    if separator and scheme == "s3":
        from imgctl.store.blobs.address import bucket_and_prefix
        from imgctl.store.blobs.s3.store import S3Store

        bucket, prefix = bucket_and_prefix(rest)
        return S3Store(settings, bucket=bucket, prefix=prefix)
    if separator and scheme in ("az", "gs"):
        from imgctl.store.blobs.address import bucket_and_prefix
        from imgctl.store.blobs.clouds.store import CloudStore

        bucket, prefix = bucket_and_prefix(rest)
        return CloudStore(settings, _provider(settings, scheme, bucket), bucket=bucket, prefix=prefix)
    # Not the URL itself: it may carry a password.
    hint = "[store] url is file://PATH, s3://BUCKET[/PREFIX], gs://BUCKET[/PREFIX] or az://CONTAINER[/PREFIX]"
    raise ConfigError(f"unknown kind of store: {scheme[:20]!r}", hint=hint)


def _provider(settings: StoreSettings, scheme: str, bucket: str) -> "Provider":
    """Return the provider for `gs` or `az`."""
    if scheme == "gs":
        from imgctl.store.blobs.clouds.google import Google

        return Google(settings, bucket)
    from imgctl.store.blobs.clouds.azure import Azure

    return Azure(settings, bucket)


def local_roots(settings: StoreSettings, path: str) -> tuple[Path, Path]:
    """The directory of a `file://` store and the one of its archived originals; ConfigError if one contains the other."""
    root = Path(path).expanduser().absolute()
    archive = Path(settings.archive).expanduser().absolute() if settings.archive else beside(root)
    one, other = root.resolve(), archive.resolve()
    if one.is_relative_to(other) or other.is_relative_to(one):
        hint = f"use a directory beside it: {beside(root)}"
        raise ConfigError(f"[store] archive {archive} and the store {root} must not contain each other", hint=hint)
    return root, archive
