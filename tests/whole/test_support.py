"""The support commands as processes: show, find, url, get and stats."""

import urllib.request
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import update

from imgctl.model import Image, StorageClass
from imgctl.store.blobs.base import Tier
from imgctl.store.blobs.open import open_store
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.schema import images
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment

CDN = "https://images.example.org/pictures"


@pytest.fixture
def filled(embedded: Deployment, tmp_path: Path) -> Deployment:
    """Three photos, all ready, in a directory."""
    return fill(embedded, tmp_path)


@pytest.fixture
def either(deployment: Deployment, tmp_path: Path) -> Deployment:
    """Three photos, all ready, in a directory or in a bucket."""
    return fill(deployment, tmp_path)


def fill(deployment: Deployment, tmp_path: Path) -> Deployment:
    place = tmp_path / "three"
    place.mkdir()
    for number in range(3):
        (place / f"{number}.jpg").write_bytes(photo(number))
    assert deployment.run("upload", place, "--user", str(USER)).code == 0
    assert deployment.run("work", "--drain").code == 0
    return deployment


def write(deployment: Deployment, image: Image, **values: object) -> None:
    catalog = open_catalog(deployment.catalog_url)
    with catalog.write() as connection:
        connection.execute(update(images).where(images.c.id == image.id).values(**values))
    catalog.close()


def archive(deployment: Deployment, image: Image) -> None:
    cold = open_store(deployment.store)
    blob = cold.details(image.original_key or "")
    assert blob is not None
    cold.move(blob.key, to=StorageClass.GLACIER, etag=blob.etag)
    write(deployment, image, storage_class=StorageClass.GLACIER.value)


def test_show_prints_row_blobs_history_cost_and_next_step(either: Deployment) -> None:
    image = either.images()[0]

    shown = either.run("show", str(image.id), "--json")
    told = either.run("show", str(image.id))

    [record] = shown.of("image")
    blobs = record["blobs"]
    assert isinstance(blobs, list)
    assert [blob["role"] for blob in blobs] == ["original", "thumb", "medium", "full"]
    assert all(blob["present"] and blob["size"] and blob["storage_class"] == "STANDARD" for blob in blobs)
    assert record["sha256"] == (image.sha256 or b"").hex()
    assert record["ok"] is True
    assert record["mend"] is None
    history = [moment["what"].partition(" (")[0] for moment in record["history"] if moment["at"]]  # type: ignore[attr-defined]
    built = ["thumb written", "medium written", "full written"]
    assert [what for what in history if what != "picture taken"] == ["row promised", "original written", *built]
    assert "all is well" in told.out
    assert told.code == 0


def test_an_image_is_named_by_its_id_a_beginning_a_key_or_a_url(filled: Deployment) -> None:
    image = filled.images()[0]
    signed = filled.run("url", str(image.id), "--variant", "thumb").out.strip()
    ways = [
        str(image.id).upper(),
        str(image.id)[:-4],
        image.original_key or "",
        f"{CDN}/{image.thumb_key}?v=0123abcd#top",
        f"s3://bucket/some/prefix/{image.full_key}",
        f"file:///srv/blobs/{image.medium_key}",
        signed,
    ]

    found = [filled.run("show", way, "--json").of("image")[0]["id"] for way in ways]

    assert found == [str(image.id)] * len(ways)


def test_a_missing_variant_is_seen_and_the_command_named(filled: Deployment) -> None:
    image = filled.images()[0]
    filled.open_store().delete([image.medium_key or ""])

    [record] = filled.run("show", str(image.id), "--json").of("image")

    assert record["ok"] is False
    assert "medium" in str(record["advice"])
    assert record["mend"] == f"imgctl repair --id {image.id} --apply"


def test_ls_pages_by_the_last_id(filled: Deployment) -> None:
    first = filled.run("ls", "--limit", "2", "--json")
    mark = str(first.summary["before"])
    second = filled.run("ls", "--limit", "2", "--before", mark, "--json")
    of_user = filled.run("ls", "--user", str(USER), "--status", "ready", "--json")

    ids = [record["id"] for page in (first, second) for record in page.of("image")]
    assert ids == [str(image.id) for image in reversed(filled.images())]
    assert [record["id"] for record in of_user.of("image")] == ids
    assert second.summary["before"] is None


def test_a_signed_link_gives_the_variant(either: Deployment) -> None:
    image = either.images()[0]

    url = either.run("url", str(image.id), "--width", "50").out.strip()

    with urllib.request.urlopen(url) as answer:
        assert answer.read() == either.open_store().get(image.thumb_key or "")


def test_a_cdn_link_names_the_recipe_and_an_original_never_has_one(either: Deployment) -> None:
    image = either.images()[0]
    with_cdn = either.with_settings(LINKS_CDN=CDN)

    variant = with_cdn.run("url", str(image.id), "--variant", "full").out.strip()
    signed = with_cdn.run("url", str(image.id), "--variant", "full", "--no-cdn").out.strip()
    original = with_cdn.run("url", str(image.id), "--original", "--expires", "10m", "--json").of("link")[0]

    assert variant == f"{CDN}/{image.full_key}?v={image.recipe}"
    assert not signed.startswith(CDN)
    in_bucket = either.store.url.startswith("s3://")
    assert not str(original["url"]).startswith(CDN)
    assert (original["signed"], original["expires_at"] is not None) == (in_bucket, in_bucket)
    assert with_cdn.run("url", str(image.id), "--original", "--cdn").code == 2
    assert either.run("url", str(image.id), "--cdn").code == 2


def test_an_archived_original_has_a_next_step(embedded: Deployment, tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(photo(1))
    embedded.run("upload", tmp_path / "one.jpg", "--user", str(USER))
    [image] = embedded.images()
    archive(embedded, image)

    refused = embedded.run("url", str(image.id), "--original")
    [shown] = embedded.run("show", str(image.id), "--json").of("image")
    open_store(embedded.store).restore(image.original_key or "", tier=Tier.BULK, days=1)
    allowed = embedded.run("url", str(image.id), "--original")

    assert refused.code == 1
    assert f"imgctl restore {image.id}" in refused.err
    assert f"imgctl restore {image.id}" in str(shown["mend"])
    assert allowed.code == 0


def test_get_brings_every_blob_verified_and_a_second_time_changes_nothing(either: Deployment, tmp_path: Path) -> None:
    image = either.images()[0]
    out = tmp_path / "out"

    first = either.run("get", str(image.id), "--out", out, "--json")
    second = either.run("get", str(image.id), "--out", out, "--json")

    assert (first.code, second.code) == (0, 0)
    assert first.summary == {"type": "summary", "saved": 4, "present": 0, "failed": 0}
    assert second.summary == {"type": "summary", "saved": 0, "present": 4, "failed": 0}
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    assert sha256(files[image.name or ""]).digest() == image.sha256
    assert files[f"{image.id}-thumb.jpg"] == either.open_store().get(image.thumb_key or "")
    assert len(files) == 4


def test_get_leaves_a_file_that_differs_unless_forced(filled: Deployment, tmp_path: Path) -> None:
    image = filled.images()[0]
    mine = tmp_path / f"{image.id}-thumb.jpg"
    mine.write_bytes(b"mine")

    refused = filled.run("get", str(image.id), "--out", tmp_path)
    kept = mine.read_bytes()
    forced = filled.run("get", str(image.id), "--out", tmp_path, "--force")

    assert refused.code == 3
    assert "--force" in refused.err
    assert kept == b"mine"
    assert forced.code == 0
    assert mine.read_bytes() == filled.open_store().get(image.thumb_key or "")


@pytest.mark.parametrize("more", [(), ("--force",)])
def test_get_keeps_another_file_with_the_name_of_the_original(
    filled: Deployment, tmp_path: Path, more: tuple[str, ...]
) -> None:
    image = filled.images()[0]
    mine = tmp_path / (image.name or "")
    mine.write_bytes(b"mine")

    result = filled.run("get", str(image.id), "--out", tmp_path, *more)

    assert (result.code, mine.read_bytes()) == (0, b"mine")
    own = tmp_path / (image.original_key or "").rpartition("/")[2]
    assert sha256(own.read_bytes()).digest() == image.sha256


def test_a_link_to_a_file_is_neither_signed_nor_expires(filled: Deployment) -> None:
    [link] = filled.run("url", str(filled.images()[0].id), "--original", "--json").of("link")

    assert (link["signed"], link["expires_at"]) == (False, None)
    assert str(link["url"]).startswith("file://")


def test_photos_are_found_by_the_name_they_came_with_and_get_it_back(embedded: Deployment, tmp_path: Path) -> None:
    names = ["a/IMG_0001.JPG", "b/IMG_0001.JPG", "b/.hidden.jpg", "b/\udcff.jpg"]
    for number, name in enumerate(names):
        path = tmp_path / "cards" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo(number))
    out = tmp_path / "out"
    out.mkdir()

    embedded.run("upload", tmp_path / "cards", "--user", str(USER), "--no-junk-filter")
    listed = embedded.run("ls", "--user", str(USER), "--name", "img_0*", "--json").of("image")
    ids = [str(image.id) for image in embedded.images()]
    first = embedded.run("get", *ids, "--out", out, "--json")
    again = embedded.run("get", *ids, "--out", out, "--json")

    assert [record["name"] for record in listed] == ["IMG_0001.JPG"] * 2
    assert first.summary == {"type": "summary", "saved": 4, "present": 0, "failed": 0}
    assert again.summary == {"type": "summary", "saved": 0, "present": 4, "failed": 0}
    second = next(path.name for path in out.iterdir() if path.name.endswith("-original.jpg"))
    assert second.removesuffix("-original.jpg") in ids
    assert {path.name for path in out.iterdir()} == {"IMG_0001.JPG", "hidden.jpg", "\ufffd.jpg", second}
    assert {path.read_bytes() for path in out.iterdir()} == {photo(number) for number in range(4)}


@pytest.mark.parametrize("taken_at", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)])
def test_an_image_of_the_first_or_the_last_moment_is_shown(filled: Deployment, taken_at: datetime) -> None:
    image = filled.images()[0]
    write(filled, image, taken_at=taken_at)

    assert filled.run("show", str(image.id)).code == 0


def test_get_goes_on_behind_an_image_that_is_not_found(filled: Deployment, tmp_path: Path) -> None:
    first, last = filled.images()[0], filled.images()[-1]
    unknown = "0190b2b4-0000-7000-8000-000000000009"

    some = filled.run("get", str(first.id), unknown, str(last.id), "--out", tmp_path / "out", "--json")
    none = filled.run("get", unknown, "--out", tmp_path / "out")

    assert (some.code, {one["id"] for one in some.of("blob")}) == (3, {str(first.id), str(last.id)})
    assert (none.code, unknown in some.err, unknown in none.err) == (1, True, True)


def test_get_refuses_an_original_that_is_not_what_was_uploaded(filled: Deployment, tmp_path: Path) -> None:
    image = filled.images()[0]
    data = filled.open_store().get(image.original_key or "")
    filled.open_store().replace(image.original_key or "", data[:-1] + b"?", content_type="image/jpeg")

    result = filled.run("get", str(image.id), "--out", tmp_path / "out", "--json")

    fates = {str(blob["role"]): blob["fate"] for blob in result.of("blob")}
    assert result.code == 3
    assert fates == {"original": "failed", "thumb": "saved", "medium": "saved", "full": "saved"}
    assert not (tmp_path / "out" / (image.name or "")).exists()
    assert not list((tmp_path / "out").glob(".*"))


def test_stats_add_up(embedded: Deployment, album: dict[Path, bytes]) -> None:
    embedded.run("upload", place_of(album), "--user", str(USER))

    whole = embedded.run("stats", "--json")
    by_status = embedded.run("stats", "--by", "status", "--json")

    size = sum(map(len, set(album.values())))
    assert whole.summary == {"type": "summary", "images": 20, "bytes": size}
    [group] = by_status.of("group")
    assert (group["status"], group["images"], group["processing"]) == ("processing", 20, 20)
    assert group["backlog_seconds"] is not None
    assert embedded.run("stats").out.split()[:2] == ["IMAGES", "BYTES"]


def found(deployment: Deployment, *arguments: str | Path) -> list[str]:
    """Return the names of the images that `imgctl find` prints."""
    result = deployment.run("find", *arguments, "--json")
    assert result.code == 0, result.err
    return sorted(str(one["name"]) for one in result.of("image"))


def test_an_image_is_found_by_whatever_names_it(filled: Deployment, tmp_path: Path) -> None:
    image = next(one for one in filled.images() if one.name == "1.jpg")
    user = ("--user", str(USER))

    for one in (str(image.id), str(image.id)[:18], image.original_key or "", f"{CDN}/{image.thumb_key}?v=1"):
        assert found(filled, one) == ["1.jpg"]
    assert found(filled, (image.sha256 or b"").hex(), *user) == ["1.jpg"]
    assert found(filled, "--like", tmp_path / "three/1.jpg", *user) == ["1.jpg"]
    assert found(filled, "1", *user) == found(filled, "?.JPG", "--like", tmp_path / "three/1.jpg", *user) == ["1.jpg"]
    assert found(filled, "*.jpg", *user) == found(filled, *user) == ["0.jpg", "1.jpg", "2.jpg"]
    assert found(filled, "--taken-since", "2000-01-01", *user) == []


def test_a_search_through_everybodys_rows_is_asked_for_or_indexed(filled: Deployment) -> None:
    refused = filled.run("find", "1")
    scanned = filled.run("find", "1", "--all-users")
    indexed = filled.with_settings(FIND_INDEX="true")

    assert (refused.code, scanned.code) == (2, 0)
    assert "--all-users" in refused.err
    assert "no index covers names" in scanned.err
    assert "applied idx_name, idx_taken, idx_digest" in indexed.run("init").out
    assert indexed.run("find", "1").err == ""
    assert found(indexed, "1") == ["1.jpg"]
    assert "already current" in indexed.run("init").out
