"""All that a store keeps under a key (versions, delete markers, other classes, parts) is listed and deleted permanently."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import StoreUnsupported
from imgctl.store.blobs.base import BlobStore, Remnant
from imgctl.store.blobs.local import LocalStore
from imgctl.store.blobs.open import open_store
from imgctl.store.blobs.s3.store import S3Store
from tests.parts.seaweed import S3Server

JPEG = "image/jpeg"
STEM = "2026/11/22/019aa-"
ORIGINAL, THUMB, OTHER = f"{STEM}original.jpg", f"{STEM}thumb.jpg", "2026/11/22/019ab-original.jpg"


def put(store: BlobStore, *keys: str) -> None:
    for key in keys:
        store.replace(key, key.encode(), content_type=JPEG)


def names(store: BlobStore, *stems: str) -> list[str]:
    return sorted(one.key for one in store.remnants(stems))


@pytest.fixture(params=["seaweed", "moto_s3"])
def versioned(request: pytest.FixtureRequest) -> S3Store:
    """An empty store in a bucket that keeps versions, with Object Lock."""
    server: S3Server = request.getfixturevalue(request.param)
    name = f"{server.new_bucket()}-versioned"
    server.client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    server.client().put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    store = open_store(server.settings(name, prefix="archive"))
    assert isinstance(store, S3Store)
    return store


def test_only_keys_that_begin_with_a_stem_are_listed_and_purged(store: BlobStore) -> None:
    put(store, ORIGINAL, THUMB, OTHER)

    found = list(store.remnants([STEM]))

    assert sorted(one.key for one in found) == [ORIGINAL, THUMB]
    assert {one.key: one.size for one in found} == {key: len(key) for key in (ORIGINAL, THUMB)}
    assert all(one.is_current and not one.is_marker for one in found)
    assert list(store.purge(found)) == []
    assert names(store, STEM) == []
    assert list(store.purge(found)) == []
    assert names(store, "2026/11/22/") == [OTHER]


def test_a_new_store_has_no_uploads(store: BlobStore) -> None:
    assert list(store.uploads()) == []


def test_many_stems_are_listed_at_once(store: BlobStore) -> None:
    put(store, ORIGINAL, OTHER, "2026/11/22/019ac-original.jpg", "2026/11/23/019ad-full.jpg", "trash/2026-11-22/x/y")

    assert names(store, STEM, "2026/11/22/019ab-", "2026/11/23/019ad-") == sorted(
        [ORIGINAL, OTHER, "2026/11/23/019ad-full.jpg"]
    )
    assert names(store, "trash/") == ["trash/2026-11-22/x/y"]
    assert names(store, "trash/2026-11-22/x/z") == []


def test_every_version_and_delete_marker_is_purged(versioned: S3Store) -> None:
    put(versioned, ORIGINAL, ORIGINAL, THUMB, OTHER)
    versioned.delete([ORIGINAL])

    found = list(versioned.remnants([STEM]))

    assert sorted((one.key, one.is_current, one.is_marker) for one in found) == [
        (ORIGINAL, False, False),
        (ORIGINAL, False, False),
        (ORIGINAL, True, True),
        (THUMB, True, False),
    ]
    assert list(versioned.purge(found)) == []
    assert names(versioned, STEM) == []
    assert names(versioned, "") == [OTHER]


# moto drops the older versions with the first put after that.
@pytest.mark.parametrize("kind", ["seaweed"], indirect=True)
def test_versions_from_before_a_suspension_are_purged(store: BlobStore) -> None:
    assert isinstance(store, S3Store)
    for status in ("Enabled", "Suspended"):
        store.bucket.client.put_bucket_versioning(Bucket=store.bucket.name, VersioningConfiguration={"Status": status})
        put(store, ORIGINAL)

    found = list(store.remnants([STEM]))

    assert len(found) == 2
    assert list(store.purge(found)) == []
    assert names(store, "") == []


def test_a_locked_version_stays_and_the_reason_is_reported(versioned: S3Store) -> None:
    put(versioned, ORIGINAL, THUMB, OTHER)
    client, name = versioned.bucket.client, versioned.bucket.name
    until = datetime.now(UTC) + timedelta(days=2)
    client.put_object_retention(
        Bucket=name, Key=f"archive/{THUMB}", Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until}
    )
    for one in versioned.remnants([ORIGINAL]):
        versioned.set_legal_hold(one, on=True)

    rejected = {one.key: error for one, error in versioned.purge(versioned.remnants([STEM, OTHER]))}

    assert names(versioned, "") == [ORIGINAL, THUMB]
    assert "legal hold" in rejected[ORIGINAL].message
    assert f"locked until {until:%Y-%m-%d}" in rejected[THUMB].message

    for one in versioned.remnants([ORIGINAL]):
        versioned.set_legal_hold(one, on=False)
    assert list(versioned.purge(versioned.remnants([ORIGINAL]))) == []


@pytest.mark.parametrize("kind", ["seaweed", "moto"], indirect=True)
def test_parts_of_an_interrupted_upload_are_listed_and_aborted(store: BlobStore, settings: StoreSettings) -> None:
    assert isinstance(store, S3Store)
    client, name = store.bucket.client, store.bucket.name
    begun = client.create_multipart_upload(Bucket=name, Key=f"{store.bucket.prefix}{ORIGINAL}")
    client.upload_part(
        Bucket=name, Key=f"{store.bucket.prefix}{ORIGINAL}", UploadId=begun["UploadId"], PartNumber=1, Body=b"part"
    )

    found = list(store.uploads())

    assert [one.key for one in found] == [ORIGINAL]
    assert list(store.purge(found)) == []
    assert list(store.uploads()) == []
    assert list(store.purge(found)) == []


def test_a_directory_purges_both_roots_and_restore_sidecars(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "blobs", tmp_path / "archive")
    put(store, ORIGINAL, THUMB)
    found = store.head(ORIGINAL)
    assert found is not None
    store.move(ORIGINAL, to="GLACIER", etag=found.etag)
    (tmp_path / "blobs" / ORIGINAL).write_bytes(b"left by a move that was killed")
    (sidecar := tmp_path / "archive" / ".restored" / THUMB).parent.mkdir(parents=True)
    sidecar.write_text("left by a deletion that was killed")

    assert list(store.purge(store.remnants([STEM]))) == []

    files = [one for root in ("blobs", "archive") for one in (tmp_path / root).rglob("*") if one.is_file()]
    assert [one for one in files if ".locks" not in one.parts] == []


def test_a_directory_names_files_that_it_cannot_delete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path / "blobs")
    put(store, ORIGINAL, THUMB)
    kept = tmp_path / "blobs" / ORIGINAL
    unlink = Path.unlink

    def refusing(path: Path, missing_ok: bool = False) -> None:
        if path == kept:
            raise PermissionError(1, "Operation not permitted", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refusing)

    rejected = list(store.purge(store.remnants([STEM])))

    assert [one.key for one, _ in rejected] == [ORIGINAL]
    assert names(store, STEM) == [ORIGINAL]


def test_a_directory_has_no_legal_hold(tmp_path: Path) -> None:
    with pytest.raises(StoreUnsupported, match="no legal hold"):
        LocalStore(tmp_path / "blobs").set_legal_hold(
            Remnant(key=ORIGINAL, size=1, modified_at=datetime.now(UTC)), on=True
        )
