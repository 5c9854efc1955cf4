"""The main cycle, end to end: upload, work, look up, and the same again."""

from pathlib import Path

import pytest

from imgctl.model import Status, Variant
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment, assert_whole

SHARED = Path(__file__).parents[3] / "shared" / "photos"


def test_photos_go_from_a_directory_to_ready(new_deployment: Deployment, album: dict[Path, bytes]) -> None:
    uploaded = new_deployment.run("upload", place_of(album), "--user", str(USER), "--json")
    worked = new_deployment.with_pool().run("work", "--drain", "--json")
    listed = new_deployment.run("ls", "--user", str(USER), "--json")

    assert (uploaded.code, worked.code, listed.code) == (0, 0, 0), uploaded.err + worked.err
    assert uploaded.summary["uploaded"] == 20
    assert uploaded.summary["present"] == 2
    images = listed.of("image")
    assert len(images) == 20
    assert {image["status"] for image in images} == {"ready"}
    assert all(image[f"{role}_key"] for image in images for role in ("original", *Variant))
    assert [image["uploaded_at"] for image in images] == sorted((str(i["uploaded_at"]) for i in images), reverse=True)
    assert_whole(new_deployment, album.values(), status=Status.READY)


def test_the_same_commands_again_change_nothing(deployment: Deployment, album: dict[Path, bytes]) -> None:
    deployment.run("upload", place_of(album), "--user", str(USER))
    deployment.run("work", "--drain")
    images, blobs = deployment.images(), list(deployment.open_store().scan())

    uploaded = deployment.run("upload", place_of(album), "--user", str(USER), "--json")
    worked = deployment.run("work", "--drain", "--json")

    assert (uploaded.code, worked.code) == (0, 0)
    assert uploaded.summary["uploaded"] == 0
    assert uploaded.summary["present"] == 22
    assert worked.of("image") == []
    assert deployment.images() == images
    assert list(deployment.open_store().scan()) == blobs


def test_two_users_with_the_same_photo_each_have_their_own(embedded: Deployment, album: dict[Path, bytes]) -> None:
    other = "0190b2b4-0000-7000-8000-000000000002"
    embedded.run("upload", place_of(album), "--user", str(USER))

    result = embedded.run("upload", place_of(album), "--user", other, "--json")

    assert result.summary["uploaded"] == 20
    assert len(embedded.images()) == 40


def test_every_file_is_accounted_for_by_name(embedded: Deployment, tmp_path: Path) -> None:
    place = tmp_path / "mixed"
    place.mkdir()
    (place / "good.jpg").write_bytes(photo(1))
    (place / "notes.txt").write_text("no picture")
    (place / "lost.jpg").write_bytes(b"")
    (place / ".empty").write_bytes(b"")
    (place / "odd\nname \udcff.jpg").write_bytes(photo(2))
    (place / "link.jpg").symlink_to(place / "good.jpg")

    result = embedded.run("upload", place, place / "gone", "--user", str(USER), "--json")

    fates = {Path(str(file["path"])).name: (file["fate"], file["reason"]) for file in result.of("file")}
    assert fates == {
        "good.jpg": ("uploaded", None),
        "notes.txt": ("skipped", "not_an_image"),
        "lost.jpg": ("failed", "empty"),
        ".empty": ("skipped", "junk"),
        "odd\nname \udcff.jpg": ("uploaded", None),
        "link.jpg": ("skipped", "link"),
        "gone": ("failed", "not_found"),
    }
    assert result.code == 3
    assert result.summary["files"] == len(fates)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared photos are not here")
def test_each_shared_photo_ends_ready_or_failed_in_plain_words(deployment: Deployment) -> None:
    uploaded = deployment.run("upload", SHARED, "--user", str(USER), "--json")
    deployment.run("work", "--drain")
    listed = deployment.run("ls", "--user", str(USER), "--json").of("image")

    files = [path.read_bytes() for path in SHARED.rglob("*") if path.suffix not in (".md", "") and path.is_file()]
    assert uploaded.code == 0, uploaded.err
    assert len(listed) == len(set(files))
    for image in listed:
        if image["status"] == "failed":
            assert len(str(image["error"]).split()) > 5
        else:
            assert image["status"] == "ready"
            assert all(image[f"{role}_key"] for role in ("original", *Variant))
