"""The settings' S3 options in the requests of both clients."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import StoreError
from imgctl.store.blobs.open import open_store
from imgctl.store.blobs.s3.bucket import Bucket
from imgctl.store.blobs.s3.multipart import put_chunks, sign_put
from tests.parts.middlebox import Middlebox, Reply, Seen, middlebox, s3_error
from tests.parts.seaweed import S3Server

JPEG = "image/jpeg"
KEY = "2026/11/22/019aa-original.jpg"
LARGE = 70 * 2**20
AWS = StoreSettings(url="s3://photos", region="eu-west-1", retries=0)
OWN = replace(AWS, endpoint_url="http://s3.example.test")
SSE = "x-amz-server-side-encryption"


def puts_of_both_clients(settings: StoreSettings, box: Middlebox) -> list[Seen]:
    """Return the requests with storage options: of a put by obstore, and of one in parts by boto3."""
    open_store(settings).replace(KEY, b"small", content_type=JPEG)
    put_chunks(Bucket(settings, name="photos"), KEY, iter([memoryview(b"large")]), "image/tiff")
    return [
        seen
        for seen in box.requests
        if (seen.method == "PUT" and "partNumber" not in seen.path) or seen.path.rstrip("=").endswith("uploads")
    ]


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({"encryption": "AES256", "bucket_key": True, "kms_key_id": "not-for-AES256"}, {SSE: "AES256"}),
        ({"encryption": "aws:kms"}, {SSE: "aws:kms"}),
        (
            {"encryption": "aws:kms", "kms_key_id": "key/1", "bucket_key": True},
            {SSE: "aws:kms", f"{SSE}-aws-kms-key-id": "key/1", f"{SSE}-bucket-key-enabled": "true"},
        ),
        (
            {"encryption": "aws:kms:dsse", "kms_key_id": "key/1"},
            {SSE: "aws:kms:dsse", f"{SSE}-aws-kms-key-id": "key/1"},
        ),
        ({}, {}),
    ],
)
def test_every_put_requests_the_encryption(
    options: dict[str, object], headers: dict[str, str], behind_proxy: Callable[[], Middlebox]
) -> None:
    seen = puts_of_both_clients(replace(OWN, **options), behind_proxy())  # type: ignore[arg-type]

    assert {one.method for one in seen} == {"PUT", "POST"}
    for one in seen:
        sent = {name: value for name, value in one.headers.items() if name.startswith(SSE)}
        assert {name: value for name, value in sent.items() if value.lower() != "false"} == headers


def test_signed_puts_name_the_headers_that_their_bearer_must_send() -> None:
    settings = replace(OWN, encryption="aws:kms", kms_key_id="key/1", requester_pays=True)
    bucket = Bucket(settings, name="photos")
    signed = sign_put(bucket, KEY, seconds=60, size=1, content_type=JPEG, sha256=bytes(32))

    named = set(parse_qs(urlsplit(signed.url).query)["X-Amz-SignedHeaders"][0].split(";")) - {"host"}
    assert named <= {name.lower() for name in signed.headers}
    assert signed.headers[SSE] == "aws:kms"
    assert signed.headers["x-amz-request-payer"] == "requester"


@pytest.mark.parametrize(
    ("settings", "host", "path"),
    [
        (OWN, "s3.example.test", "/photos/"),
        (replace(OWN, addressing="virtual"), "photos.s3.example.test", "/"),
        (AWS, "photos.s3.eu-west-1.amazonaws.com", "/"),
        (replace(AWS, addressing="path"), "s3.eu-west-1.amazonaws.com", "/photos/"),
        (replace(AWS, dual_stack=True), "photos.s3.dualstack.eu-west-1.amazonaws.com", "/"),
        (replace(AWS, fips=True), "photos.s3-fips.eu-west-1.amazonaws.com", "/"),
        (replace(AWS, fips=True, dual_stack=True), "photos.s3-fips.dualstack.eu-west-1.amazonaws.com", "/"),
    ],
)
def test_both_clients_use_the_same_host(
    settings: StoreSettings, host: str, path: str, behind_proxy: Callable[[], Middlebox]
) -> None:
    box = behind_proxy()
    puts_of_both_clients(settings, box)

    assert {seen.host for seen in box.requests} == {host}
    assert all(seen.path.startswith(path + KEY) for seen in box.requests if "019aa" in seen.path)
    assert urlsplit(open_store(settings).sign(KEY, seconds=60)).hostname == host


def test_every_request_has_requester_pays(behind_proxy: Callable[[], Middlebox]) -> None:
    box = behind_proxy()
    settings = replace(OWN, requester_pays=True)
    puts_of_both_clients(settings, box)
    list(open_store(settings).scan())

    free = {seen.path for seen in box.requests if seen.headers.get("x-amz-request-payer") != "requester"}
    assert free == set()


def checksums_are_refused(seen: Seen) -> Reply | None:
    has_checksum = any(name.startswith(("x-amz-checksum", "x-amz-sdk-checksum")) for name in seen.headers)
    return s3_error(400, "InvalidArgument", "Unsupported header 'x-amz-checksum-crc64nvme'") if has_checksum else None


def test_a_server_that_rejects_checksums_is_used_without_them(moto_s3: S3Server, tmp_path: Path) -> None:
    bucket, sparse = moto_s3.new_bucket(), tmp_path / "scan.tif"
    with sparse.open("wb") as file:
        file.truncate(LARGE)
    digest = hashlib.sha256(sparse.read_bytes()).digest()
    with middlebox(moto_s3.endpoint_url, rule=checksums_are_refused) as box:
        settings = StoreSettings(url=f"s3://{bucket}", endpoint_url=box.url, retries=0)
        with pytest.raises(StoreError) as caught:
            open_store(settings).check()
        store = open_store(replace(settings, checksum="none"))
        store.check()
        store.create(KEY, b"photo", content_type=JPEG)
        store.create_file("2026/11/22/b.tif", sparse, size=LARGE, content_type="image/tiff", sha256=digest)

        assert '[store] checksum = "none"' in caught.value.hint
        assert store.get(KEY) == b"photo"
