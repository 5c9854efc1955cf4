"""What every cold store does alike: a directory, SeaweedFS where it can, and moto."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from imgctl.config.settings import StoreSettings
from imgctl.errors import BlobArchived, BlobCorrupt, BlobExists, BlobMissing, ConfigError, StoreError
from imgctl.model import StorageClass
from imgctl.store.blobs.base import BlobStore
from imgctl.store.cold.base import ColdStore, Restore, StoredBlob, Tier
from imgctl.store.cold.open import open_cold

JPEG = "image/jpeg"
KEY = "2026/11/22/019aa-original.jpg"
restoring_kinds = pytest.mark.parametrize("kind", ["file", "moto"], indirect=True)


def put(store: BlobStore, cold: ColdStore, key: str = KEY, *, to: str = "STANDARD") -> StoredBlob:
    store.create(key, key.encode(), content_type=JPEG)
    return moved(cold, key, to)


def moved(cold: ColdStore, key: str, to: str) -> StoredBlob:
    found = cold.head(key)
    assert found is not None
    return cold.move(key, to=to, etag=found.etag)


def classes_of(cold: ColdStore) -> dict[str, str]:
    return {blob.key: blob.storage_class for blob in cold.scan()}


def test_a_new_blob_is_standard(store: BlobStore, cold: ColdStore) -> None:
    store.create(KEY, b"12345", content_type=JPEG)

    found = cold.head(KEY)

    assert found is not None
    assert (found.key, found.size, found.storage_class, found.readable) == (KEY, 5, "STANDARD", True)
    assert (found.restoring, found.restored_until, found.version_id) == (False, None, None)
    assert found.etag and '"' not in found.etag
    assert cold.head("2026/11/22/none") is None


@pytest.mark.parametrize("to", ["GLACIER_IR", "DEEP_ARCHIVE"])
def test_a_moved_blob_is_of_its_class_wherever_one_looks(store: BlobStore, cold: ColdStore, to: str) -> None:
    answer = put(store, cold, to=to)

    assert (answer.key, answer.size, answer.storage_class) == (KEY, len(KEY), to)
    assert cold.head(KEY) == answer
    assert list(cold.scan()) == [StoredBlob(
        key=KEY, size=len(KEY), modified_at=next(cold.scan()).modified_at, etag=answer.etag, storage_class=to
    )]  # fmt: skip
    assert [blob.key for blob in store.scan()] == [KEY]
    seen = store.head(KEY)
    assert seen is not None and seen.size == len(KEY)


def test_moving_to_where_it_lies_changes_nothing(store: BlobStore, cold: ColdStore) -> None:
    once = put(store, cold, to="GLACIER")

    assert cold.move(KEY, to="GLACIER", etag="of-another-time") == once


@pytest.mark.parametrize("to", ["STANDARD_IA", "GLACIER_IR"])
def test_what_needs_no_restore_is_read_and_moves_back(store: BlobStore, cold: ColdStore, to: str) -> None:
    put(store, cold, to=to)

    assert store.get(KEY) == KEY.encode()
    assert moved(cold, KEY, "STANDARD").storage_class == "STANDARD"
    assert store.get(KEY) == KEY.encode()


@restoring_kinds
@pytest.mark.parametrize("to", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_archived_blob_is_neither_read_nor_moved(store: BlobStore, cold: ColdStore, to: str) -> None:
    found = put(store, cold, to=to)

    assert not found.readable
    with pytest.raises(BlobArchived, match="019aa-original"):
        store.get(KEY)
    with pytest.raises(BlobArchived):
        store.read(KEY, start=0, length=1, etag=found.etag)
    with pytest.raises(BlobArchived) as caught:
        cold.move(KEY, to="STANDARD", etag=found.etag)
    assert "imgctl restore" in caught.value.hint
    assert cold.head(KEY) == found


@restoring_kinds
def test_a_restored_blob_is_read_until_it_expires_and_stays_in_its_class(store: BlobStore, cold: ColdStore) -> None:
    put(store, cold, to="GLACIER")

    assert cold.restore(KEY, tier=Tier.BULK, days=3) is Restore.STARTED

    found = cold.head(KEY)
    assert found is not None and found.restored_until is not None
    assert (found.storage_class, found.restoring, found.readable) == ("GLACIER", False, True)
    assert timedelta(days=2) < found.restored_until - datetime.now(UTC) <= timedelta(days=4)
    assert store.get(KEY) == KEY.encode()
    assert cold.restore(KEY, tier=Tier.BULK, days=9) is Restore.EXTENDED


@restoring_kinds
def test_a_restored_blob_moves_back_to_standard(store: BlobStore, cold: ColdStore) -> None:
    put(store, cold, to="GLACIER")
    cold.restore(KEY, tier=Tier.STANDARD, days=1)

    found = moved(cold, KEY, "STANDARD")

    assert (found.storage_class, found.restored_until) == ("STANDARD", None)
    assert store.get(KEY) == KEY.encode()


@restoring_kinds
@pytest.mark.parametrize("to", ["STANDARD", "GLACIER_IR"])
def test_what_is_in_no_archive_is_not_restored(store: BlobStore, cold: ColdStore, to: str) -> None:
    put(store, cold, to=to)

    with pytest.raises(StoreError, match="nothing to restore"):
        cold.restore(KEY, tier=Tier.BULK, days=1)


@pytest.mark.parametrize("kind", ["file", "seaweed", "moto"], indirect=True)
def test_a_blob_that_changed_is_not_moved(store: BlobStore, cold: ColdStore) -> None:
    old = put(store, cold)
    store.replace(KEY, b"other bytes", content_type=JPEG)

    with pytest.raises(BlobCorrupt, match="019aa-original"):
        cold.move(KEY, to="GLACIER", etag=old.etag)
    assert classes_of(cold) == {KEY: "STANDARD"}


def test_a_missing_blob_is_neither_moved_nor_restored(store: BlobStore, cold: ColdStore, kind: str) -> None:
    put(store, cold, "2026/11/22/other", to="GLACIER")

    with pytest.raises(BlobMissing, match="019aa-original"):
        cold.move(KEY, to="GLACIER", etag="0")
    with pytest.raises(StoreError if kind == "seaweed" else BlobMissing):
        cold.restore(KEY, tier=Tier.BULK, days=1)


def test_an_archived_key_is_taken(store: BlobStore, cold: ColdStore) -> None:
    put(store, cold, "inbox/1")
    put(store, cold, to="DEEP_ARCHIVE")

    with pytest.raises(BlobExists):
        store.create(KEY, b"other", content_type=JPEG)
    with pytest.raises(BlobExists):
        source = cold.head("inbox/1")
        store.copy("inbox/1", KEY, etag=source.etag if source else "", content_type=JPEG)
    assert classes_of(cold) == {KEY: "DEEP_ARCHIVE", "inbox/1": "STANDARD"}


def test_overwriting_an_archived_blob_makes_it_standard(store: BlobStore, cold: ColdStore) -> None:
    put(store, cold, to="DEEP_ARCHIVE")

    store.replace(KEY, b"new", content_type=JPEG)

    assert store.get(KEY) == b"new"
    assert classes_of(cold) == {KEY: "STANDARD"}


def test_an_archived_blob_is_deleted(store: BlobStore, cold: ColdStore) -> None:
    put(store, cold, to="GLACIER")

    store.delete([KEY])

    assert cold.head(KEY) is None
    assert list(store.scan()) == []
    put(store, cold)
    assert store.get(KEY) == KEY.encode()


def test_scan_is_in_byte_order_within_bounds_whatever_the_classes(store: BlobStore, cold: ColdStore) -> None:
    keys = ["b/2", "a/1", "a/3", "b/10", "c", "é/1", "b/1", "😀/1"]
    for number, key in enumerate(keys):
        put(store, cold, key, to=tuple(StorageClass)[number % 5])

    def found(**bounds: str) -> list[str]:
        return [blob.key for blob in cold.scan(**bounds)]

    assert found() == sorted(keys) == [blob.key for blob in store.scan()]
    assert found(after="a/1", until="b/10") == ["a/3", "b/1", "b/10"]
    assert found(prefix="b/1") == ["b/1", "b/10"]
    assert found(prefix="b/", after="b/1") == ["b/10", "b/2"]
    assert found(prefix="none/") == []
    assert classes_of(cold) == {key: tuple(StorageClass)[number % 5] for number, key in enumerate(keys)}


def test_many_movers_of_one_blob_end_in_one_place(store: BlobStore, cold: ColdStore) -> None:
    found = put(store, cold)

    def move(_: int) -> str:
        return cold.move(KEY, to="STANDARD_IA", etag=found.etag).storage_class

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(move, range(16))) == {"STANDARD_IA"}
    assert classes_of(cold) == {KEY: "STANDARD_IA"}
    assert store.get(KEY) == KEY.encode()


def test_unversioned_stores_keep_no_versions(store: BlobStore, cold: ColdStore) -> None:
    put(store, cold)

    assert cold.keeps_versions() is False
    with pytest.raises(StoreError):
        cold.delete_version(KEY, "1")
    assert store.get(KEY) == KEY.encode()


def test_a_class_that_is_none_is_refused(store: BlobStore, cold: ColdStore) -> None:
    found = put(store, cold)

    with pytest.raises(StoreError):
        cold.move(KEY, to="FREEZER", etag=found.etag)
    assert classes_of(cold) == {KEY: "STANDARD"}


def test_a_url_of_no_store_is_refused() -> None:
    with pytest.raises(ConfigError, match="ftp"):
        open_cold(StoreSettings(url="ftp://somewhere"))
