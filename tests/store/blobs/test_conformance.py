"""Behaviour that all stores share: a directory, SeaweedFS, moto, rclone's server, Azurite and fake-gcs-server.

Each gap of a server is named at its test. For Azure and Google themselves there is doctor --conformance.
"""

import hashlib
import os
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import BlobCorrupt, BlobExists, BlobMissing, KeyShapeError
from imgctl.model import UNKNOWN
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.clouds import azure
from imgctl.store.blobs.clouds import store as clouds
from imgctl.store.blobs.open import open_store
from imgctl.store.blobs.s3 import multipart
from imgctl.store.blobs.s3 import store as s3
from tests.parts.moto_server import fill

JPEG = "image/jpeg"
KEY = "2026/11/22/019aa-original.jpg"
NOT_RCLONE = ["file", "seaweed", "moto", "azurite", "gcs"]


def put(store: BlobStore, *keys: str) -> None:
    for key in keys:
        store.replace(key, key.encode(), content_type=JPEG)


def keys_of(store: BlobStore, *, prefix: str = "", after: str = "", until: str = "") -> list[str]:
    return [blob.key for blob in store.scan(prefix=prefix, after=after, until=until)]


def etag_of(store: BlobStore, key: str) -> str:
    found = store.head(key)
    assert found is not None and found.etag is not None
    return found.etag


@pytest.mark.parametrize("body", [b"", b"x", bytes(range(256)) * 4096])
def test_a_created_blob_is_read_back(store: BlobStore, body: bytes) -> None:
    store.create(KEY, body, content_type=JPEG)

    assert store.get(KEY) == body


def test_second_create_is_rejected_and_the_first_bytes_stay(store: BlobStore) -> None:
    store.create(KEY, b"first", content_type=JPEG)

    with pytest.raises(BlobExists, match="019aa-original"):
        store.create(KEY, b"second", content_type=JPEG)
    assert store.get(KEY) == b"first"


# rclone's server ignores If-None-Match, and a HEAD before the put does not prevent simultaneous puts.
@pytest.mark.parametrize("kind", NOT_RCLONE, indirect=True)
def test_of_many_concurrent_creates_exactly_one_wins(store: BlobStore) -> None:
    def attempt(number: int) -> bool:
        try:
            store.create(KEY, b"%d" % number, content_type=JPEG)
        except BlobExists:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        won = list(pool.map(attempt, range(100)))

    assert won.count(True) == 1
    assert store.get(KEY) == b"%d" % won.index(True)


# rclone's server returns the whole object and 200 for a range beyond the end.
@pytest.mark.parametrize("kind", NOT_RCLONE, indirect=True)
def test_a_blob_is_read_from_any_offset_to_its_end(store: BlobStore) -> None:
    store.replace("inbox/a b+é.jpg", bytes(range(100)), content_type=JPEG)
    etag = etag_of(store, "inbox/a b+é.jpg")

    assert store.read("inbox/a b+é.jpg", start=0, length=10, etag=etag) == bytes(range(10))
    assert store.read("inbox/a b+é.jpg", start=95, length=10, etag=etag) == bytes(range(95, 100))
    with pytest.raises(BlobMissing):
        store.read("inbox/none.jpg", start=0, length=10, etag=etag)


def test_a_copy_has_the_bytes_and_leaves_its_source(store: BlobStore) -> None:
    store.replace("inbox/a b+é.jpg", b"photo", content_type="binary/octet-stream")

    store.copy("inbox/a b+é.jpg", KEY, etag=etag_of(store, "inbox/a b+é.jpg"), content_type=JPEG)

    assert store.get(KEY) == store.get("inbox/a b+é.jpg") == b"photo"
    store.replace("inbox/a b+é.jpg", b"other", content_type=JPEG)
    assert store.get(KEY) == b"photo"


def test_a_copy_never_overwrites_a_blob(store: BlobStore) -> None:
    put(store, "inbox/1")
    store.create(KEY, b"first", content_type=JPEG)

    with pytest.raises(BlobExists, match="019aa-original"):
        store.copy("inbox/1", KEY, etag=etag_of(store, "inbox/1"), content_type=JPEG)
    assert store.get(KEY) == b"first"


def test_a_missing_source_is_not_copied(store: BlobStore) -> None:
    with pytest.raises(BlobMissing, match="inbox/1"):
        store.copy("inbox/1", KEY, etag="0", content_type=JPEG)
    assert keys_of(store) == []


# moto and fake-gcs-server ignore the conditions of a copy.
@pytest.mark.parametrize("kind", ["file", "seaweed", "azurite"], indirect=True)
def test_a_source_that_changed_is_neither_read_nor_copied(store: BlobStore) -> None:
    store.replace("inbox/1", b"first", content_type=JPEG)
    etag = etag_of(store, "inbox/1")
    store.replace("inbox/1", b"second!", content_type=JPEG)

    with pytest.raises(BlobCorrupt, match="inbox/1 changed"):
        store.read("inbox/1", start=0, length=10, etag=etag)
    with pytest.raises(BlobCorrupt, match="inbox/1 changed"):
        store.copy("inbox/1", KEY, etag=etag, content_type=JPEG)
    assert keys_of(store) == ["inbox/1"]


def test_replace_overwrites_an_older_blob(store: BlobStore) -> None:
    store.replace(KEY, b"old", content_type=JPEG)
    store.replace(KEY, b"new", content_type=JPEG)

    assert store.get(KEY) == b"new"


def test_missing_blob_is_reported_as_missing(store: BlobStore) -> None:
    assert store.head(KEY) is None
    with pytest.raises(BlobMissing, match="019aa-original") as caught:
        store.get(KEY)
    assert caught.value.hint


def test_head_describes_the_blob(store: BlobStore) -> None:
    store.create(KEY, b"12345", content_type=JPEG)

    found = store.head(KEY)

    assert found is not None
    assert (found.key, found.size) == (KEY, 5)
    assert found.etag
    assert '"' not in found.etag
    assert abs(found.modified_at - datetime.now(UTC)) < timedelta(minutes=5)


def test_scan_pages_details_and_head_return_the_same_blob(store: BlobStore) -> None:
    put(store, KEY)

    found, details, head, page = next(store.scan()), store.details(KEY), store.head(KEY), next(store.pages("", ""))

    # A listing may have times in milliseconds; a Google object's generation is also its version.
    assert details is not None
    details = replace(details, version_id=None)
    assert replace(found, modified_at=details.modified_at) == details
    assert found.storage_class == "STANDARD"
    assert head in (details, replace(details, storage_class=UNKNOWN, md5=None))
    assert details.md5 in (None, hashlib.md5(store.get(KEY), usedforsecurity=False).digest())
    assert (page.keys, page.sizes, page.classes) == ((KEY,), (len(KEY),), ("STANDARD",))


def test_scan_is_in_byte_order_within_bounds(store: BlobStore) -> None:
    put(store, "b/2", "a/1", "a/3", "b/10", "c", "é/1", "a/é", "b/1", "中/1", "😀/1", "\uffee/1")

    assert keys_of(store) == ["a/1", "a/3", "a/é", "b/1", "b/10", "b/2", "c", "é/1", "中/1", "\uffee/1", "😀/1"]
    assert keys_of(store, after="a/3", until="b/10") == ["a/é", "b/1", "b/10"]
    assert keys_of(store, after="a/2", until="b/11") == ["a/3", "a/é", "b/1", "b/10"]
    assert keys_of(store, prefix="b/") == ["b/1", "b/10", "b/2"]
    assert keys_of(store, prefix="b/1") == ["b/1", "b/10"]
    assert keys_of(store, prefix="b/1", after="b/1") == ["b/10"]
    assert keys_of(store, prefix="b/", until="b/10") == ["b/1", "b/10"]
    assert keys_of(store, prefix="b/", after="z") == []
    assert keys_of(store, prefix="none/") == []
    assert keys_of(store, until="a/2") == ["a/1"]


def test_directories_sort_with_their_slash(store: BlobStore) -> None:
    keys = sorted(["a/b", "a/b.d", "a.txt", "a-b/c", "a0", "a b", "b/c/d", "b/c.d", "b/c-", "x+y%20z&?#"])
    put(store, *reversed(keys))

    assert keys_of(store) == keys
    for after in keys:
        for until in keys:
            assert keys_of(store, after=after, until=until) == [key for key in keys if after < key <= until]


def test_scan_continues_over_many_pages(kind: str, settings: StoreSettings, store: BlobStore) -> None:
    keys = [f"2026/11/{day:02}/{number:04}-thumb.jpg" for day in (1, 2) for number in range(520)]
    if kind == "moto":
        bucket, _, prefix = settings.url.removeprefix("s3://").partition("/")
        fill(bucket, [f"{prefix}/{key}" for key in keys])
    else:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda key: put(store, key), keys))

    assert keys_of(store) == keys
    assert keys_of(store, after=keys[9], until=keys[1014]) == keys[10:1015]


def test_empty_store_has_nothing_to_scan(store: BlobStore) -> None:
    assert keys_of(store) == []


@pytest.mark.parametrize("kind", ["file", "seaweed", "moto", "azurite", "gcs"], indirect=True)
def test_directories_of_deleted_blobs_are_not_listed(store: BlobStore) -> None:
    put(store, "a/1", "b/c/1", "d/1")

    store.delete(["a/1", "b/c/1"])

    assert keys_of(store) == ["d/1"]


def test_deleted_blobs_are_gone_and_missing_ones_are_ignored(store: BlobStore) -> None:
    put(store, "a/1", "a/2", "a/3")

    store.delete(iter(["a/1", "a/2", "never/was"]))
    store.delete([])

    assert keys_of(store) == ["a/3"]


# rclone's server exceeds the time limit for 1,000 missing keys in one DeleteObjects.
@pytest.mark.parametrize("kind", NOT_RCLONE, indirect=True)
def test_more_blobs_are_deleted_than_fit_one_request(store: BlobStore) -> None:
    put(store, "a/0001", "a/1500")

    store.delete(f"a/{number:04}" for number in range(1600))

    assert keys_of(store) == []


def test_signed_url_allows_reads(store: BlobStore) -> None:
    put(store, KEY)

    with urllib.request.urlopen(store.sign(KEY, seconds=60)) as response:
        assert response.read() == KEY.encode()


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.", "a\nb", "a\0b"])
def test_key_that_not_every_store_can_hold_is_rejected(store: BlobStore, key: str) -> None:
    with pytest.raises(KeyShapeError):
        store.create(key, b"x", content_type=JPEG)


def test_check_passes_and_leaves_nothing(store: BlobStore) -> None:
    store.check()

    assert keys_of(store) == []


def sparse(path: Path, size: int) -> bytes:
    """A file of `size` zero bytes, and its sha256."""
    with path.open("wb") as file:
        file.truncate(size)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@pytest.mark.parametrize("size", [0, 1000, 70 * 2**20])
def test_file_is_created_whole_and_only_once(store: BlobStore, tmp_path: Path, size: int) -> None:
    digest = sparse(tmp_path / "scan.tif", size)

    store.create_file(KEY, tmp_path / "scan.tif", size=size, content_type="image/tiff", sha256=digest)

    assert hashlib.sha256(store.get(KEY)).digest() == digest
    with pytest.raises(BlobExists):
        store.create_file(KEY, tmp_path / "scan.tif", size=size, content_type="image/tiff", sha256=digest)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are put in pieces of 5 MiB, S3's minimum, from the second on."""
    monkeypatch.setattr(s3, "_ONE_PUT_BYTES", 5 * 2**20)
    monkeypatch.setattr(clouds, "_ONE_PUT_BYTES", 5 * 2**20)
    monkeypatch.setattr(multipart, "_PART_BYTES", 5 * 2**20)
    monkeypatch.setattr(azure, "_BLOCK_BYTES", 5 * 2**20)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("size", [1000, 12 * 2**20])
@pytest.mark.parametrize("growth", [-1, 0, 1])
def test_file_that_changed_meanwhile_is_not_created(store: BlobStore, tmp_path: Path, size: int, growth: int) -> None:
    digest = sparse(tmp_path / "scan.tif", size)
    with (tmp_path / "scan.tif").open("r+b") as file:
        file.truncate(size + growth)
        file.write(b"x" if growth == 0 else b"")

    with pytest.raises(BlobCorrupt, match="changed while reading"):
        store.create_file(KEY, tmp_path / "scan.tif", size=size, content_type="image/tiff", sha256=digest)
    assert store.head(KEY) is None
    assert keys_of(store) == []


@pytest.mark.parametrize("size", [1000, 70 * 2**20])
def test_a_pipe_that_took_the_place_of_a_file_is_not_waited_for(store: BlobStore, tmp_path: Path, size: int) -> None:
    os.mkfifo(tmp_path / "scan.tif")
    # A reader of the pipe would wait for this writer.
    writer = os.open(tmp_path / "scan.tif", os.O_RDWR)
    try:
        with pytest.raises(OSError, match="not a regular file"):
            store.create_file(KEY, tmp_path / "scan.tif", size=size, content_type="image/tiff", sha256=b"")
    finally:
        os.close(writer)
    assert store.head(KEY) is None


def test_store_is_opened_by_its_url_alone(settings: StoreSettings) -> None:
    put(open_store(settings), KEY)

    assert keys_of(open_store(settings)) == [KEY]
