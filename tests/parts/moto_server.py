"""The moto server as an S3 with storage classes, restore and lifecycle: one per test process."""

import logging
from collections.abc import Iterable, Iterator

import pytest
from moto import backends
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

from tests.parts.seaweed import S3Server


@pytest.fixture(scope="session")
def moto_s3() -> Iterator[S3Server]:
    """A moto server of this test process; it checks neither credentials nor checksums."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # For each request moto reads the directory of its modules, a third of the CPU of a request.
    modules = tuple(backends.list_of_moto_modules())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(backends, "list_of_moto_modules", lambda: modules)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield S3Server(endpoint_url=f"http://{host}:{port}")
        server.stop()


def fill(bucket: str, keys: Iterable[str]) -> None:
    """Put a small object under each key without HTTP, which takes a minute for thousands."""
    for key in keys:
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(bucket, key, b"x")
