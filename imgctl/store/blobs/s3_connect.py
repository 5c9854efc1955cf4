"""How clients of S3 are made: endpoint, region, time limits, and credentials by the AWS chain."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NotRequired, Protocol, TypedDict, cast
from urllib.parse import urlsplit

from obstore.store import S3Store as ObstoreS3

from imgctl.config.endpoint import endpoint_of
from imgctl.config.settings import StoreSettings
from imgctl.errors import ConfigError
from imgctl.store.blobs.s3_credentials import in_environment, session, variable

if TYPE_CHECKING:
    from botocore.model import OperationModel
    from obstore.store import ClientConfig, RetryConfig, S3Config

_CA_HINT = "[store] ca_bundle, AWS_CA_BUNDLE, ca_bundle in the AWS config and SSL_CERT_FILE are looked at in this order"
_HEADERS = {
    "RequestPayer": "x-amz-request-payer",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "BucketKeyEnabled": "x-amz-server-side-encryption-bucket-key-enabled",
}
_CONNECT_SECONDS = 10.0
# Of boto3 alone, whose default is 10: a copy is one request of one thread.
_MOST_CONNECTIONS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Everything that decides where requests go; `endpoint_url` is empty for AWS itself, `ca_bundle` without a CA."""

    bucket: str
    endpoint_url: str
    region: str
    timeout: float
    retries: int
    options: StoreSettings
    ca_bundle: str = ""

    @property
    def endpoint(self) -> str:
        """The endpoint, without the bucket (S3 User Guide, dual-stack and FIPS endpoints)."""
        if self.endpoint_url:
            return self.endpoint_url
        fips, dual = "-fips" * self.options.fips, ".dualstack" * self.options.dual_stack
        return f"https://s3{fips}{dual}.{self.region}.amazonaws.com"

    @property
    def is_virtual_hosted(self) -> bool:
        """Whether the bucket stands in the host's name: at AWS, unless its dots would not fit the certificate."""
        if self.options.addressing == "auto":
            return not self.endpoint_url and "." not in self.bucket
        return self.options.addressing == "virtual"

    @property
    def parameters(self) -> dict[str, object]:
        """What boto3 adds to each request that can carry it."""
        found: dict[str, object] = {}
        if self.options.requester_pays:
            found["RequestPayer"] = "requester"
        if self.options.encryption:
            found["ServerSideEncryption"] = self.options.encryption
        if self.options.encryption.startswith("aws:kms"):
            if self.options.kms_key_id:
                found["SSEKMSKeyId"] = self.options.kms_key_id
            if self.options.bucket_key:
                found["BucketKeyEnabled"] = True
        return found

    @property
    def is_private(self) -> bool:
        """Whether nobody between here and the server can change bytes: TLS, or this machine."""
        parts = urlsplit(self.endpoint)
        host = parts.hostname or ""
        return parts.scheme == "https" or host in ("localhost", "::1") or host.startswith("127.")

    @property
    def headers(self) -> dict[str, str]:
        """The same as headers, for requests that others make."""
        return {_HEADERS[name]: "true" if value is True else str(value) for name, value in self.parameters.items()}

    @property
    def connect_timeout(self) -> float:
        """Seconds until a connection must stand."""
        return min(self.timeout, _CONNECT_SECONDS)


class RestoreStatus(TypedDict, total=False):
    """How a listing tells of a restore, where it was asked to."""

    IsRestoreInProgress: bool
    RestoreExpiryDate: datetime


class Listed(TypedDict):
    """One object in boto3's answer to `list_objects_v2`."""

    Key: str
    Size: int
    LastModified: datetime
    ETag: NotRequired[str]
    StorageClass: NotRequired[str]
    RestoreStatus: NotRequired[RestoreStatus]


class ListAnswer(TypedDict, total=False):
    """What of boto3's answer to `list_objects_v2` this store reads."""

    Contents: list[Listed]
    IsTruncated: bool
    NextContinuationToken: str


class HeadAnswer(TypedDict, total=False):
    """What of boto3's answer to `head_object` is read by name; the rest is taken along as it is."""

    ContentLength: int
    LastModified: datetime
    ETag: str
    StorageClass: str
    ArchiveStatus: str
    Restore: str
    VersionId: str
    MissingMeta: int
    ChecksumSHA256: str
    ChecksumType: str


class ObjectBody(Protocol):
    """What boto3 hands over of an object's bytes."""

    def read(self) -> bytes:
        """All of them."""


class GetAnswer(TypedDict):
    """What of boto3's answer to `get_object` this store reads."""

    Body: ObjectBody


class PartCopied(TypedDict):
    """What of boto3's answer to `upload_part_copy` this store reads."""

    CopyPartResult: Mapping[str, str]


class Boto3S3(Protocol):
    """The part of boto3's S3 client that this store calls."""

    def list_objects_v2(self, **arguments: object) -> ListAnswer:
        """GET /bucket?list-type=2."""

    def head_object(self, **arguments: object) -> "HeadAnswer":
        """HEAD /key."""

    def get_object(self, **arguments: object) -> GetAnswer:
        """GET /key."""

    def put_object(self, **arguments: object) -> Mapping[str, str]:
        """PUT /key."""

    def generate_presigned_url(self, method: str, **arguments: object) -> str:
        """A URL whose bearer may make one request."""

    def copy_object(self, **arguments: object) -> object:
        """PUT /key with x-amz-copy-source."""

    def upload_part_copy(self, **arguments: object) -> PartCopied:
        """PUT /key?partNumber=… with x-amz-copy-source."""

    def create_multipart_upload(self, **arguments: object) -> Mapping[str, str]:
        """POST /key?uploads."""

    def upload_part(self, **arguments: object) -> Mapping[str, str]:
        """PUT /key?partNumber=…"""

    def complete_multipart_upload(self, **arguments: object) -> Mapping[str, str]:
        """POST /key?uploadId=…"""

    def abort_multipart_upload(self, **arguments: object) -> Mapping[str, str]:
        """DELETE /key?uploadId=…"""


def connection(settings: StoreSettings, bucket: str) -> Connection:
    """Where `settings` lead: they come first, then the environment, then the AWS config file, then us-east-1."""
    endpoint_url = endpoint_of(settings, os.environ)
    if endpoint_url and (not endpoint_url.startswith(("http://", "https://")) or "@" in endpoint_url):
        raise ConfigError("[store] endpoint_url is no plain http:// or https:// url", hint="http://127.0.0.1:8333")
    return Connection(
        bucket=bucket,
        endpoint_url=endpoint_url.rstrip("/"),
        region=settings.region or variable("AWS_REGION", "AWS_DEFAULT_REGION") or _configured("region", "us-east-1"),
        timeout=settings.timeout,
        retries=settings.retries,
        options=settings,
        ca_bundle=_ca_bundle(settings) if not endpoint_url.startswith("http://") else "",
    )


def open_obstore(connection: Connection) -> ObstoreS3:
    """The client for bytes. It never retries: the store does, for every method alike, and signs each try anew."""
    config = _obstore_config(connection)
    options: ClientConfig = {
        "timeout": timedelta(seconds=connection.timeout),
        "connect_timeout": timedelta(seconds=connection.connect_timeout),
        "allow_http": connection.endpoint_url.startswith("http://"),
    }
    if connection.ca_bundle:
        options["root_certificate"] = _certificates(connection.ca_bundle)
    retries: RetryConfig = {"max_retries": 0, "retry_timeout": timedelta(seconds=1)}
    if in_environment():
        # Where obstore itself reads them.
        return ObstoreS3(connection.bucket, config=config, client_options=options, retry_config=retries)
    from obstore.auth.boto3 import Boto3CredentialProvider

    provider = Boto3CredentialProvider(session())
    return ObstoreS3(
        connection.bucket, config=config, client_options=options, retry_config=retries, credential_provider=provider
    )


def _obstore_config(connection: Connection) -> "S3Config":
    options = connection.options
    config: S3Config = {
        "region": connection.region,
        "unsigned_payload": connection.is_private,
        "virtual_hosted_style_request": connection.is_virtual_hosted,
    }
    if options.checksum != "none":
        # The server compares it with what arrived (AWS keeps it); SHA-256 would cost three times the CPU.
        config["checksum_algorithm"] = "CRC64NVME"
    else:
        # Deletions of many in one request always carry one.
        config["disable_bulk_delete"] = True
    if connection.endpoint_url or options.dual_stack or options.fips:
        url = connection.endpoint
        if connection.is_virtual_hosted:
            scheme, _, host = url.partition("://")
            url = f"{scheme}://{connection.bucket}.{host}"
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


def open_boto3(connection: Connection) -> Boto3S3:
    """The client for multipart uploads and AWS-only control, on the same credentials."""
    from botocore.config import Config

    config = Config(
        connect_timeout=connection.connect_timeout,
        read_timeout=connection.timeout,
        retries={"mode": "standard", "total_max_attempts": connection.retries + 1},
        max_pool_connections=_MOST_CONNECTIONS,
        # Servers other than AWS may refuse the checksums that boto3 adds unasked.
        request_checksum_calculation="when_required" if connection.endpoint_url else "when_supported",
        response_checksum_validation="when_required" if connection.endpoint_url else "when_supported",
        s3={"addressing_style": "virtual" if connection.is_virtual_hosted else "path"},
        use_dualstack_endpoint=connection.options.dual_stack,
        use_fips_endpoint=connection.options.fips,
        # Said, because links would else be signed as in 2006.
        signature_version="s3v4",
    )
    client = session().client(
        "s3",
        region_name=connection.region,
        endpoint_url=connection.endpoint_url or None,
        config=config,
        verify=connection.ca_bundle or None,
    )

    def add_options(params: dict[str, object], model: "OperationModel", **_: object) -> None:
        known = model.input_shape.members if model.input_shape else {}
        for name, value in connection.parameters.items():
            if name in known:
                params.setdefault(name, value)
        if connection.options.checksum == "none":
            leave_out_checksums(params)

    client.meta.events.register("provide-client-params.s3", add_options)
    return cast("Boto3S3", client)


def leave_out_checksums(params: dict[str, object]) -> None:
    """Take checksums out of a request of boto3's, and out of the list of parts that completes an upload."""
    for name in [name for name in params if name.startswith("Checksum") and name != "ChecksumMode"]:
        del params[name]
    done = params.get("MultipartUpload")
    if isinstance(done, dict):
        for part in done["Parts"]:
            part.pop("ChecksumSHA256", None)


def open_service(connection: Connection, service: str) -> object:
    """The client of another AWS service, in the bucket's region and on the same credentials."""
    from botocore.config import Config

    config = Config(
        connect_timeout=connection.connect_timeout,
        read_timeout=connection.timeout,
        retries={"mode": "standard", "total_max_attempts": connection.retries + 1},
    )
    verify = connection.ca_bundle or None
    client: object = session().client(service, region_name=connection.region, config=config, verify=verify)
    return client


def _ca_bundle(settings: StoreSettings) -> str:
    """The PEM file to trust: the setting, boto3's chain, then SSL_CERT_FILE; empty for the system's own CAs."""
    chain = variable("AWS_CA_BUNDLE") or _configured("ca_bundle") or variable("SSL_CERT_FILE")
    return os.path.expanduser(settings.ca_bundle or chain)  # noqa: PTH111


def _certificates(file: str) -> bytes:
    try:
        with open(file, "rb") as source:  # noqa: PTH123
            found = source.read()
    except OSError as error:
        raise ConfigError(f"the CA bundle {file} cannot be read: {error.strerror}", hint=_CA_HINT) from None
    if b"-----BEGIN CERTIFICATE-----" not in found:
        raise ConfigError(f"the CA bundle {file} holds no certificate in PEM", hint=_CA_HINT)
    return found


def _configured(name: str, default: str = "") -> str:
    """A value of the AWS config file, which is looked for before botocore is imported."""
    # Not pathlib, which raises where there is no home or none that may be looked into.
    file = os.path.expanduser(variable("AWS_CONFIG_FILE") or "~/.aws/config")  # noqa: PTH111
    if not os.path.isfile(file):  # noqa: PTH113
        return default
    from botocore.session import get_session

    return get_session().get_config_variable(name) or default
