"""Stores behind which a stub stands."""

from collections.abc import Iterator

import pytest

from imgctl.config.places import StoreSettings
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.open import open_store
from tests.parts.clouds import KEY
from tests.parts.recorded import Answer, Stub, recorded


@pytest.fixture
def answers() -> list[Answer]:
    """What the stub answers, in whatever order it fits."""
    return []


@pytest.fixture
def stub(answers: list[Answer]) -> Iterator[Stub]:
    """A server of recorded answers."""
    with recorded(answers) as running:
        yield running


@pytest.fixture
def google(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> BlobStore:
    """A bucket of Google, of which every answer is recorded."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", stub.url)
    return open_store(StoreSettings(url="gs://bk", retries=0))


@pytest.fixture
def recorded_azure(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> BlobStore:
    """A container of Azure, of which every answer is recorded."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
    return open_store(StoreSettings(url="az://cc", endpoint_url=f"{stub.url}/devstoreaccount1", retries=0))
