"""What requests to AWS and its like are signed with: the AWS chain."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from imgctl.errors import StoreDenied

if TYPE_CHECKING:
    from boto3.session import Session
    from botocore.loaders import Loader

_NO_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role"


def in_environment() -> bool:
    """Whether the environment, the first link of the chain, has them: importing botocore takes a quarter of a second."""
    return bool(variable("AWS_ACCESS_KEY_ID") and variable("AWS_SECRET_ACCESS_KEY"))


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


def link_limit(seconds: float) -> str:
    """Why a link signed now may end before `seconds` have passed, with the way out; empty when nothing cuts it short.

    A link dies with the session credentials that signed it (S3 User Guide, "Sharing objects with presigned URLs").
    """
    if in_environment() and not variable("AWS_SESSION_TOKEN"):
        return ""
    with _read():
        credentials = session().get_credentials()
        frozen = credentials.get_frozen_credentials()
    if not frozen.token:
        return ""
    way_out = "sign it with the keys of a user for a longer one"
    if not hasattr(credentials, "refresh_needed"):
        return f"the link ends when its session credentials do, which do not say when; {way_out}"
    if credentials.refresh_needed(refresh_in=math.ceil(seconds)):
        return f"the session credentials end sooner than the link, and the link with them; {way_out}"
    return ""


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
