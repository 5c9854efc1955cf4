"""A bucket and its clients: obstore for bytes, boto3 for the rest; both open on first use, and requests are retried here."""

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from obstore.store import S3Store as ObstoreS3

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import BlobMissing, ConfigError, StoreError
from imgctl.keys import is_utf8
from imgctl.store.blobs.address import bucket_and_prefix, certificates
from imgctl.store.blobs.errors import Target
from imgctl.store.blobs.listing_pages import Page, columns_of
from imgctl.store.blobs.retries import Calls
from imgctl.store.blobs.s3.connect import Connection, connection, in_environment, session
from imgctl.store.blobs.traits import Traits

if TYPE_CHECKING:
    from botocore.model import OperationModel
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef as ListResponse
    from obstore.store import ClientConfig, RetryConfig, S3Config

T = TypeVar("T")

# boto3's default is 10: each copying thread has one request at a time.
_MOST_CONNECTIONS = 128


class Bucket:
    """A bucket, and the prefix of the store in it (empty, or ending with a slash); thread-safe."""

    def __init__(self, settings: StoreSettings, *, name: str, prefix: str = "") -> None:
        self.name = name
        self.prefix = prefix
        self.calls = Calls(settings.retries, self._target)
        self.traits = Traits()
        self.lock = threading.RLock()
        self._settings = settings
        self._where: Connection | None = None
        self._bytes: ObstoreS3 | None = None
        self._client: S3Client | None = None

    @property
    def where(self) -> Connection:
        """The connection settings."""
        if self._where is None:
            self._where = connection(self._settings, self.name)
        return self._where

    @property
    def is_aws(self) -> bool:
        """Whether this is S3 itself; other servers may support less."""
        return not self.where.endpoint_url

    @property
    def bytes(self) -> ObstoreS3:
        """The client for bytes."""
        if self._bytes is None:
            with self.lock:
                if self._bytes is None:
                    self._bytes = open_obstore(self.where)
        return self._bytes

    @property
    def client(self) -> "S3Client":
        """The client for multipart uploads, listings and AWS-only control, on the same credentials."""
        if self._client is None:
            with self.lock:
                if self._client is None:
                    self._client = cast("S3Client", open_boto3(self.where))
        return self._client

    def place(self, key: str) -> dict[str, object]:
        """The arguments for a key's object: boto3 accepts every name that a bucket can hold."""
        if not is_utf8(key):
            raise BlobMissing(f"there is no blob {key}", hint=f"looked in bucket {self.name}")
        return {"Bucket": self.name, "Key": self.prefix + key}

    def request(self, operation: Callable[..., T], key: str, **arguments: object) -> T:
        """Call one of boto3's operations on a key's object, with retries."""
        return self.call(key, operation, **self.place(key), **arguments)

    def call(self, key: str, request: Callable[..., T], **arguments: object) -> T:
        """Make a request with retries (see Calls); `key` is for the error's text, empty for the bucket."""
        return self.calls.call(key, request, **arguments)

    def judged(self, error: Exception, key: str = "") -> StoreError | None:
        """The StoreError for a permanent client error; None for any other."""
        return self.calls.judged(error, key)

    def _target(self, key: str) -> Target:
        return Target(bucket=self.name, key=key, endpoint=self.where.endpoint)


def bucket_of(settings: StoreSettings) -> Bucket:
    """The bucket of `settings.url`; ConfigError if the store is not an S3 bucket."""
    scheme, _, rest = settings.url.partition("://")
    if scheme != "s3":
        hint = "set [store] url to s3://BUCKET[/PREFIX]"
        raise ConfigError("SQS events, batch jobs and these lifecycle rules exist for S3 buckets only", hint=hint)
    name, prefix = bucket_and_prefix(rest)
    return Bucket(settings, name=name, prefix=prefix)


def once(request: Callable[..., T], **arguments: object) -> T:
    """Make one boto3 request without retries; the stubs don't accept arguments from a dictionary."""
    return request(**arguments)


def open_obstore(where: Connection) -> ObstoreS3:
    """The client for bytes: it never retries, so that each try gets a new signature."""
    options: ClientConfig = {
        "timeout": timedelta(seconds=where.options.timeout),
        "connect_timeout": timedelta(seconds=where.connect_timeout),
        "allow_http": where.endpoint_url.startswith("http://"),
    }
    if where.ca_bundle:
        options["root_certificate"] = certificates(where.ca_bundle)
    retries: RetryConfig = {"max_retries": 0, "retry_timeout": timedelta(seconds=1)}
    config = _obstore_config(where)
    if where.options.anonymous:
        config["skip_signature"] = True
    if where.options.anonymous or (in_environment() and not where.options.profile):
        # obstore itself reads credentials from the environment.
        return ObstoreS3(where.bucket, config=config, client_options=options, retry_config=retries)
    from obstore.auth.boto3 import Boto3CredentialProvider

    provider = Boto3CredentialProvider(session(where.options.profile))
    return ObstoreS3(
        where.bucket, config=config, client_options=options, retry_config=retries, credential_provider=provider
    )


def _obstore_config(where: Connection) -> "S3Config":
    options = where.options
    config: S3Config = {
        "region": where.region,
        "unsigned_payload": where.is_private,
        "virtual_hosted_style_request": where.is_virtual_hosted,
    }
    if options.checksum != "none":
        # The server verifies the received bytes with it (AWS stores it); SHA-256 would cost three times the CPU.
        config["checksum_algorithm"] = "CRC64NVME"
    else:
        # Bulk deletions always send a checksum.
        config["disable_bulk_delete"] = True
    if where.endpoint_url or options.dual_stack or options.fips:
        url = where.endpoint
        if where.is_virtual_hosted:
            scheme, _, host = url.partition("://")
            url = f"{scheme}://{where.bucket}.{host}"
        # Both names: AWS_ENDPOINT_URL_S3 in the environment would win over `endpoint`.
        config |= {"endpoint": url, "aws_endpoint_url_s3": url}
    if options.encryption:
        config["server_side_encryption"] = options.encryption
    if options.encryption.startswith("aws:kms"):
        config["sse_bucket_key_enabled"] = options.bucket_key
        if options.kms_key_id:
            config["sse_kms_key_id"] = options.kms_key_id
    if options.requester_pays:
        config["request_payer"] = True
    return config


def open_boto3(where: Connection, service: str = "s3", *, at: str = "") -> object:
    """A client of S3, or of another AWS service in the bucket's region, on the same credentials; it never retries.

    `at` is the URL of the other service, if it is not AWS's default.
    """
    from botocore.config import Config

    endpoint_url = where.endpoint_url if service == "s3" else at
    # Servers other than AWS may reject the checksums that boto3 adds by default.
    checksums = "when_required" if endpoint_url else "when_supported"
    config = Config(
        connect_timeout=where.connect_timeout,
        read_timeout=where.options.timeout,
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=_MOST_CONNECTIONS,
        request_checksum_calculation=checksums,
        response_checksum_validation=checksums,
    )
    if service == "s3":
        config = config.merge(
            Config(
                s3={"addressing_style": "virtual" if where.is_virtual_hosted else "path"},
                use_dualstack_endpoint=where.options.dual_stack,
                use_fips_endpoint=where.options.fips,
                # Explicit, because the default for links is the old signature version 2.
                signature_version="s3v4",
            )
        )
    if where.options.anonymous:
        from botocore import UNSIGNED

        config = config.merge(Config(signature_version=UNSIGNED))
    client = session(where.options.profile, anonymous=where.options.anonymous).client(
        service,
        region_name=where.region,
        endpoint_url=endpoint_url or None,
        config=config,
        verify=where.ca_bundle or None,
    )
    if service == "s3":
        client.meta.events.register("provide-client-params.s3", partial(_add_options, where))
        # This event name runs before botocore's own check for an error in a 200, which parses the whole page.
        client.meta.events.register("before-parse.*.ListObjectsV2", _read_columns)
    made: object = client
    return made


def _add_options(where: Connection, params: dict[str, object], model: "OperationModel", **_: object) -> None:
    known = model.input_shape.members if model.input_shape else {}
    for name, value in where.parameters.items():
        if name in known:
            params.setdefault(name, value)
    if where.options.checksum == "none":
        leave_out_checksums(params)


def leave_out_checksums(params: dict[str, object]) -> None:
    """Remove checksums from the parameters of a boto3 request, and from the list of parts that completes an upload."""
    for name in [name for name in params if name.startswith("Checksum") and name != "ChecksumMode"]:
        del params[name]
    done = params.get("MultipartUpload")
    if isinstance(done, dict):
        for part in done["Parts"]:
            part.pop("ChecksumSHA256", None)


def columns_in(response: "ListResponse") -> Page | None:
    """Return the objects of a listing if `_read_columns` could read them; else None, and they are in its `Contents`."""
    return cast("Mapping[str, Page]", response).get("Columns")


def _read_columns(response_dict: dict[str, bytes], customized_response_dict: dict[str, Page], **_: object) -> None:
    body = response_dict["body"]
    if (page := columns_of(body)) is not None:
        customized_response_dict["Columns"] = page
        response_dict["body"] = body[: body.index(b"<Contents>")] + body[body.rindex(b"</Contents>") + 11 :]
