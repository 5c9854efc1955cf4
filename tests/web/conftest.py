"""Servers for the tests, over Postgres and SeaweedFS or over SQLite and a directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.config.settings import Settings
from tests.parts.seaweed import S3Server
from tests.web.server import Served, served, settings_for


@pytest.fixture
def remote(postgres_url: str, seaweed: S3Server, tmp_path: Path) -> Settings:
    """Settings over Postgres and a bucket."""
    return settings_for(postgres_url, seaweed.settings(seaweed.new_bucket(), retries=1), spool=str(tmp_path / "spool"))


@pytest.fixture
def local(tmp_path: Path) -> Settings:
    """Settings over SQLite and a directory."""
    store = StoreSettings(url=f"file://{tmp_path}/blobs")
    return settings_for(f"sqlite:///{tmp_path}/catalog.db", store, spool=str(tmp_path / "spool"))


@pytest.fixture
def server(remote: Settings) -> Iterator[Served]:
    """A server over Postgres and a bucket."""
    with served(remote) as found:
        yield found


@pytest.fixture
def local_server(local: Settings) -> Iterator[Served]:
    """A server over SQLite and a directory."""
    with served(local) as found:
        yield found


@pytest.fixture(params=["server", "local_server"])
def either(request: pytest.FixtureRequest) -> Served:
    """Each of the two servers."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Served)
    return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server for all tests of a module that only read; its limit for uploads is small."""
    place = tmp_path_factory.mktemp("shared")
    store = StoreSettings(url=f"file://{place}/blobs")
    settings = settings_for(f"sqlite:///{place}/catalog.db", store, spool=str(place / "spool"), max_bytes=2**18)
    with served(settings) as found:
        yield found
