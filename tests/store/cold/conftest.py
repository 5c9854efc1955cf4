"""What knows the storage classes of the stores under test."""

import pytest

from imgctl.config.settings import StoreSettings
from imgctl.store.cold.base import ColdStore
from imgctl.store.cold.open import open_cold


@pytest.fixture(params=["file", "seaweed", "moto"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which implementation is under test: rclone's server knows no storage classes."""
    name: str = request.param
    return name


@pytest.fixture
def cold(settings: StoreSettings) -> ColdStore:
    """The classes of the same store."""
    return open_cold(settings)
