"""Features of buckets only: checksums, errors, retries, archived and foreign objects."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import (
    BlobArchived,
    BlobExists,
    BucketMissing,
    ConfigError,
    StoreDenied,
    StoreUnavailable,
)
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.open import open_store
from imgctl.store.blobs.s3.bucket import open_obstore
from imgctl.store.blobs.s3.connect import connection
from tests.parts.middlebox import Middlebox
from tests.parts.moto_server import fill
from tests.parts.proxy import Fault, Policy, fault_proxy
from tests.parts.seaweed import ACCESS_KEY, SECRET_KEY, S3Server

JPEG = "image/jpeg"
KEY = "2026/11/22/019aa-original.jpg"
# The check value of CRC-64/NVME, 0xae8b14860a799888, as S3 writes it.
CHECK_INPUT, CHECK_CRC64NVME = b"123456789", "rosUhgp5mIg="


def at(url: str, bucket: str, *, timeout: float = 20.0, retries: int = 0) -> BlobStore:
    return open_store(StoreSettings(url=f"s3://{bucket}", endpoint_url=url, timeout=timeout, retries=retries))


def once(fault: Fault, method: str) -> Policy:
    """Inject the fault into the first request of that method."""
    left = [fault]

    def policy(seen: str, _path: str, _number: int) -> Fault | None:
        return left.pop() if seen == method and left else None

    return policy


def test_variant_carries_its_headers(seaweed: S3Server) -> None:
    bucket = seaweed.new_bucket()

    at(seaweed.endpoint_url, bucket).replace(KEY, b"x", content_type="image/webp")

    found = seaweed.client().head_object(Bucket=bucket, Key=KEY)
    assert found["ContentType"] == "image/webp"
    assert found["CacheControl"] == "public, max-age=31536000, immutable"


def test_a_put_has_a_checksum_that_the_server_stores(seaweed: S3Server) -> None:
    bucket = seaweed.new_bucket()

    at(seaweed.endpoint_url, bucket).create(KEY, CHECK_INPUT, content_type=JPEG)

    found = seaweed.client().head_object(Bucket=bucket, Key=KEY, ChecksumMode="ENABLED")
    assert found["ChecksumCRC64NVME"] == CHECK_CRC64NVME


def test_server_rejects_a_body_that_differs_from_its_checksum(seaweed: S3Server) -> None:
    bucket = seaweed.new_bucket()

    with pytest.raises(ClientError, match="BadDigest"):
        seaweed.client().put_object(Bucket=bucket, Key=KEY, Body=b"body", ChecksumCRC64NVME=CHECK_CRC64NVME)
    assert at(seaweed.endpoint_url, bucket).head(KEY) is None


@pytest.mark.parametrize("server", ["moto_s3", "rclone_s3"])
def test_server_without_this_checksum_accepts_puts_too(server: str, request: pytest.FixtureRequest) -> None:
    there = request.getfixturevalue(server)
    bucket = there.new_bucket()
    store = at(there.endpoint_url, bucket)

    store.create(KEY, b"original", content_type=JPEG)
    store.replace(KEY, b"variant", content_type=JPEG)

    assert store.get(KEY) == b"variant"


@pytest.mark.parametrize(
    ("endpoint", "payload"),
    [
        ("http://127.0.0.1", "UNSIGNED-PAYLOAD"),
        ("http://s3.example.test", hashlib.sha256(CHECK_INPUT).hexdigest()),
        ("https://s3.example.test", "UNSIGNED-PAYLOAD"),
    ],
)
def test_signature_covers_the_bytes_only_where_others_could_change_them(
    endpoint: str, payload: str, behind_proxy: Callable[[], Middlebox]
) -> None:
    box = behind_proxy()
    url = box.url if endpoint.endswith("127.0.0.1") else endpoint

    at(url, "photos").create(KEY, CHECK_INPUT, content_type=JPEG)

    (seen,) = [seen for seen in box.puts() if seen.path.endswith(KEY)]
    assert seen.headers["x-amz-content-sha256"] == payload
    assert seen.headers["x-amz-checksum-crc64nvme"] == CHECK_CRC64NVME
    assert seen.headers["if-none-match"] == "*"
    assert seen.body == CHECK_INPUT


def test_missing_bucket_is_reported_as_missing(moto_s3: S3Server) -> None:
    store = at(moto_s3.endpoint_url, "no-such-bucket")
    requests: list[Callable[[], object]] = [
        store.check,
        lambda: store.get(KEY),
        lambda: store.create(KEY, b"x", content_type=JPEG),
        lambda: list(store.scan()),
        lambda: store.delete([KEY]),
    ]

    for request in requests:
        with pytest.raises(BucketMissing, match="no-such-bucket") as caught:
            request()
        assert caught.value.hint


def test_check_finds_a_missing_bucket_if_a_put_would_create_it(seaweed: S3Server) -> None:
    with pytest.raises(BucketMissing):
        at(seaweed.endpoint_url, "never-made").check()


def test_silent_endpoint_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match=r"http://127\.0\.0\.1:1 cannot be reached"):
        at("http://127.0.0.1:1", "bucket").get(KEY)


def test_wrong_secret_is_denied_and_never_shown(seaweed: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-wrong-secret")

    with pytest.raises(StoreDenied) as caught:
        at(seaweed.endpoint_url, "bucket").check()
    assert "\n" not in caught.value.line
    assert "a-wrong-secret" not in repr(caught.value) + caught.value.line
    assert ACCESS_KEY not in caught.value.line
    assert "credentials" in caught.value.hint


def test_missing_credentials_are_denied_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(StoreDenied) as caught:
        at("http://127.0.0.1:1", "bucket").check()
    assert "AWS_PROFILE" in caught.value.hint


def test_half_a_pair_of_credentials_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(StoreDenied, match="AWS_SECRET_ACCESS_KEY"):
        at("http://127.0.0.1:1", "bucket").check()


def test_credentials_come_from_the_aws_chain(
    seaweed: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = seaweed.new_bucket()
    (tmp_path / "credentials").write_text(
        f"[archive]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    )
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "archive")
    store = at(seaweed.endpoint_url, bucket)

    store.create(KEY, b"x", content_type=JPEG)

    assert store.get(KEY) == b"x"


def test_error_of_an_archived_blob_has_the_restore_command(moto_s3: S3Server) -> None:
    bucket = moto_s3.new_bucket()
    moto_s3.client().put_object(Bucket=bucket, Key=KEY, Body=b"x", StorageClass="DEEP_ARCHIVE")

    with pytest.raises(BlobArchived, match="019aa") as caught:
        at(moto_s3.endpoint_url, bucket).get(KEY)
    assert "restore" in caught.value.hint


def test_foreign_names_are_listed_too(moto_s3: S3Server) -> None:
    bucket = moto_s3.new_bucket()
    names = sorted(["a", "b//c", "/lead", "m/../n", "z/é", "tab\there"])
    for name in names:
        moto_s3.client().put_object(Bucket=bucket, Key=name, Body=b"x")

    assert [blob.key for blob in at(moto_s3.endpoint_url, bucket).scan()] == names


def test_stores_under_two_prefixes_do_not_see_each_other(seaweed: S3Server) -> None:
    bucket = seaweed.new_bucket()
    one, two = (open_store(seaweed.settings(bucket, prefix=name)) for name in ("one", "one-more"))

    one.create(KEY, b"1", content_type=JPEG)

    assert [blob.key for blob in one.scan()] == [KEY]
    assert list(two.scan()) == []
    assert seaweed.client().head_object(Bucket=bucket, Key=f"one/{KEY}")


@pytest.mark.parametrize("fault", [Fault.SERVICE_UNAVAILABLE, Fault.RESET, Fault.STALL])
@pytest.mark.parametrize("method", ["PUT", "GET", "POST"])
def test_request_that_fails_once_is_retried(seaweed: S3Server, fault: Fault, method: str) -> None:
    bucket = seaweed.new_bucket()
    with fault_proxy(seaweed.endpoint_url, policy=once(fault, method)) as proxy:
        store = at(proxy.url, bucket, timeout=1.0, retries=8)
        store.create(KEY, b"x", content_type=JPEG)
        found = store.get(KEY)
        store.delete([KEY])

    assert found == b"x"
    assert proxy.faults[method] == 1
    assert at(seaweed.endpoint_url, bucket).head(KEY) is None


def test_create_whose_response_was_lost_raises_blob_exists(seaweed: S3Server) -> None:
    bucket = seaweed.new_bucket()
    lost: list[str] = []

    def first_put_of_the_key(method: str, path: str, _number: int) -> Fault | None:
        if method != "PUT" or KEY not in path or lost:
            return None
        lost.append(path)
        return Fault.LOST_RESPONSE

    with fault_proxy(seaweed.endpoint_url, policy=first_put_of_the_key) as proxy:
        store = at(proxy.url, bucket, retries=2)

        with pytest.raises(BlobExists):
            store.create(KEY, b"x", content_type=JPEG)
        assert store.get(KEY) == b"x"


def test_retries_end(seaweed: S3Server) -> None:
    with fault_proxy(seaweed.endpoint_url, policy=lambda *_: Fault.SERVICE_UNAVAILABLE) as proxy:
        with pytest.raises(StoreUnavailable, match="SlowDown"):
            at(proxy.url, "bucket", retries=2).create(KEY, b"x", content_type=JPEG)

        assert proxy.requests["PUT"] == 3


def test_listing_continues_after_a_failed_page(moto_s3: S3Server) -> None:
    bucket = moto_s3.new_bucket()
    keys = [f"k/{number:04}" for number in range(1010)]
    fill(bucket, keys)

    with fault_proxy(moto_s3.endpoint_url, policy=lambda _m, _p, number: Fault.RESET if number == 1 else None) as proxy:
        assert [blob.key for blob in at(proxy.url, bucket, retries=1).scan()] == keys
    assert proxy.faults["GET"] == 1


def test_failed_upload_in_parts_leaves_none(seaweed: S3Server, tmp_path: Path) -> None:
    bucket, size = seaweed.new_bucket(), 65 * 2**20
    with (tmp_path / "scan.tif").open("wb") as file:
        file.truncate(size)

    with fault_proxy(
        seaweed.endpoint_url, policy=lambda _m, path, _n: Fault.RESET if "partNumber=2" in path else None
    ) as proxy:
        store = at(proxy.url, bucket)
        with pytest.raises(StoreUnavailable):
            store.create_file(KEY, tmp_path / "scan.tif", size=size, content_type="image/tiff", sha256=b"")

    assert seaweed.client().list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
    assert at(seaweed.endpoint_url, bucket).head(KEY) is None


def test_unreadable_home_means_the_default_region(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", f"/{'x' * 5000}")

    assert connection(StoreSettings(url="s3://photos"), "photos").region == "us-east-1"


def test_endpoint_setting_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:2")

    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1 "):
        at("http://127.0.0.1:1", "bucket").get(KEY)


def test_aws_itself_is_addressed_by_the_bucket_s_host() -> None:
    url = open_store(StoreSettings(url="s3://photos", region="eu-west-1")).sign(KEY, seconds=60)

    assert url.startswith(f"https://photos.s3.eu-west-1.amazonaws.com/{KEY}?")


def test_client_never_retries_on_its_own() -> None:
    where = connection(StoreSettings(endpoint_url="http://127.0.0.1:1"), "bucket")

    opened = open_obstore(where)

    assert opened.retry_config is not None
    assert opened.retry_config["max_retries"] == 0


@pytest.mark.parametrize("url", ["", "photos", "file://", "s3://", "s3://a", "https://u:hush@host/b", "s3://u:hush@b"])
def test_invalid_url_is_rejected(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(StoreSettings(url=url))
    assert caught.value.hint
    assert "hush" not in caught.value.line
