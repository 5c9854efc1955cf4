"""Resolves endpoint, region and credentials of a bucket from settings, environment and the AWS chain."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import ConfigError, StoreDenied
from imgctl.store.blobs.address import variable

if TYPE_CHECKING:
    from boto3.session import Session
    from botocore.loaders import Loader

_NO_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role"
_CONNECT_SECONDS = 10.0
_HEADERS = {
    "RequestPayer": "x-amz-request-payer",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "BucketKeyEnabled": "x-amz-server-side-encryption-bucket-key-enabled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """The resolved connection settings; `endpoint_url` is empty for AWS itself, `ca_bundle` without a CA."""

    bucket: str
    endpoint_url: str
    region: str
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
        """Whether the host name contains the bucket: at AWS, unless its dots don't match the certificate."""
        if self.options.addressing == "auto":
            return not self.endpoint_url and "." not in self.bucket
        return self.options.addressing == "virtual"

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters that boto3 adds to each request that accepts them."""
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
        """Whether the connection protects the bytes from changes: TLS, or this machine."""
        parts = urlsplit(self.endpoint)
        host = parts.hostname or ""
        return parts.scheme == "https" or host in ("localhost", "::1") or host.startswith("127.")

    @property
    def headers(self) -> dict[str, str]:
        """`parameters` as headers, for requests made by other clients."""
        return {_HEADERS[name]: "true" if value is True else str(value) for name, value in self.parameters.items()}

    @property
    def connect_timeout(self) -> float:
        """The timeout to connect, in seconds."""
        return min(self.options.timeout, _CONNECT_SECONDS)


def connection(settings: StoreSettings, bucket: str) -> Connection:
    """Resolve the connection: from `settings`, then the environment, then the AWS config file, then us-east-1."""
    endpoint_url = settings.endpoint(os.environ)
    if endpoint_url and (not endpoint_url.startswith(("http://", "https://")) or "@" in endpoint_url):
        raise ConfigError(
            "invalid [store] endpoint_url: not a plain http:// or https:// url", hint="http://127.0.0.1:8333"
        )
    return Connection(
        bucket=bucket,
        endpoint_url=endpoint_url.rstrip("/"),
        region=settings.region or _region(settings.profile),
        options=settings,
        ca_bundle=_ca_bundle(settings) if not endpoint_url.startswith("http://") else "",
    )


def _region(profile: str) -> str:
    """The region of the AWS chain; a profile's region takes precedence over the environment."""
    own = _configured("region", profile=profile) if profile else ""
    return own or variable("AWS_REGION", "AWS_DEFAULT_REGION") or _configured("region", "us-east-1")


def _ca_bundle(settings: StoreSettings) -> str:
    """The PEM file to trust: the setting, boto3's chain, then SSL_CERT_FILE; empty for the system's own CAs."""
    chain = variable("AWS_CA_BUNDLE") or _configured("ca_bundle") or variable("SSL_CERT_FILE")
    return os.path.expanduser(settings.ca_bundle or chain)  # noqa: PTH111


def _configured(name: str, default: str = "", *, profile: str = "") -> str:
    """Read a value of the AWS config file; botocore is imported only if the file exists."""
    # Not pathlib, which raises if there is no home directory or no permission to read it.
    file = os.path.expanduser(variable("AWS_CONFIG_FILE") or "~/.aws/config")  # noqa: PTH111
    if not os.path.isfile(file):  # noqa: PTH113
        return default
    from botocore.session import Session

    with _read():
        found: str | None = Session(profile=profile or None).get_scoped_config().get(name)
    return found or default


def in_environment() -> bool:
    """Whether the environment has the credentials, so that botocore (a quarter of a second to import) is not needed."""
    return bool(variable("AWS_ACCESS_KEY_ID") and variable("AWS_SECRET_ACCESS_KEY"))


def session(profile: str = "", *, anonymous: bool = False) -> "Session":
    """Return a boto3 session with credentials, from `profile` if given; StoreDenied if there are none.

    An `anonymous` session needs none.
    """
    from boto3.session import Session
    from botocore.session import Session as Core

    with _read():
        core = Core(profile=profile or None)
        core.register_component("data_loader", service_models())
        made = Session(botocore_session=core)
        found = anonymous or made.get_credentials()
    if not found:
        raise StoreDenied("no AWS credentials are set", hint=_NO_CREDENTIALS)
    return made


def link_limit(seconds: float) -> str:
    """Return why a link signed now may expire before `seconds` have passed, and the remedy; empty if it does not.

    A link expires with the session credentials that signed it (S3 User Guide, "Sharing objects with presigned URLs").
    """
    if in_environment() and not variable("AWS_SESSION_TOKEN"):
        return ""
    with _read():
        credentials = session().get_credentials()
        frozen = credentials.get_frozen_credentials()
    if not frozen.token:
        return ""
    remedy = "for a longer one, sign it with the keys of an IAM user"
    if not hasattr(credentials, "refresh_needed"):
        return f"the link expires with its session credentials, whose end is unknown; {remedy}"
    if credentials.refresh_needed(refresh_in=math.ceil(seconds)):
        return f"the session credentials expire sooner than the link, and the link with them; {remedy}"
    return ""


@cache
def service_models() -> "Loader":
    """The shared loader and cache of botocore's service models: loading S3's takes a tenth of a second."""
    from botocore.loaders import create_loader

    return create_loader()


@contextmanager
def _read() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError

    try:
        yield
    except BotoCoreError as error:
        # A missing profile, half a pair of keys, a failed renewal: botocore's text names the cause, never a value.
        raise StoreDenied(f"the AWS credentials cannot be read: {error}", hint=_NO_CREDENTIALS) from None
