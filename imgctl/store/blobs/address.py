"""Where buckets of every provider are: names, environment variables and private CAs."""

import os
import re

from imgctl.errors import ConfigError

_CA_HINT = "[store] ca_bundle, AWS_CA_BUNDLE, ca_bundle in the AWS config and SSL_CERT_FILE are looked at in this order"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


def bucket_and_prefix(rest: str) -> tuple[str, str]:
    """What follows `s3://`, split; the prefix is empty or ends with a slash."""
    if "@" in rest:
        raise ConfigError("the store's url carries credentials", hint="they come from the AWS chain, never from a url")
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    if not _BUCKET.fullmatch(bucket):
        raise ConfigError(f"invalid bucket name: {bucket!r}", hint="[store] url is s3://BUCKET[/PREFIX]")
    return bucket, f"{prefix}/" if prefix else ""


def certificates(file: str) -> bytes:
    """The bundle's bytes; ConfigError where it cannot be read or holds no certificate in PEM."""
    try:
        with open(file, "rb") as source:  # noqa: PTH123
            found = source.read()
    except OSError as error:
        raise ConfigError(f"the CA bundle {file} cannot be read: {error.strerror}", hint=_CA_HINT) from None
    if b"-----BEGIN CERTIFICATE-----" not in found:
        raise ConfigError(f"the CA bundle {file} holds no certificate in PEM", hint=_CA_HINT)
    return found


def variable(*names: str) -> str:
    """The first of these environment variables that says something, or nothing."""
    return next((value for name in names if (value := os.environ.get(name, "").strip())), "")
