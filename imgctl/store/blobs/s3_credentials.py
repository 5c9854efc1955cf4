"""What requests to AWS and its like are signed with: the AWS chain, and its first link read without botocore."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from imgctl.errors import StoreDenied

if TYPE_CHECKING:
    from boto3.session import Session
    from botocore.loaders import Loader

_NO_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A key, its secret, and a token, which is empty for keys that do not expire."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)


def fixed_credentials() -> Credentials | None:
    """Those of the environment, the first link of the chain: importing botocore takes a quarter of a second."""
    key, secret = variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")
    if not key or not secret:
        return None
    return Credentials(access_key=key, secret_key=secret, token=variable("AWS_SESSION_TOKEN"))


def current_credentials() -> Callable[[], Credentials]:
    """Something that answers the chain's credentials, renewed where they expire; StoreDenied where there are none."""
    if fixed := fixed_credentials():
        return lambda: fixed
    found = session().get_credentials()
    assert found is not None

    def current() -> Credentials:
        with _read():
            frozen = found.get_frozen_credentials()
        return Credentials(access_key=frozen.access_key, secret_key=frozen.secret_key, token=frozen.token or "")

    return current


def session() -> "Session":
    """A session of boto3 that has credentials; StoreDenied where it finds none."""
    from boto3.session import Session
    from botocore.session import get_session

    with _read():
        core = get_session()
        core.register_component("data_loader", service_models())
        made = Session(botocore_session=core)
        found = made.get_credentials()
    if found is None:
        raise StoreDenied("no AWS credentials are set", hint=_NO_CREDENTIALS)
    return made


@cache
def service_models() -> "Loader":
    """Where botocore's descriptions of services are read and kept, for all sessions: a tenth of a second for S3's."""
    from botocore.loaders import create_loader

    return create_loader()


def variable(*names: str) -> str:
    """The first of these environment variables that says something, or nothing."""
    return next((value for name in names if (value := os.environ.get(name, "").strip())), "")


@contextmanager
def _read() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError

    try:
        yield
    except BotoCoreError as error:
        # A missing profile, half a pair of keys, a renewal refused: botocore's text names which, never a value.
        raise StoreDenied(f"the AWS credentials cannot be read: {error}", hint=_NO_CREDENTIALS) from None
