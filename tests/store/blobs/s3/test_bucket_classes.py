"""Features of buckets only: metadata, tags, encryption, versions, parts, restores that take time."""

from collections.abc import Iterator
from typing import Any

import pytest
from moto.moto_api import state_manager

from imgctl.errors import BlobArchived, StoreError
from imgctl.store.blobs.base import Blob, Restore, Tier
from imgctl.store.blobs.open import open_store
from imgctl.store.blobs.s3.copy import CopyLimits
from imgctl.store.blobs.s3.store import S3Store
from tests.parts.proxy import Fault, fault_proxy
from tests.parts.seaweed import S3Server

KEY = "2026/11/22/019aa-original.jpg"
SAID: dict[str, Any] = {
    "ContentType": "image/x-raw", "CacheControl": "private", "ContentDisposition": "inline; filename=a",
    "ContentLanguage": "de", "Metadata": {"camera": "k1", "owner": "a b"},
}  # fmt: skip
TAGS = [{"Key": "album", "Value": "a + b"}, {"Key": "kept", "Value": ""}]


@pytest.fixture(params=["seaweed", "moto_s3"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, S3Server)
    return found


@pytest.fixture
def staged() -> Iterator[None]:
    """Let moto's restores be in progress for two requests."""
    state_manager.set_transition("s3::keyrestore", {"progression": "manual", "times": 3})
    yield
    state_manager.unset_transition("s3::keyrestore")


def put(server: S3Server, bucket: str, *, body: bytes = b"photo", **options: Any) -> None:
    server.client().put_object(Bucket=bucket, Key=KEY, Body=body, Tagging="album=a%20%2B%20b&kept=", **SAID, **options)


def moved(store: S3Store, to: str) -> Blob:
    found = store.details(KEY)
    assert found is not None
    return store.move(KEY, to=to, etag=found.etag)


def of(server: S3Server, bucket: str, *, largest: int = 5 * 2**30, part_bytes: int = 2**30) -> S3Store:
    return S3Store(server.settings(bucket), bucket=bucket, limits=CopyLimits(largest=largest, part_bytes=part_bytes))


def kept(server: S3Server, bucket: str) -> dict[str, Any]:
    found: dict[str, Any] = server.client().get_object(Bucket=bucket, Key=KEY)
    tags = server.client().get_object_tagging(Bucket=bucket, Key=KEY)["TagSet"]
    return {name: found.get(name) for name in SAID} | {
        "Body": found["Body"].read(), "tags": sorted(tags, key=lambda tag: str(tag["Key"]))
    }  # fmt: skip


def test_a_move_keeps_metadata_tags_and_headers(server: S3Server) -> None:
    bucket = server.new_bucket()
    put(server, bucket)

    assert moved(of(server, bucket), "GLACIER_IR").storage_class == "GLACIER_IR"

    assert kept(server, bucket) == SAID | {"Body": b"photo", "tags": TAGS}


def test_parts_keep_metadata_tags_and_headers(server: S3Server) -> None:
    bucket, body = server.new_bucket(), bytes(range(256)) * (13 * 2**12)
    put(server, bucket, body=body)

    found = moved(of(server, bucket, largest=6 * 2**20, part_bytes=5 * 2**20), "STANDARD_IA")

    assert (found.storage_class, found.size) == ("STANDARD_IA", len(body))
    assert found.etag.endswith("-3")
    assert kept(server, bucket) == SAID | {"Body": body, "tags": TAGS}


def test_parts_that_cannot_be_copied_leave_nothing(moto_s3: S3Server) -> None:
    bucket = moto_s3.new_bucket()
    put(moto_s3, bucket, body=bytes(7 * 2**20))

    # The completion rejects parts below 5 MiB.
    with pytest.raises(StoreError, match="EntityTooSmall"):
        moved(of(moto_s3, bucket, largest=6 * 2**20, part_bytes=2**20), "GLACIER")
    assert moto_s3.client().list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
    assert moto_s3.client().head_object(Bucket=bucket, Key=KEY).get("StorageClass") is None


def test_a_move_keeps_the_encryption(moto_s3: S3Server) -> None:
    bucket, client = moto_s3.new_bucket(), moto_s3.client()
    put(moto_s3, bucket, ServerSideEncryption="aws:kms", SSEKMSKeyId="key-1")

    moved(of(moto_s3, bucket), "GLACIER")

    found = client.head_object(Bucket=bucket, Key=KEY)
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", "key-1")


def test_old_versions_stay_until_they_are_deleted_by_name(server: S3Server) -> None:
    bucket, client = server.new_bucket(), server.client()
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    put(server, bucket)
    store = of(server, bucket)
    old = store.details(KEY)
    assert old is not None and old.version_id

    new = moved(store, "STANDARD_IA")

    def versions() -> list[tuple[str, bool]]:
        listed = client.list_object_versions(Bucket=bucket)["Versions"]
        return sorted((one["VersionId"], one["IsLatest"]) for one in listed)

    assert store.keeps_versions()
    assert new.version_id
    assert store.copied_version(new) == old.version_id
    assert versions() == sorted([(old.version_id, False), (new.version_id, True)])
    store.delete_version(KEY, old.version_id)
    assert versions() == [(new.version_id, True)]
    assert store.copied_version(new) is None
    assert kept(server, bucket)["Body"] == b"photo"


@pytest.mark.parametrize("before", ["other bytes", "a deletion", "nothing"])
def test_a_version_with_other_content_was_not_copied(server: S3Server, before: str) -> None:
    bucket, client = server.new_bucket(), server.client()
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    store = of(server, bucket)
    if before == "other bytes":
        put(server, bucket, body=b"phot0")
    elif before == "a deletion":
        put(server, bucket)
        client.delete_object(Bucket=bucket, Key=KEY)
    put(server, bucket)
    found = store.details(KEY)

    assert found is not None
    assert store.copied_version(found) is None


def test_the_source_of_a_copy_of_parts_is_found_by_its_size(server: S3Server) -> None:
    bucket, client = server.new_bucket(), server.client()
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    put(server, bucket, body=bytes(13 * 2**20))
    store = of(server, bucket, largest=6 * 2**20, part_bytes=5 * 2**20)
    old = store.details(KEY)
    assert old is not None

    assert store.copied_version(moved(store, "STANDARD_IA")) == old.version_id


def test_the_current_version_is_never_deleted(server: S3Server) -> None:
    bucket, client = server.new_bucket(), server.client()
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    put(server, bucket)
    store = of(server, bucket)
    found = store.details(KEY)
    assert found is not None and found.version_id

    with pytest.raises(StoreError, match="not an old one"):
        store.delete_version(KEY, found.version_id)
    assert kept(server, bucket)["Body"] == b"photo"


@pytest.mark.usefixtures("staged")
def test_a_restore_is_in_progress_then_done(moto_s3: S3Server) -> None:
    bucket = moto_s3.new_bucket()
    put(moto_s3, bucket, StorageClass="DEEP_ARCHIVE")
    store = of(moto_s3, bucket)

    assert store.restore(KEY, tier=Tier.STANDARD, days=2) is Restore.STARTED

    found = store.details(KEY)
    assert found is not None
    assert (found.restoring, found.readable, found.storage_class) == (True, False, "DEEP_ARCHIVE")
    with pytest.raises(BlobArchived):
        store.move(KEY, to="STANDARD", etag=found.etag)
    later = store.details(KEY)
    assert later is not None and later.restored_until is not None
    assert (later.restoring, later.readable) == (False, True)
    assert moved(store, "STANDARD").storage_class == "STANDARD"


def test_a_listing_continues_over_many_pages(seaweed: S3Server) -> None:
    bucket = seaweed.new_bucket()
    store, keys = (
        open_store(seaweed.settings(bucket, prefix="one")),
        [f"2026/11/22/{number:04}" for number in range(1001)],
    )
    for key in keys:
        store.create(key, b"x", content_type="image/jpeg")

    store = open_store(seaweed.settings(bucket, prefix="one"))

    assert [blob.key for blob in store.scan()] == keys
    assert [blob.key for blob in store.scan(after=keys[3], until=keys[1000])] == keys[4:]


@pytest.mark.parametrize("fault", [Fault.LOST_RESPONSE, Fault.SERVICE_UNAVAILABLE])
def test_a_move_survives_a_fault_at_each_of_its_requests(moto_s3: S3Server, fault: Fault) -> None:
    bucket = moto_s3.new_bucket()
    put(moto_s3, bucket)
    for hit, to in enumerate(["GLACIER_IR", "STANDARD_IA", "GLACIER"], start=1):

        def policy(_method: str, _path: str, number: int, hit: int = hit) -> Fault | None:
            return fault if number == hit else None

        with fault_proxy(moto_s3.endpoint_url, policy=policy) as proxy:
            # One HEAD here, then a move's three requests.
            blob = moved(of(S3Server(endpoint_url=proxy.url), bucket), to)

        assert proxy.faults.total() == 1
        assert (blob.storage_class, blob.size) == (to, 5)


def test_a_move_to_the_same_class_keeps_the_class(moto_s3: S3Server) -> None:
    bucket = moto_s3.new_bucket()
    put(moto_s3, bucket, StorageClass="STANDARD_IA")

    assert moved(of(moto_s3, bucket), "STANDARD_IA").storage_class == "STANDARD_IA"
    assert moto_s3.client().head_object(Bucket=bucket, Key=KEY)["StorageClass"] == "STANDARD_IA"
