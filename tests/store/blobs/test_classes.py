"""Storage classes in all stores: a directory, SeaweedFS as far as it supports them, and moto."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import BlobArchived, BlobCorrupt, BlobExists, BlobMissing, ConfigError, StoreError
from imgctl.model import StorageClass
from imgctl.store.blobs.base import Blob, BlobStore, Restore, Tier
from imgctl.store.blobs.open import open_store

JPEG = "image/jpeg"
KEY = "2026/11/22/019aa-original.jpg"
restoring_kinds = pytest.mark.parametrize("kind", ["file", "moto"], indirect=True)


@pytest.fixture(params=["file", "seaweed", "moto"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which implementation is under test: rclone's server has no storage classes."""
    name: str = request.param
    return name


def put(store: BlobStore, key: str = KEY, *, to: str = "STANDARD") -> Blob:
    store.create(key, key.encode(), content_type=JPEG)
    return moved(store, key, to)


def moved(store: BlobStore, key: str, to: str) -> Blob:
    found = store.details(key)
    assert found is not None
    return store.move(key, to=to, etag=found.etag)


def classes_of(store: BlobStore) -> dict[str, str]:
    return {blob.key: blob.storage_class for blob in store.scan()}


def test_a_new_blob_is_standard(store: BlobStore) -> None:
    store.create(KEY, b"12345", content_type=JPEG)

    found = store.details(KEY)

    assert found is not None
    assert (found.key, found.size, found.storage_class, found.readable) == (KEY, 5, "STANDARD", True)
    assert (found.restoring, found.restored_until, found.version_id) == (False, None, None)
    assert found.etag and '"' not in found.etag
    assert store.details("2026/11/22/none") is None


@pytest.mark.parametrize("to", ["GLACIER_IR", "DEEP_ARCHIVE"])
def test_a_moved_blob_has_its_class_in_every_request(store: BlobStore, to: str) -> None:
    blob = put(store, to=to)

    assert (blob.key, blob.size, blob.storage_class) == (KEY, len(KEY), to)
    assert store.details(KEY) == blob
    assert list(store.scan()) == [Blob(
        key=KEY, size=len(KEY), modified_at=next(store.scan()).modified_at, etag=blob.etag, storage_class=to
    )]  # fmt: skip
    assert [blob.key for blob in store.scan()] == [KEY]
    seen = store.head(KEY)
    assert seen is not None and seen.size == len(KEY)


def test_a_move_to_the_same_class_changes_nothing(store: BlobStore) -> None:
    once = put(store, to="GLACIER")

    assert store.move(KEY, to="GLACIER", etag="of-another-time") == once


@pytest.mark.parametrize("to", ["STANDARD_IA", "GLACIER_IR"])
def test_a_class_without_restores_is_read_and_moved_back(store: BlobStore, to: str) -> None:
    put(store, to=to)

    assert store.get(KEY) == KEY.encode()
    assert moved(store, KEY, "STANDARD").storage_class == "STANDARD"
    assert store.get(KEY) == KEY.encode()


@restoring_kinds
@pytest.mark.parametrize("to", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_archived_blob_is_neither_read_nor_moved(store: BlobStore, to: str) -> None:
    found = put(store, to=to)

    assert not found.readable
    with pytest.raises(BlobArchived, match="019aa-original"):
        store.get(KEY)
    with pytest.raises(BlobArchived):
        store.read(KEY, start=0, length=1, etag=found.etag)
    with pytest.raises(BlobArchived) as caught:
        store.move(KEY, to="STANDARD", etag=found.etag)
    assert "imgctl restore" in caught.value.hint
    assert store.details(KEY) == found


@restoring_kinds
def test_a_restored_blob_is_read_until_it_expires_and_stays_in_its_class(store: BlobStore) -> None:
    put(store, to="GLACIER")

    assert store.restore(KEY, tier=Tier.BULK, days=3) is Restore.STARTED

    found = store.details(KEY)
    assert found is not None and found.restored_until is not None
    assert (found.storage_class, found.restoring, found.readable) == ("GLACIER", False, True)
    assert timedelta(days=2) < found.restored_until - datetime.now(UTC) <= timedelta(days=4)
    assert store.get(KEY) == KEY.encode()
    assert store.restore(KEY, tier=Tier.BULK, days=9) is Restore.EXTENDED


@restoring_kinds
def test_a_restored_blob_moves_back_to_standard(store: BlobStore) -> None:
    put(store, to="GLACIER")
    store.restore(KEY, tier=Tier.STANDARD, days=1)

    found = moved(store, KEY, "STANDARD")

    assert (found.storage_class, found.restored_until) == ("STANDARD", None)
    assert store.get(KEY) == KEY.encode()


@restoring_kinds
@pytest.mark.parametrize("to", ["STANDARD", "GLACIER_IR"])
def test_a_blob_in_no_archive_class_is_not_restored(store: BlobStore, to: str) -> None:
    put(store, to=to)

    with pytest.raises(StoreError, match="nothing to restore"):
        store.restore(KEY, tier=Tier.BULK, days=1)


@pytest.mark.parametrize("kind", ["file", "seaweed", "moto"], indirect=True)
def test_a_blob_that_changed_is_not_moved(store: BlobStore) -> None:
    old = put(store)
    store.replace(KEY, b"other bytes", content_type=JPEG)

    with pytest.raises(BlobCorrupt, match="019aa-original"):
        store.move(KEY, to="GLACIER", etag=old.etag)
    assert classes_of(store) == {KEY: "STANDARD"}


def test_a_missing_blob_is_neither_moved_nor_restored(store: BlobStore, kind: str) -> None:
    put(store, "2026/11/22/other", to="GLACIER")

    with pytest.raises(BlobMissing, match="019aa-original"):
        store.move(KEY, to="GLACIER", etag="0")
    with pytest.raises(StoreError if kind == "seaweed" else BlobMissing):
        store.restore(KEY, tier=Tier.BULK, days=1)


def test_an_archived_key_cannot_be_created(store: BlobStore) -> None:
    put(store, "inbox/1")
    put(store, to="DEEP_ARCHIVE")

    with pytest.raises(BlobExists):
        store.create(KEY, b"other", content_type=JPEG)
    with pytest.raises(BlobExists):
        source = store.details("inbox/1")
        store.copy("inbox/1", KEY, etag=source.etag if source else "", content_type=JPEG)
    assert classes_of(store) == {KEY: "DEEP_ARCHIVE", "inbox/1": "STANDARD"}


def test_overwriting_an_archived_blob_makes_it_standard(store: BlobStore) -> None:
    put(store, to="DEEP_ARCHIVE")

    store.replace(KEY, b"new", content_type=JPEG)

    assert store.get(KEY) == b"new"
    assert classes_of(store) == {KEY: "STANDARD"}


def test_an_archived_blob_is_deleted(store: BlobStore) -> None:
    put(store, to="GLACIER")

    store.delete([KEY])

    assert store.details(KEY) is None
    assert list(store.scan()) == []
    put(store)
    assert store.get(KEY) == KEY.encode()


def test_scan_is_in_byte_order_within_bounds_whatever_the_classes(store: BlobStore) -> None:
    keys = ["b/2", "a/1", "a/3", "b/10", "c", "é/1", "b/1", "😀/1"]
    for number, key in enumerate(keys):
        put(store, key, to=tuple(StorageClass)[number % 5])

    def found(**bounds: str) -> list[str]:
        return [blob.key for blob in store.scan(**bounds)]

    assert found() == sorted(keys) == [blob.key for blob in store.scan()]
    assert found(after="a/1", until="b/10") == ["a/3", "b/1", "b/10"]
    assert found(prefix="b/1") == ["b/1", "b/10"]
    assert found(prefix="b/", after="b/1") == ["b/10", "b/2"]
    assert found(prefix="none/") == []
    assert classes_of(store) == {key: tuple(StorageClass)[number % 5] for number, key in enumerate(keys)}


def test_concurrent_moves_of_a_blob_leave_one_copy(store: BlobStore) -> None:
    found = put(store)

    def move(_: int) -> str:
        return store.move(KEY, to="STANDARD_IA", etag=found.etag).storage_class

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(move, range(16))) == {"STANDARD_IA"}
    assert classes_of(store) == {KEY: "STANDARD_IA"}
    assert store.get(KEY) == KEY.encode()


def test_unversioned_stores_keep_no_versions(store: BlobStore) -> None:
    found = put(store)

    assert store.keeps_versions() is False
    assert store.move_keeps_source() is False
    assert store.copied_version(store.move(KEY, to="STANDARD_IA", etag=found.etag)) is None
    with pytest.raises(StoreError):
        store.delete_version(KEY, "1")
    assert store.get(KEY) == KEY.encode()


def test_an_unknown_class_is_rejected(store: BlobStore) -> None:
    found = put(store)

    with pytest.raises(StoreError):
        store.move(KEY, to="FREEZER", etag=found.etag)
    assert classes_of(store) == {KEY: "STANDARD"}


def test_an_unknown_scheme_is_rejected() -> None:
    with pytest.raises(ConfigError, match="ftp"):
        open_store(StoreSettings(url="ftp://somewhere"))
