"""The stores under test: a directory, and buckets of SeaweedFS, moto and rclone; and a proxy that records requests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from imgctl.config.catalog_store import StoreSettings
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.open import open_store
from tests.parts.middlebox import Middlebox, anything_is_stored, middlebox

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(params=["file", "seaweed", "moto", "rclone", "azurite", "gcs"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which implementation is under test."""
    name: str = request.param
    return name


@pytest.fixture
def settings(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> StoreSettings:
    """Settings of an empty store of that kind; in buckets it has a prefix."""
    if kind == "file":
        return StoreSettings(url=f"file://{tmp_path}/blobs")
    server = request.getfixturevalue({"moto": "moto_s3", "rclone": "rclone_s3"}.get(kind, kind))
    found: StoreSettings = server.settings(server.new_bucket(), prefix="archive/one")
    return found


@pytest.fixture
def store(settings: StoreSettings) -> BlobStore:
    """An empty store of that kind."""
    return open_store(settings)


@pytest.fixture
def behind_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Middlebox]]:
    """Starts a proxy for all other hosts, https:// too; it responds to every put as if it were stored."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "proxy-ca.pem")
    with ExitStack() as running:

        def start() -> Middlebox:
            box = running.enter_context(middlebox(rule=anything_is_stored, ca=ca))
            for name in _PROXIES:
                monkeypatch.delenv(name, raising=False)
                monkeypatch.delenv(name.upper(), raising=False)
            for name in ("http_proxy", "https_proxy"):
                monkeypatch.setenv(name, box.url)
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "proxy-ca.pem"))
            monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "proxy-ca.pem"))
            return box

        yield start
