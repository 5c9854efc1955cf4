"""Copies in buckets: class, headers, parts, archived sources."""

import pytest

from imgctl.errors import BlobArchived, BlobExists, BlobMissing
from imgctl.store.blobs.bucket_store import taken
from imgctl.store.blobs.open import open_store
from imgctl.store.blobs.s3.bucket import Bucket
from imgctl.store.blobs.s3.copy import CopyLimits, copy
from imgctl.store.blobs.s3.multipart import IF_ABSENT
from tests.parts.seaweed import S3Server

JPEG = "image/jpeg"
KEY = "2026/11/22/019aa-original.jpg"


def etag(server: S3Server, bucket: str, key: str) -> str:
    return str(server.client().head_object(Bucket=bucket, Key=key)["ETag"]).strip('"')


@pytest.fixture(params=["seaweed", "moto_s3"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, S3Server)
    return found


@pytest.mark.parametrize("stored_type", [JPEG, "binary/octet-stream"])
def test_a_copy_keeps_metadata_and_gets_standard_class_and_the_right_type(server: S3Server, stored_type: str) -> None:
    bucket, client = server.new_bucket(), server.client()
    client.put_object(
        Bucket=bucket, Key="in/1", Body=b"x", ContentType=stored_type, Metadata={"camera": "k1"}, CacheControl="private",
        StorageClass="STANDARD_IA",
    )  # fmt: skip

    open_store(server.settings(bucket)).copy("in/1", KEY, etag=etag(server, bucket, "in/1"), content_type=JPEG)

    found = client.head_object(Bucket=bucket, Key=KEY)
    assert (found["ContentType"], found["Metadata"], found["CacheControl"]) == (JPEG, {"camera": "k1"}, "private")
    assert found.get("StorageClass", "STANDARD") == "STANDARD"
    assert client.head_object(Bucket=bucket, Key="in/1")["StorageClass"] == "STANDARD_IA"


def test_an_archived_source_is_reported_as_archived(moto_s3: S3Server) -> None:
    bucket = moto_s3.new_bucket()
    moto_s3.client().put_object(Bucket=bucket, Key="in/1", Body=b"x", StorageClass="GLACIER")
    store = open_store(moto_s3.settings(bucket))
    tag = etag(moto_s3, bucket, "in/1")

    with pytest.raises(BlobArchived):
        store.copy("in/1", KEY, etag=tag, content_type=JPEG)
    with pytest.raises(BlobArchived):
        store.read("in/1", start=0, length=1, etag=tag)
    assert store.head(KEY) is None


def copy_in_parts(server: S3Server, bucket: str) -> None:
    copy(
        Bucket(server.settings(bucket), name=bucket), "in/1", KEY, etag=etag(server, bucket, "in/1"),
        content_type="image/tiff", condition=IF_ABSENT, before=lambda: None,
        limits=CopyLimits(largest=6 * 2**20, part_bytes=5 * 2**20),
    )  # fmt: skip


def test_a_large_object_is_copied_in_parts(server: S3Server) -> None:
    bucket, client = server.new_bucket(), server.client()
    body = bytes(range(256)) * (13 * 2**12)
    client.put_object(Bucket=bucket, Key="in/1", Body=body, Metadata={"camera": "k1"})

    copy_in_parts(server, bucket)

    found = client.get_object(Bucket=bucket, Key=KEY)
    assert found["Body"].read() == body
    assert (found["ContentType"], found["Metadata"]) == ("image/tiff", {"camera": "k1"})


def test_parts_never_overwrite_an_object_and_leave_nothing(server: S3Server) -> None:
    bucket, client = server.new_bucket(), server.client()
    client.put_object(Bucket=bucket, Key="in/1", Body=bytes(7 * 2**20))
    client.put_object(Bucket=bucket, Key=KEY, Body=b"first")

    with pytest.raises(BlobExists):
        copy_in_parts(server, bucket)
    assert client.get_object(Bucket=bucket, Key=KEY)["Body"].read() == b"first"
    assert client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_a_copy_in_parts_looks_for_the_key_again_before_its_last_step(server: S3Server) -> None:
    bucket, client = server.new_bucket(), server.client()
    client.put_object(Bucket=bucket, Key="in/1", Body=bytes(7 * 2**20))
    looks = iter((None, taken(KEY)))

    def look() -> None:
        if error := next(looks):
            raise error

    with pytest.raises(BlobExists):
        copy(
            Bucket(server.settings(bucket), name=bucket), "in/1", KEY, etag=etag(server, bucket, "in/1"),
            content_type=JPEG, condition={}, before=look, limits=CopyLimits(largest=6 * 2**20, part_bytes=5 * 2**20),
        )  # fmt: skip

    assert open_store(server.settings(bucket)).head(KEY) is None
    assert client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_a_missing_source_is_named(server: S3Server) -> None:
    store = open_store(server.settings(server.new_bucket()))

    with pytest.raises(BlobMissing, match="in/1"):
        store.copy("in/1", KEY, etag="0", content_type=JPEG)
