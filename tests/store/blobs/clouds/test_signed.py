"""Links that create one object: compared with signatures of the clouds' SDKs, and used with the emulators.

fake-gcs-server checks neither signatures nor signed headers; Azurite checks a service SAS, but no user delegation.
The signatures are those of google-cloud-storage 3.17 and azure-storage-blob 12.23 for the same input.
"""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from types import SimpleNamespace
from typing import cast
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.store.blobs.base import BlobStore, SignedPut
from imgctl.store.blobs.clouds import signed
from imgctl.store.blobs.clouds.azure_auth import AzureAuth
from imgctl.store.blobs.clouds.google_auth import GoogleAuth
from imgctl.store.blobs.clouds.http import Http
from imgctl.store.blobs.clouds.signed import AllowedPut, azure_put, google_put
from imgctl.store.blobs.open import open_store
from tests.parts.clouds import KEY, CloudServer
from tests.parts.recorded import RecordedResponse, Stub

BLOB = "2026/11/22/019aa a-é.jpg"
JPEG = "image/jpeg"
ACCOUNT = "https://photos.blob.core.windows.net"
PATH = "p/2026/11/a%20b-%C3%A9.jpg"


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of the recorded signatures."""

    class Clock(datetime):
        @classmethod
        def now(cls, _zone: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime(2026, 11, 28, 12, tzinfo=UTC)

    monkeypatch.setattr(signed, "datetime", Clock)


WANTED = AllowedPut(seconds=900, size=5, content_type=JPEG, sha256=bytes(32))


def query_of(found: SignedPut | None) -> dict[str, str]:
    assert found is not None
    return {name: values[0] for name, values in parse_qs(urlsplit(found.url).query).items()}


@pytest.mark.usefixtures("noon")
def test_a_put_is_signed_as_googles_sdk_signs_it() -> None:
    texts: list[bytes] = []

    def sign(text: bytes) -> bytes:
        texts.append(text)
        return b"\x17"

    signer = ("a@b.iam.gserviceaccount.com", sign)
    auth = cast("GoogleAuth", SimpleNamespace(signer=lambda: signer))

    found = google_put(auth, f"https://storage.googleapis.com/bk/{PATH}", WANTED)

    assert texts[0].decode().splitlines() == [
        "GOOG4-RSA-SHA256",
        "20261128T120000Z",
        "20261128/auto/storage/goog4_request",
        "42191874be3825e29b4668241f5e37fe80329a25a2e1c408a6b17b07ae3fead8",
    ]
    assert query_of(found)["X-Goog-Signature"] == "17"
    assert found is not None and found.headers == {
        "content-type": JPEG,
        "x-goog-content-length-range": "5,5",
        "x-goog-content-sha256": "00" * 32,
        "x-goog-if-generation-match": "0",
    }


@pytest.mark.usefixtures("noon")
def test_a_put_is_signed_by_an_accounts_key_as_azures_sdk_signs_it() -> None:
    auth = AzureAuth(account="photos", endpoint=ACCOUNT, key=base64.b64decode(KEY))

    query = query_of(azure_put(auth, Http(StoreSettings(), auth.sign), f"{ACCOUNT}/cc/{PATH}", WANTED))

    assert query == {
        "sp": "c", "se": "2026-11-28T12:15:00Z", "sv": "2023-11-03", "sr": "b",
        "sig": "cRB1ITkjoYhlQiZoZMagBkKIwA0KsteldRLMUeId7HQ=",
    }  # fmt: skip


@pytest.mark.usefixtures("noon")
def test_a_put_is_signed_by_an_identity_as_azures_sdk_signs_it(stub: Stub, responses: list[RecordedResponse]) -> None:
    # Get User Delegation Key (Blob service REST API).
    key = {"SignedOid": "oid", "SignedTid": "tid", "SignedStart": "2026-11-28T11:55:00Z",
            "SignedExpiry": "2026-11-28T12:15:00Z", "SignedService": "b", "SignedVersion": "2023-11-03", "Value": KEY}  # fmt: skip
    fields = "".join(f"<{name}>{value}</{name}>" for name, value in key.items())
    responses += [
        ("POST", "comp=userdelegationkey", 200, {}, f"<UserDelegationKey>{fields}</UserDelegationKey>".encode())
    ]
    token = SimpleNamespace(token="t", expires_on=4_000_000_000)
    auth = AzureAuth(account="photos", endpoint=stub.url, identity=SimpleNamespace(get_token=lambda *_: token))

    query = query_of(azure_put(auth, Http(StoreSettings(), auth.sign), f"{stub.url}/cc/{PATH}", WANTED))

    assert query["sig"] == "yI9ypY1XfppOtW2Q6f7NG1X+Ux2s67sau9Am0sWuFS8="
    assert (query["skoid"], query["sktid"], query["skv"]) == ("oid", "tid", "2023-11-03")
    assert stub.requests[0][4] == (
        b"<KeyInfo><Start>2026-11-28T11:55:00Z</Start><Expiry>2026-11-28T12:15:00Z</Expiry></KeyInfo>"
    )


def test_credentials_that_cannot_sign_make_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    auth = AzureAuth(account="photos", endpoint=ACCOUNT, sas="sv=1&sig=x")
    person = GoogleAuth(StoreSettings())
    monkeypatch.setattr(GoogleAuth, "_found", SimpleNamespace(valid=True, token="t", expiry=None))

    assert azure_put(auth, Http(StoreSettings(), auth.sign), f"{ACCOUNT}/{PATH}", WANTED) is None
    assert google_put(person, f"https://storage.googleapis.com/bk/{PATH}", WANTED) is None


def granted(store: BlobStore, body: bytes) -> Callable[..., int]:
    found = store.sign_create(BLOB, seconds=60, size=len(body), content_type=JPEG, sha256=bytes(32))
    assert found is not None

    def put(data: bytes, *, without: str = "") -> int:
        headers = {name: value for name, value in found.headers.items() if name not in ("Content-Length", without)}
        return httpx.put(found.url, content=data, headers=headers).status_code

    return put


def test_a_link_to_a_container_creates_and_never_overwrites(azurite: CloudServer) -> None:
    store = open_store(azurite.settings(azurite.new_bucket(), prefix="p"))
    put = granted(store, b"photo")

    assert put(b"photo") == 201
    assert put(b"other") in (403, 409)
    # The permission itself excludes overwrites, also if the bearer omits headers.
    assert put(b"other", without="If-None-Match") == 403
    assert store.get(BLOB) == b"photo"
    [blob] = store.scan()
    assert blob.key == BLOB


def test_a_link_to_a_container_allows_only_a_put_of_its_name(azurite: CloudServer) -> None:
    store = open_store(azurite.settings(azurite.new_bucket()))
    found = store.sign_create(BLOB, seconds=60, size=5, content_type=JPEG, sha256=bytes(32))
    assert found is not None
    headers = {name: value for name, value in found.headers.items() if name != "Content-Length"}

    assert httpx.put(found.url.replace("019aa", "019ab"), content=b"photo", headers=headers).status_code == 403
    assert httpx.get(found.url).status_code == 403
    assert next(store.scan(), None) is None


def test_a_link_to_a_bucket_of_google_creates(gcs: CloudServer) -> None:
    store = open_store(gcs.settings(gcs.new_bucket(), prefix="p"))

    assert granted(store, b"photo")(b"photo") == 200
    assert store.get(BLOB) == b"photo"
