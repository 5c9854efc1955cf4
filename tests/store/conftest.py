"""The stores under test: one directory, one SeaweedFS bucket, one moto bucket."""

from pathlib import Path

import pytest

from imgctl.config.settings import StoreSettings
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.open import open_store


@pytest.fixture(params=["file", "seaweed", "moto"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which implementation is under test."""
    name: str = request.param
    return name


@pytest.fixture
def settings(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> StoreSettings:
    """Settings of an empty store of that kind; those in buckets are under a prefix."""
    if kind == "file":
        return StoreSettings(url=f"file://{tmp_path}/blobs")
    server = request.getfixturevalue({"seaweed": "seaweed", "moto": "moto_s3"}[kind])
    found: StoreSettings = server.settings(server.new_bucket(), prefix="archive/one")
    return found


@pytest.fixture
def store(settings: StoreSettings) -> BlobStore:
    """An empty store of that kind."""
    return open_store(settings)
