"""Bucket names, environment variables and private CAs, for all providers."""

import os
import re

from imgctl.errors import ConfigError

_CA_HINT = "[store] ca_bundle, AWS_CA_BUNDLE, ca_bundle in the AWS config and SSL_CERT_FILE are checked in this order"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


def bucket_and_prefix(rest: str) -> tuple[str, str]:
    """Split the part after `s3://` into bucket and prefix; the prefix is empty or ends with a slash."""
    if "@" in rest:
        raise ConfigError(
            "the bucket's URL contains credentials", hint="imgctl reads them from the AWS chain, never from a URL"
        )
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    if not _BUCKET.fullmatch(bucket):
        raise ConfigError(f"invalid bucket name: {bucket!r}", hint="a bucket's URL is s3://BUCKET[/PREFIX]")
    return bucket, f"{prefix}/" if prefix else ""


def certificates(file: str) -> bytes:
    """Read a CA bundle; ConfigError if it cannot be read or contains no PEM certificate."""
    try:
        with open(file, "rb") as source:  # noqa: PTH123
            found = source.read()
    except OSError as error:
        raise ConfigError(f"the CA bundle {file} cannot be read: {error.strerror}", hint=_CA_HINT) from None
    if b"-----BEGIN CERTIFICATE-----" not in found:
        raise ConfigError(f"the CA bundle {file} contains no PEM certificate", hint=_CA_HINT)
    return found


def variable(*names: str) -> str:
    """The value of the first of these environment variables that is not empty, or an empty text."""
    return next((value for name in names if (value := os.environ.get(name, "").strip())), "")
