"""Storage classes of the clouds: Azurite's tiers, and responses from the documentation of Google and Azure.

Azurite sets tiers and rejects reads of Archive, but rehydrates at once; fake-gcs-server loses the class in a rewrite.
A stub returns the other responses; owners of an account can test it by `doctor --conformance`.
"""

import json
from datetime import UTC, datetime

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import BlobArchived, BlobCorrupt, StoreError, StoreUnavailable
from imgctl.store.blobs.base import BlobStore, Restore, Tier
from imgctl.store.blobs.open import open_store
from tests.parts.clouds import KEY as ACCOUNT_KEY
from tests.parts.clouds import CloudServer
from tests.parts.recorded import RecordedResponse, Stub

KEY = "2026/11/22/019aa-original.jpg"
JPEG = "image/jpeg"


@pytest.fixture
def azure(azurite: CloudServer) -> BlobStore:
    store = open_store(azurite.settings(azurite.new_bucket()))
    store.create(KEY, b"photo", content_type=JPEG)
    return store


def etag(store: BlobStore) -> str:
    found = store.head(KEY)
    assert found is not None
    return found.etag


@pytest.mark.parametrize("to", ["COOL", "COLD"])
def test_a_tier_that_can_be_read_is_set_in_place(azure: BlobStore, to: str) -> None:
    before = etag(azure)

    moved = azure.move(KEY, to=to, etag=before)

    assert (moved.storage_class, moved.etag, moved.size) == (to, before, 5)
    assert next(azure.scan()).storage_class == to
    assert azure.get(KEY) == b"photo"
    assert azure.move(KEY, to=to, etag="whatever").storage_class == to


def test_an_archived_blob_is_read_only_after_a_restore(azure: BlobStore) -> None:
    moved = azure.move(KEY, to="AZURE_ARCHIVE", etag=etag(azure))
    assert (moved.storage_class, moved.readable) == ("AZURE_ARCHIVE", False)
    with pytest.raises(BlobArchived):
        azure.get(KEY)
    with pytest.raises(BlobArchived):
        azure.move(KEY, to="COOL", etag=moved.etag)

    assert azure.restore(KEY, tier=Tier.STANDARD, days=None) is Restore.STARTED

    found = azure.details(KEY)
    assert found is not None and found.storage_class == "STANDARD"
    assert azure.get(KEY) == b"photo"


def test_an_archived_blob_is_not_copied(azure: BlobStore) -> None:
    # Azure would rehydrate it into the copy: billed, and up to 15 hours (Rehydrate an archived blob, Azure Storage).
    moved = azure.move(KEY, to="AZURE_ARCHIVE", etag=etag(azure))

    with pytest.raises(BlobArchived):
        azure.copy(KEY, "trash/2026-11-28/1", etag=moved.etag, content_type=JPEG)
    assert azure.head("trash/2026-11-28/1") is None


def test_a_changed_blob_is_not_moved(azure: BlobStore) -> None:
    with pytest.raises(BlobCorrupt, match="changed meanwhile"):
        azure.move(KEY, to="COOL", etag="0x0")
    with pytest.raises(StoreError, match="unknown storage class to move to: GLACIER"):
        azure.move(KEY, to="GLACIER", etag=etag(azure))


def resource(generation: int, storage_class: str, crc32c: str = "AAAA") -> bytes:
    """An object in the format of `Objects: get` (JSON API reference)."""
    return json.dumps(
        {
            "kind": "storage#object", "name": KEY, "bucket": "bk", "generation": str(generation), "metageneration": "1",
            "contentType": JPEG, "storageClass": storage_class, "size": "5", "crc32c": crc32c,
            "timeCreated": "2026-01-02T03:04:05.678Z", "updated": "2026-01-02T03:04:05.678Z",
            "cacheControl": "public", "metadata": {"owner": "me"},
        }
    ).encode()  # fmt: skip


def test_an_object_of_google_is_rewritten_in_pieces_with_all_metadata(
    google: BlobStore, stub: Stub, responses: list[RecordedResponse]
) -> None:
    responses += [
        ("GET", "/o/", 200, {}, resource(1, "STANDARD")),
        ("POST", "rewriteTo", 200, {}, b'{"done": false, "rewriteToken": "t1"}'),
        ("POST", "rewriteTo", 200, {}, b'{"done": true}'),
        ("GET", "/o/", 200, {}, resource(2, "COLDLINE")),
    ]

    moved = google.move(KEY, to="COLDLINE", etag="1")

    assert (moved.storage_class, moved.etag, moved.version_id) == ("COLDLINE", "2", "2")
    assert moved.modified_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    first, second = [one for one in stub.requests if one[0] == "POST"]
    assert first[2] == {"ifSourceGenerationMatch": "1", "ifGenerationMatch": "1"}
    assert second[2] == {**first[2], "rewriteToken": "t1"}
    assert json.loads(first[4]) == {
        "contentType": JPEG, "cacheControl": "public", "metadata": {"owner": "me"}, "storageClass": "COLDLINE",
    }  # fmt: skip


def test_an_object_of_google_that_changed_is_not_rewritten(
    google: BlobStore, stub: Stub, responses: list[RecordedResponse]
) -> None:
    responses += [("GET", "/o/", 200, {}, resource(2, "STANDARD"))]

    with pytest.raises(BlobCorrupt, match="changed meanwhile"):
        google.move(KEY, to="ARCHIVE", etag="1")
    assert [one[0] for one in stub.requests] == ["GET"]


def test_an_archived_object_of_google_is_read_at_once(google: BlobStore, responses: list[RecordedResponse]) -> None:
    responses += [("GET", "/o/", 200, {}, resource(2, "ARCHIVE"))]

    found = google.details(KEY)

    assert found is not None and found.storage_class == "ARCHIVE" and found.readable
    with pytest.raises(StoreError, match="nothing to restore"):
        google.restore(KEY, tier=Tier.BULK, days=7)


def test_an_old_version_of_google_that_an_earlier_try_deleted_counts_as_deleted(
    google: BlobStore, stub: Stub, responses: list[RecordedResponse]
) -> None:
    # The response of the first try was lost. fake-gcs-server deletes the current generation instead of the named one.
    responses += [
        ("GET", "/o/", 200, {}, resource(2, "COLDLINE")),
        ("DELETE", "/o/", 503, {}, b""),
        ("GET", "/o/", 200, {}, resource(2, "COLDLINE")),
        ("DELETE", "/o/", 404, {}, b'{"error": {"message": "No such object"}}'),
    ]
    with pytest.raises(StoreUnavailable):
        google.delete_version(KEY, "1")

    google.delete_version(KEY, "1")

    assert [one[2] for one in stub.requests if one[0] == "DELETE"] == [{"generation": "1"}] * 2


def test_google_keeps_versions_if_soft_delete_is_on(google: BlobStore, responses: list[RecordedResponse]) -> None:
    responses += [("GET", "/b/bk", 200, {}, b'{"softDeletePolicy": {"retentionDurationSeconds": "604800"}}')]

    assert google.keeps_versions()


def test_a_pending_rehydration_is_requested_again_only_to_speed_it_up(
    stub: Stub, responses: list[RecordedResponse], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Get Blob Properties and Set Blob Tier (Blob service REST API).
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", ACCOUNT_KEY)
    store = open_store(StoreSettings(url="az://cc", endpoint_url=f"{stub.url}/devstoreaccount1", retries=0))
    pending = {
        "Last-Modified": "Sat, 28 Nov 2026 09:48:16 GMT", "ETag": '"0x8D1"', "x-ms-access-tier": "Archive",
        "x-ms-archive-status": "rehydrate-pending-to-hot", "x-ms-rehydrate-priority": "Standard",
    }  # fmt: skip
    responses += [
        ("HEAD", KEY, 200, pending, b""),
        ("HEAD", KEY, 200, pending, b""),
        ("HEAD", KEY, 200, pending, b""),
        ("PUT", "comp=tier", 202, {}, b""),
    ]

    found = store.details(KEY)

    assert found is not None and found.restoring and not found.readable
    assert found.modified_at == datetime(2026, 11, 28, 9, 48, 16, tzinfo=UTC)
    assert store.restore(KEY, tier=Tier.STANDARD, days=None) is Restore.IN_PROGRESS
    assert store.restore(KEY, tier=Tier.EXPEDITED, days=None) is Restore.IN_PROGRESS
    headers = stub.requests[-1][3]
    assert (headers["x-ms-access-tier"], headers["x-ms-rehydrate-priority"]) == ("Hot", "High")
