"""Read-only buckets, for each provider that a local server can emulate."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imgctl.config.catalog_store import SourceSettings
from imgctl.errors import BlobMissing, BucketMissing, ConfigError, StoreDenied
from imgctl.store.blobs.source_buckets import Elsewhere, Got, open_elsewhere
from tests.parts.seaweed import S3Server

KEYS = ["a.jpg", "b c.jpg", "d/e.jpg", "é/日.jpg"]
Opener = Callable[[str], Elsewhere]


@pytest.fixture(params=["seaweed", "moto", "gs"])
def filled(request: pytest.FixtureRequest) -> tuple[Elsewhere, S3Server]:
    """A bucket with objects below and beside `in/`. moto emulates Google's XML API, which obstore uses: it is like S3's."""
    server: S3Server = request.getfixturevalue("seaweed" if request.param == "seaweed" else "moto_s3")
    bucket = server.new_bucket()
    if request.param == "gs":
        # moto does not decode `%2D` in a bucket's name.
        bucket = bucket.replace("-", "")
        server.client().create_bucket(Bucket=bucket)
    for key in (*(f"in/{key}" for key in KEYS), "in.jpg", "out/x.jpg"):
        server.client().put_object(Bucket=bucket, Key=key, Body=f"bytes of {key}".encode(), ACL="public-read")
    scheme, anonymous = ("gs", True) if request.param == "gs" else ("s3", False)
    settings = SourceSettings(
        url=f"{scheme}://{bucket}/in", endpoint_url=server.endpoint_url, anonymous=anonymous, retries=1
    )
    return open_elsewhere(settings), server


def whole(got: Got) -> tuple[int, str, bytes]:
    return got.size, got.etag, got.whole()


def test_listed_objects_are_read_with_the_same_size_and_etag(filled: tuple[Elsewhere, S3Server]) -> None:
    bucket, _ = filled

    pages = list(bucket.pages())

    assert [key for page in pages for key in page.keys] == KEYS
    for page in pages:
        for at, key in enumerate(page.keys):
            data = f"bytes of in/{key}".encode()
            assert bucket.read(key, whole) == (len(data), page.etags[at], data)
            assert bucket.read(key, lambda got: b"".join(got.pieces())) == data
            head = bucket.head(key)
            assert head is not None
            assert (head.size, head.etag) == (page.sizes[at], page.etags[at])


def test_a_missing_object_is_reported(filled: tuple[Elsewhere, S3Server]) -> None:
    bucket, _ = filled

    assert bucket.head("none.jpg") is None
    with pytest.raises(BlobMissing):
        bucket.read("none.jpg", whole)


def test_a_missing_bucket_is_reported(seaweed: S3Server) -> None:
    bucket = open_elsewhere(SourceSettings(url="s3://nobody-made-this", endpoint_url=seaweed.endpoint_url))

    with pytest.raises(BucketMissing):
        list(bucket.pages())


@pytest.mark.parametrize("url", ["ftp://a/b", "s3://", "s3://user:password@bucket", "bucket", "gs://-"])
def test_an_invalid_url_is_rejected_without_showing_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        open_elsewhere(SourceSettings(url=url))

    assert "password" not in raised.value.line


def test_a_profile_has_its_own_credentials(seaweed: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = seaweed.new_bucket()
    seaweed.client().put_object(Bucket=bucket, Key="a.jpg", Body=b"x")
    (tmp_path / "credentials").write_text(
        f"[good]\naws_access_key_id = {seaweed.access_key}\naws_secret_access_key = {seaweed.secret_key}\n"
        "[bad]\naws_access_key_id = nobody\naws_secret_access_key = nothing\n"
    )
    (tmp_path / "config").write_text("[profile good]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-store")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-store")

    def opened(profile: str) -> Elsewhere:
        url = f"s3://{bucket}"
        return open_elsewhere(SourceSettings(url=url, endpoint_url=seaweed.endpoint_url, profile=profile, retries=0))

    assert opened("good").read("a.jpg", whole)[2] == b"x"
    assert [page.keys for page in opened("good").pages()] == [("a.jpg",)]
    for wrong in ("bad", "", "unknown"):
        with pytest.raises(StoreDenied):
            opened(wrong).read("a.jpg", whole)
        with pytest.raises(StoreDenied):
            list(opened(wrong).pages())
