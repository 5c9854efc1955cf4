"""Tokens of Google and Azure: a run waits for the network, but not for credentials that are rejected."""

import json
from pathlib import Path
from typing import NoReturn

import pytest
from azure.core.exceptions import AzureError, ClientAuthenticationError, ServiceRequestError, ServiceResponseError

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import StoreDenied, StoreError, StoreUnavailable
from imgctl.store.blobs.clouds.azure_auth import AzureAuth
from imgctl.store.blobs.open import open_store
from tests.parts.clouds import CloudServer
from tests.parts.recorded import RecordedResponse, Stub


def test_an_unreachable_token_server_of_google_is_no_denial(gcs: CloudServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing listens at the token server of this account.
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    store = open_store(StoreSettings(url="gs://bk", endpoint_url=gcs.endpoint_url, retries=0))

    with pytest.raises(StoreUnavailable, match="no token from Google"):
        store.details("2026/11/22/019aa-original.jpg")


def test_a_token_server_of_google_that_rejects_the_account_is_a_denial(
    gcs: CloudServer, stub: Stub, responses: list[RecordedResponse], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = json.loads(Path(gcs.environment["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
    (tmp_path / "account.json").write_text(json.dumps({**account, "token_uri": f"{stub.url}/token"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    responses += [("POST", "/token", 400, {"Content-Type": "application/json"}, b'{"error": "invalid_grant"}')]
    store = open_store(StoreSettings(url="gs://bk", endpoint_url=gcs.endpoint_url, retries=0))

    with pytest.raises(StoreDenied, match="invalid_grant"):
        store.details("2026/11/22/019aa-original.jpg")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ServiceRequestError("unreachable"), StoreUnavailable),
        (ServiceResponseError("reset"), StoreUnavailable),
        (ClientAuthenticationError("no such tenant"), StoreDenied),
    ],
)
def test_only_an_identity_that_azure_rejects_is_a_denial(error: AzureError, expected: type[StoreError]) -> None:
    class Identity:
        def get_token(self, *_scopes: str) -> NoReturn:
            raise error

    auth = AzureAuth(account="a", endpoint="https://a.blob.core.windows.net", identity=Identity())

    with pytest.raises(expected):
        auth.credential()
