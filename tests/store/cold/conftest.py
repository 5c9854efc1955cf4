"""What knows the storage classes of the stores under test."""

import pytest

from imgctl.config.settings import StoreSettings
from imgctl.store.cold.base import ColdStore
from imgctl.store.cold.open import open_cold


@pytest.fixture
def cold(settings: StoreSettings) -> ColdStore:
    """The classes of the same store."""
    return open_cold(settings)
