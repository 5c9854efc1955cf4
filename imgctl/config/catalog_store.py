"""Settings of locations: the catalog, the store, and buckets to upload from."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from imgctl.config.setting_field import DAY, PREFIX, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogSettings:
    """The catalog database."""

    url: str = setting(
        "sqlite:///imgctl-data/catalog.db",
        "the database URL: sqlite:///PATH or postgresql+psycopg://USER@HOST/DATABASE",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketSettings:
    """Connection settings shared by stores and sources."""

    url: str = ""
    endpoint_url: str = setting("", "the endpoint, if it is not the provider's default: http://127.0.0.1:8333")
    region: str = setting("", "the bucket's region; empty: from the AWS configuration chain, else us-east-1")
    profile: str = setting("", "the AWS profile whose credentials are used; empty: from the AWS configuration chain")
    account: str = setting("", "the storage account of an az:// container; empty: AZURE_STORAGE_ACCOUNT_NAME")
    requester_pays: bool = setting(default=False, doc="agree to pay for requests to a requester-pays bucket")
    addressing: Literal["auto", "path", "virtual"] = setting(
        "auto", "position of the bucket's name: in the path, or in the host (virtual); auto: in the host for AWS only"
    )
    ca_bundle: str = setting(
        "", "the PEM file of a private CA; empty: AWS_CA_BUNDLE, the AWS config's ca_bundle, SSL_CERT_FILE"
    )
    timeout: float = setting(
        60.0, "a request that takes longer is cancelled and retried", unit="seconds", least=0.1, most=DAY
    )
    retries: int = setting(
        8,
        "how often one request is retried after 5xx, 429, a reset or a timeout; `serve`: 2 at most",
        least=0,
        most=100,
    )

    def reached(self) -> dict[str, Any]:
        """The fields of this class as a dict, to build other settings for the same bucket."""
        return {field.name: getattr(self, field.name) for field in fields(BucketSettings)}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings(BucketSettings):
    """The object store."""

    url: str = setting(
        "file://imgctl-data/blobs",
        "the store URL: file://PATH, s3://BUCKET[/PREFIX], gs://BUCKET[/PREFIX] or az://CONTAINER[/PREFIX]",
    )
    originals_prefix: str = setting(
        "",
        "the prefix of the keys of originals, for policies and lifecycle rules; ends in a slash: originals/",
        pattern=PREFIX,
    )
    variants_prefix: str = setting("", "the prefix of the keys of variants: variants/", pattern=PREFIX)
    archive: str = setting(
        "", "the directory of archived originals of a file:// store; empty: beside the store, `.archive` appended"
    )
    checksum: Literal["crc64nvme", "none"] = setting(
        "crc64nvme", "the checksum sent with puts; none: for servers that reject checksum headers"
    )
    encryption: Literal["", "AES256", "aws:kms", "aws:kms:dsse"] = setting(
        "", "the server-side encryption requested by puts: AES256, aws:kms or aws:kms:dsse; empty: the bucket's default"
    )
    kms_key_id: str = setting("", "the KMS key of aws:kms and aws:kms:dsse; empty: the AWS managed key")
    bucket_key: bool = setting(default=False, doc="use an S3 Bucket Key with aws:kms, for fewer requests to KMS")
    dual_stack: bool = setting(default=False, doc="use AWS's endpoints for IPv6 and IPv4")
    fips: bool = setting(default=False, doc="use AWS's FIPS endpoints")
    # Set for sources only.
    anonymous: bool = False

    def as_source(self, url: str) -> "SourceSettings":
        """Convert to settings of a source at `url`."""
        return SourceSettings(**self.reached() | {"url": url})

    def endpoint(self, environ: Mapping[str, str]) -> str:
        """The endpoint URL in force: this setting, else the AWS variables; empty for AWS itself."""
        named = (environ.get(name, "").strip() for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))
        return self.endpoint_url or next(filter(None, named), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings(BucketSettings):
    """A bucket to upload from, `source:NAME` on the command line; its credentials come from their own chain."""

    url: str = setting(
        "", "the URL to upload from: s3://BUCKET[/PREFIX], gs://BUCKET[/PREFIX] or az://CONTAINER[/PREFIX]"
    )
    anonymous: bool = setting(default=False, doc="send no credentials: for public buckets")

    def as_store(self) -> StoreSettings:
        """Convert to settings of a store."""
        return StoreSettings(**self.reached(), anonymous=self.anonymous)
