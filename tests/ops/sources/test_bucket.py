"""A bucket as a source: large objects through a spool, and a server that throttles, closes connections or dies."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from imgctl.config.catalog_store import SourceSettings, StoreSettings
from imgctl.config.settings import WorkSettings
from imgctl.errors import NotAnImage, StoreUnavailable
from imgctl.ops.ingest.outcome import FileOutcome, Reason
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.ingest.spool import SpoolDirectory
from imgctl.ops.sources import base
from imgctl.ops.sources.base import Read, SourceFile
from imgctl.ops.sources.bucket import BucketFiles
from imgctl.ops.sources.open import own_prefix
from imgctl.ops.upload.options import Selection
from imgctl.ops.upload.selection_rules import SelectionRules
from imgctl.store.blobs.source_buckets import open_elsewhere
from tests.imaging.pictures import encoded, quadrants
from tests.parts.proxy import Fault, fault_proxy
from tests.parts.seaweed import S3Server

PHOTO = encoded(quadrants(), "JPEG")
RULES = SelectionRules(Selection(user_id=UUID(int=1)))
RECOGNISER = Recogniser(WorkSettings())


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[SpoolDirectory]:
    spools = SpoolDirectory(str(tmp_path))
    yield spools
    spools.close()


def files(server: S3Server, endpoint_url: str, spools: SpoolDirectory, count: int, size: int = 0) -> BucketFiles:
    """Create a source of `count` photos of different content."""
    bucket = server.new_bucket()
    for number in range(count):
        server.client().put_object(Bucket=bucket, Key=f"{number}.jpg", Body=PHOTO + bytes(size) + b"%d" % number)
    settings = SourceSettings(url=f"s3://{bucket}", endpoint_url=endpoint_url, retries=4)
    return BucketFiles(open_elsewhere(settings), spools, root="old/")


def found(source: BucketFiles) -> list[SourceFile]:
    return [one for one in source.entries(RULES) if isinstance(one, SourceFile)]


def test_a_large_object_is_spooled_until_it_is_put(
    seaweed: S3Server, spools: SpoolDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "STREAM_ABOVE", 2**20)
    source = files(seaweed, seaweed.endpoint_url, spools, 1, size=3 * 2**20)

    read = source.read(found(source)[0], RECOGNISER)

    assert isinstance(read, Read) and isinstance(read.body, Path) and read.spool is not None
    assert read.body.read_bytes() == PHOTO + bytes(3 * 2**20) + b"0"
    read.spool.close()
    assert not read.body.exists()


def test_a_large_object_that_is_not_a_picture_is_not_read_to_the_end(
    moto_s3: S3Server, spools: SpoolDirectory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(base, "STREAM_ABOVE", 2**20)
    bucket = moto_s3.new_bucket()
    moto_s3.client().put_object(Bucket=bucket, Key="a.bin", Body=bytes(4 * 2**20))
    source = BucketFiles(
        open_elsewhere(SourceSettings(url=f"s3://{bucket}", endpoint_url=moto_s3.endpoint_url)), spools, root=""
    )

    with pytest.raises(NotAnImage):
        source.read(found(source)[0], RECOGNISER)

    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_requests_are_retried_after_throttling_and_broken_responses(seaweed: S3Server, spools: SpoolDirectory) -> None:
    def policy(_method: str, _path: str, number: int) -> Fault | None:
        return (Fault.SERVICE_UNAVAILABLE, Fault.RESET, None)[number % 3]

    with fault_proxy(seaweed.endpoint_url, policy=policy) as proxy:
        source = files(seaweed, proxy.url, spools, 4)
        read = [source.read(one, RECOGNISER) for one in found(source)]

    assert sorted(one.body for one in read if isinstance(one, Read) and isinstance(one.body, bytes)) == [
        PHOTO + b"%d" % number for number in range(4)
    ]


def test_a_server_that_dies_fails_some_and_then_ends_the_run(
    seaweed: S3Server, spools: SpoolDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgctl.store.blobs.retries._LONGEST_BACKOFF_SECONDS", 0.0)
    with fault_proxy(seaweed.endpoint_url) as proxy:
        source = files(seaweed, proxy.url, spools, 2)
        one, other = found(source)
        assert isinstance(source.read(one, RECOGNISER), Read)

    outcome = source.read(other, RECOGNISER)
    assert isinstance(outcome, FileOutcome)
    assert (outcome.path, outcome.reason) == ("old/1.jpg", Reason.SOURCE)
    with pytest.raises(StoreUnavailable):
        for _ in range(40):
            source.read(other, RECOGNISER)


@pytest.mark.parametrize(
    ("source", "store", "own"),
    [
        ("s3://a", "s3://b", None),
        ("s3://a", "s3://a", ""),
        ("s3://a/in", "s3://a", ""),
        ("s3://a/in/2019", "s3://a/in", ""),
        ("s3://a", "s3://a/imgctl", "imgctl/"),
        ("s3://a/x", "s3://a/x/imgctl", "imgctl/"),
        ("s3://a/in", "s3://a/imgctl", None),
        ("s3://a/in", "s3://a/in-new", None),
        ("gs://a", "s3://a", None),
        ("gs://a", "gs://a", ""),
        ("gs://a", "gs://a/imgctl", "imgctl/"),
        ("gs://a", "gs://b", None),
        ("az://a/in", "az://a", ""),
        ("az://a", "az://a/imgctl", "imgctl/"),
        ("s3://a", "file:///a", None),
    ],
)
def test_the_prefix_of_the_store_in_a_source(source: str, store: str, own: str | None) -> None:
    here, there = SourceSettings(url=source), StoreSettings(url=store)

    assert own_prefix(here, there) == own
    assert own_prefix(SourceSettings(url=source, endpoint_url="http://elsewhere"), there) is None


def test_containers_of_one_name_in_two_accounts_are_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "ours")
    source, store = SourceSettings(url="az://a"), StoreSettings(url="az://a", account="ours")
    by_url = replace(source, endpoint_url="https://ours.blob.core.windows.net/")

    assert (own_prefix(source, store), own_prefix(by_url, store)) == ("", "")
    assert own_prefix(replace(source, account="theirs"), store) is None
