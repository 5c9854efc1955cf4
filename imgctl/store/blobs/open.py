"""From a store's URL to the store."""

import re
from pathlib import Path

from imgctl.config.settings import StoreSettings
from imgctl.errors import ConfigError
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.names import beside

_HINT = "[store] url is file://PATH or s3://BUCKET[/PREFIX]"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


def open_store(settings: StoreSettings) -> BlobStore:
    """The store behind `settings.url`, which connects on first use; ConfigError for a URL that names none.

    A relative `file://` path counts from the working directory of this moment.
    """
    scheme, separator, rest = settings.url.partition("://")
    if separator and scheme == "file" and rest:
        from imgctl.store.blobs.local import LocalStore

        root, archive = local_roots(settings)
        return LocalStore(root, archive)
    if separator and scheme == "s3":
        from imgctl.store.blobs.s3 import S3Store

        bucket, prefix = bucket_and_prefix(rest)
        return S3Store(settings, bucket=bucket, prefix=prefix)
    # Not the URL itself: it may carry a password.
    raise ConfigError(f"no store is known for a url of the kind {scheme[:20]!r}", hint=_HINT)


def local_roots(settings: StoreSettings) -> tuple[Path, Path]:
    """The directory of a `file://` store and the one of its archived originals; ConfigError where one holds the other."""
    root = Path(settings.url.partition("://")[2]).expanduser().absolute()
    archive = Path(settings.archive).expanduser().absolute() if settings.archive else beside(root)
    one, other = root.resolve(), archive.resolve()
    if one.is_relative_to(other) or other.is_relative_to(one):
        hint = f"a directory beside it: {beside(root)}"
        raise ConfigError(f"[store] archive {archive} and the store {root} lie one in the other", hint=hint)
    return root, archive


def bucket_and_prefix(rest: str) -> tuple[str, str]:
    """What follows `s3://` taken apart; the prefix is empty or ends with a slash."""
    if "@" in rest:
        raise ConfigError("the store's url carries credentials", hint="they come from the AWS chain, never from a url")
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    if not _BUCKET.fullmatch(bucket):
        raise ConfigError(f"{bucket!r} is no name of a bucket", hint=_HINT)
    return bucket, f"{prefix}/" if prefix else ""
