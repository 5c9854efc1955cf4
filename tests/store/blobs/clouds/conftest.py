"""Stores in front of a stub server."""

from collections.abc import Iterator

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.open import open_store
from tests.parts.clouds import KEY
from tests.parts.recorded import RecordedResponse, Stub, recorded


@pytest.fixture
def responses() -> list[RecordedResponse]:
    """The stub's responses, matched to requests in any order."""
    return []


@pytest.fixture
def stub(responses: list[RecordedResponse]) -> Iterator[Stub]:
    """A server of recorded responses."""
    with recorded(responses) as running:
        yield running


@pytest.fixture
def google(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> BlobStore:
    """A bucket of Google whose responses are all recorded."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", stub.url)
    return open_store(StoreSettings(url="gs://bk", retries=0))


@pytest.fixture
def recorded_azure(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> BlobStore:
    """A container of Azure whose responses are all recorded."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
    return open_store(StoreSettings(url="az://cc", endpoint_url=f"{stub.url}/devstoreaccount1", retries=0))
