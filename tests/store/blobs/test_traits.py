"""Tests of server features that imgctl relies on, and the alternatives for servers without them."""

import hashlib
import logging
import re
from pathlib import Path

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import BlobExists, BucketMissing
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.open import open_store
from imgctl.store.blobs.traits import Kept, Level, Traits, verdict, verdicts
from tests.parts.middlebox import Reply, Rule, Seen, middlebox, s3_error
from tests.parts.proxy import Fault, fault_proxy
from tests.parts.seaweed import S3Server
from tests.store.blobs.s3.stubs import stubbed

JPEG = "image/jpeg"
KEY = "2026/11/22/019aa-original.jpg"
OF_DIRECTORIES = Traits(put_if_absent=Kept.YES)
ALL = Traits(put_if_absent=Kept.YES, checksum=Kept.YES, order=Kept.YES, if_match=Kept.YES, etag=Kept.YES)
FOUND = {
    "file": OF_DIRECTORIES,
    "seaweed": ALL,
    "moto": Traits(put_if_absent=Kept.YES, checksum=Kept.IGNORED, order=Kept.YES, if_match=Kept.YES, etag=Kept.YES),
    "rclone": Traits(
        put_if_absent=Kept.IGNORED, checksum=Kept.IGNORED, order=Kept.YES, if_match=Kept.IGNORED, etag=Kept.YES
    ),
    "azurite": Traits(put_if_absent=Kept.YES, checksum=Kept.YES, order=Kept.YES, if_match=Kept.YES),
    # fake-gcs-server 1.54, the wheel's version, accepts any MD5; later versions and Google do not.
    "gcs": Traits(put_if_absent=Kept.YES, checksum=Kept.IGNORED, order=Kept.YES, if_match=Kept.YES),
}


def test_traits_match_the_server_and_the_probes_are_deleted(store: BlobStore, kind: str) -> None:
    assert store.traits() == FOUND[kind]
    assert list(store.scan()) == []


def conditions_are_not_implemented(seen: Seen) -> Reply | None:
    return s3_error(501, "NotImplemented") if seen.method == "PUT" and "if-none-match" in seen.headers else None


def listings_are_reversed(seen: Seen) -> Reply | None:
    if seen.method != "GET" or "list-type" not in seen.path:
        return None
    prefix = seen.path.partition("prefix=")[2].partition("&")[0]
    keys = [f"{prefix}{name}" for name in ("b", "a", "B")]
    listed = "".join(
        f"<Contents><Key>{key}</Key><Size>9</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
        for key in keys
    )
    return Reply(body=f"<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>".encode())


def ranges_are_ignored(seen: Seen) -> Reply | None:
    return Reply(body=b"123456789", headers={"ETag": '"e"'}) if "range" in seen.headers else None


def etags_are_left_out(seen: Seen) -> Reply | None:
    return Reply() if seen.method == "PUT" and seen.path.endswith("/etag") else None


def puts_are_forbidden_below_the_probes(seen: Seen) -> Reply | None:
    return s3_error(403, "AccessDenied") if seen.method == "PUT" and "imgctl-check" in seen.path else None


@pytest.mark.parametrize(
    ("rule", "name", "kept", "level"),
    [
        (conditions_are_not_implemented, "put-if-absent", Kept.NOT_IMPLEMENTED, Level.WARN),
        (listings_are_reversed, "order", Kept.IGNORED, Level.FAIL),
        (ranges_are_ignored, "if-match", Kept.NOT_IMPLEMENTED, Level.FAIL),
        (etags_are_left_out, "etag", Kept.IGNORED, Level.FAIL),
    ],
)
def test_a_missing_trait_is_detected(rule: Rule, name: str, kept: Kept, level: Level, moto_s3: S3Server) -> None:
    bucket = moto_s3.new_bucket()

    with middlebox(moto_s3.endpoint_url, rule=rule) as box:
        traits = open_store(StoreSettings(url=f"s3://{bucket}", endpoint_url=box.url, retries=0)).traits()

    found = next(one for one in verdicts(traits) if one.name == name)
    assert found == verdict(name, kept)
    assert found.level is level
    assert found.hint


@pytest.mark.parametrize("size", [10, 70 * 2**20])
@pytest.mark.parametrize("lack", ["ignored", "not implemented"])
def test_without_put_if_absent_an_existing_key_is_found_by_head(
    lack: str, size: int, tmp_path: Path, rclone_s3: S3Server, seaweed: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    server = rclone_s3 if lack == "ignored" else seaweed
    rule: Rule = conditions_are_not_implemented if lack == "not implemented" else lambda _: None
    bucket, sparse = server.new_bucket(), tmp_path / "scan.tif"
    with sparse.open("wb") as file:
        file.truncate(size)
    digest = hashlib.sha256(sparse.read_bytes()).digest()

    with middlebox(server.endpoint_url, rule=rule) as box, caplog.at_level(logging.WARNING):
        store = open_store(StoreSettings(url=f"s3://{bucket}", endpoint_url=box.url, retries=0))
        store.create_file(KEY, sparse, size=size, content_type="image/tiff", sha256=digest)
        for _ in range(3):
            with pytest.raises(BlobExists, match="019aa-original"):
                store.create(KEY, b"another", content_type=JPEG)
        found, held = [blob.key for blob in store.scan()], len(store.get(KEY))

    assert store.put_if_absent is (Kept.IGNORED if lack == "ignored" else Kept.NOT_IMPLEMENTED)
    assert len([seen for seen in box.puts() if ".imgctl-check/" in seen.path]) <= 2
    assert len(caplog.records) == 1
    assert "If-None-Match" in caplog.text
    assert (found, held) == ([KEY], size)


def test_without_put_if_absent_what_another_run_put_during_the_parts_stays(tmp_path: Path, rclone_s3: S3Server) -> None:
    bucket, size = rclone_s3.new_bucket(), 70 * 2**20
    another, sparse = open_store(rclone_s3.settings(bucket)), tmp_path / "scan.tif"
    with sparse.open("wb") as file:
        file.truncate(size)
    digest = hashlib.sha256(sparse.read_bytes()).digest()

    def another_run_is_faster(seen: Seen) -> Reply | None:
        if re.search(r"partNumber=1(&|$)", seen.path):
            another.create(KEY, b"another", content_type=JPEG)
        return None

    with middlebox(rclone_s3.endpoint_url, rule=another_run_is_faster) as box:
        store = open_store(StoreSettings(url=f"s3://{bucket}", endpoint_url=box.url, retries=0))
        with pytest.raises(BlobExists, match="019aa-original"):
            store.create_file(KEY, sparse, size=size, content_type="image/tiff", sha256=digest)

    assert another.get(KEY) == b"another"


@pytest.mark.parametrize("what", ["put", "copy"])
def test_without_put_if_absent_a_put_whose_response_was_lost_is_not_repeated(what: str, rclone_s3: S3Server) -> None:
    methods: list[str] = []

    def loses_the_response(method: str, path: str, _number: int) -> Fault | None:
        if KEY not in path:
            return None
        methods.append(method)
        return Fault.LOST_RESPONSE if method == "PUT" else None

    with fault_proxy(rclone_s3.endpoint_url, policy=loses_the_response) as proxy:
        bucket = rclone_s3.new_bucket()
        store = open_store(StoreSettings(url=f"s3://{bucket}", endpoint_url=proxy.url, retries=2))
        store.replace("in/1", b"x", content_type=JPEG)
        found = store.head("in/1")
        assert found is not None
        with pytest.raises(BlobExists, match="019aa-original"):
            if what == "put":
                store.create(KEY, b"x", content_type=JPEG)
            else:
                store.copy("in/1", KEY, etag=found.etag, content_type=JPEG)

    assert methods[:3] == ["HEAD", "PUT", "HEAD"]
    assert methods.count("PUT") == 1


def test_put_if_absent_is_tested_once_for_many_puts(moto_s3: S3Server) -> None:
    bucket = moto_s3.new_bucket()
    with middlebox(moto_s3.endpoint_url) as box:
        store = open_store(StoreSettings(url=f"s3://{bucket}", endpoint_url=box.url, retries=0))
        for number in range(5):
            store.create(f"2026/11/22/{number}-original.jpg", b"x", content_type=JPEG)

    assert [seen.method for seen in box.requests] == ["PUT", "PUT", "POST"] + ["PUT"] * 5
    assert all("if-none-match" in seen.headers for seen in box.puts())


def test_if_the_probe_is_forbidden_puts_still_have_the_condition(moto_s3: S3Server) -> None:
    bucket = moto_s3.new_bucket()
    with middlebox(moto_s3.endpoint_url, rule=puts_are_forbidden_below_the_probes) as box:
        store = open_store(StoreSettings(url=f"s3://{bucket}", endpoint_url=box.url, retries=0))
        store.create(KEY, b"x", content_type=JPEG)
        with pytest.raises(BlobExists):
            store.create(KEY, b"y", content_type=JPEG)

    assert store.put_if_absent is Kept.UNKNOWN


def test_a_failed_test_of_put_if_absent_is_repeated(moto_s3: S3Server) -> None:
    store = open_store(StoreSettings(url="s3://made-later", endpoint_url=moto_s3.endpoint_url, retries=0))

    with pytest.raises(BucketMissing):
        store.create(KEY, b"x", content_type=JPEG)
    moto_s3.client().create_bucket(Bucket="made-later")
    store.create(KEY, b"x", content_type=JPEG)

    assert store.put_if_absent is Kept.YES


def test_no_link_is_signed_that_could_overwrite(rclone_s3: S3Server) -> None:
    store = open_store(rclone_s3.settings(rclone_s3.new_bucket()))

    assert store.sign_create(KEY, seconds=60, size=1, content_type=JPEG, sha256=bytes(32)) is None


def test_versioning_is_requested_once() -> None:
    store, stubber = stubbed()
    stubber.add_response("get_bucket_versioning", {"Status": "Enabled"})

    assert store.keeps_versions() and store.keeps_versions()
    stubber.assert_no_pending_responses()
