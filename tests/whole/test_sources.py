"""Uploads from buckets and archives: the same rows, the same report and one read, wherever the photos lie."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from imgctl.model import Status
from tests.parts.proxy import Fault, fault_proxy
from tests.parts.seaweed import S3Server
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment, assert_whole

UPLOAD = ("upload", "--user", str(USER), "--json")


@dataclass(slots=True, kw_only=True)
class Old:
    """A bucket at another endpoint, with what was asked of it."""

    server: S3Server
    bucket: str
    requests: list[str]
    url: str

    def put(self, files: dict[str, bytes], **more: str) -> None:
        for key, data in files.items():
            self.server.client().put_object(Bucket=self.bucket, Key=key, Body=data, **more)

    def of(self, deployment: Deployment, prefix: str = "") -> Deployment:
        """The deployment with this bucket as `source:old`."""
        url = f"s3://{self.bucket}/{prefix}".rstrip("/")
        return deployment.with_settings(SOURCE_OLD_URL=url, SOURCE_OLD_ENDPOINT_URL=self.url)

    def asked(self) -> tuple[int, int]:
        """How many listing pages and how many objects were asked for since the last time."""
        pages = sum("list-type=2" in one for one in self.requests)
        gets = sum(one.startswith("GET") and "list-type=2" not in one for one in self.requests)
        assert pages + gets == len(self.requests), self.requests
        self.requests.clear()
        return pages, gets


@pytest.fixture
def old(seaweed: S3Server) -> Iterator[Old]:
    requests: list[str] = []

    def policy(method: str, path: str, number: int) -> Fault | None:
        requests.append(f"{method} {path}")
        return None

    with fault_proxy(seaweed.endpoint_url, policy=policy) as proxy:
        yield Old(server=seaweed, bucket=seaweed.new_bucket(), requests=requests, url=proxy.url)


def keys_of(album: dict[Path, bytes]) -> dict[str, bytes]:
    return {str(path.relative_to(place_of(album))): data for path, data in album.items()}


def test_a_bucket_is_uploaded_by_one_listing_and_one_get_an_object(
    servers: Deployment, album: dict[Path, bytes], old: Old
) -> None:
    old.put(keys_of(album))
    deployment = old.of(servers)

    first = deployment.run(*UPLOAD, "source:old")
    asked_first = old.asked()
    again = deployment.run(*UPLOAD, "source:old")

    assert (first.code, first.summary["uploaded"], first.summary["present"]) == (0, 20, 2), first.err
    assert (again.code, again.summary["uploaded"], again.summary["present"]) == (0, 0, 22)
    pages = asked_first[0]
    assert asked_first == (pages, 22)
    assert old.asked() == (pages, 0)
    assert_whole(servers, album.values(), status=Status.PROCESSING)
    assert sorted(str(one["path"]) for one in first.of("file")) == sorted(f"source:old/{key}" for key in keys_of(album))


def test_a_changed_object_is_read_again_and_the_others_are_not(servers: Deployment, old: Old) -> None:
    old.put({f"{number}.jpg": photo(number) for number in range(5)})
    deployment = old.of(servers)
    deployment.run(*UPLOAD, "source:old")
    old.put({"3.jpg": photo(9)})
    old.requests.clear()

    again = deployment.run(*UPLOAD, "source:old")

    assert (again.code, again.summary["uploaded"], again.summary["present"]) == (0, 1, 4), again.err
    assert old.asked()[1] == 1


def test_a_list_and_a_manifest_may_name_objects(servers: Deployment, old: Old, tmp_path: Path) -> None:
    old.put({f"a/{number}.jpg": photo(number) for number in range(4)})
    deployment = old.of(servers)
    (tmp_path / "list").write_text("source:old/a/0.jpg\nsource:old/a/none.jpg\nsource:new/a/0.jpg\n")
    (tmp_path / "manifest.csv").write_text(f"path,user_id,caption\nsource:old/a/1.jpg,{USER},The pier\n")

    listed = deployment.run(*UPLOAD, "--files-from", tmp_path / "list")
    entered = deployment.run("upload", "--json", "--manifest", tmp_path / "manifest.csv")

    assert (listed.code, listed.summary["uploaded"], listed.summary["failed"]) == (3, 1, 2), listed.err
    assert {one["reason"] for one in listed.of("file") if one["fate"] == "failed"} == {"not_found", "source"}
    assert (entered.code, entered.summary["uploaded"]) == (0, 1), entered.err
    assert [image.caption for image in servers.images()] == [None, "The pier"]


def test_a_source_in_the_store_is_refused(servers: Deployment) -> None:
    inside = servers.with_settings(
        SOURCE_OLD_URL=f"{servers.store.url}/old", SOURCE_OLD_ENDPOINT_URL=servers.store.endpoint_url
    )

    result = inside.run("upload", "source:old", "--user", str(USER))

    assert result.code == 2
    assert "lies in the store itself" in result.err
    assert "imgctl insert" in result.err


def test_a_missing_bucket_fails_by_its_name_and_the_rest_goes_on(
    servers: Deployment, album: dict[Path, bytes], old: Old
) -> None:
    deployment = servers.with_settings(SOURCE_OLD_URL="s3://nobody-made-this", SOURCE_OLD_ENDPOINT_URL=old.url)

    result = deployment.run(*UPLOAD, "source:old", place_of(album))

    assert (result.code, result.summary["uploaded"], result.summary["failed"]) == (3, 20, 1), result.err
    assert "source:old/" in result.err


def test_a_source_that_no_table_names_is_a_usage_error(embedded: Deployment) -> None:
    result = embedded.run("upload", "source:old", "--user", str(USER))

    assert result.code == 2
    assert "[source.old]" in result.err
