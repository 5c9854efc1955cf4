"""From a store's URL to what knows its storage classes."""

from imgctl.config.settings import StoreSettings
from imgctl.errors import ConfigError
from imgctl.store.blobs.open import bucket_and_prefix, local_roots
from imgctl.store.cold.base import ColdStore


def open_cold(settings: StoreSettings) -> ColdStore:
    """The classes of the store behind `settings.url`, which connects on first use; ConfigError for a URL of no store."""
    scheme, separator, rest = settings.url.partition("://")
    if separator and scheme == "file" and rest:
        from imgctl.store.cold.local import LocalCold

        root, archive = local_roots(settings)
        return LocalCold(root, archive)
    if separator and scheme == "s3":
        from imgctl.store.cold.s3 import S3Cold

        bucket, prefix = bucket_and_prefix(rest)
        return S3Cold(settings, bucket=bucket, prefix=prefix)
    # Not the URL itself: it may carry a password.
    raise ConfigError(
        f"no store is known for a url of the kind {scheme[:20]!r}",
        hint="[store] url is file://PATH or s3://BUCKET[/PREFIX]",
    )
