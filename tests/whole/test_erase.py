"""`imgctl erase` as a process: it shows the images first, deletes them, writes a receipt, and can be repeated."""

import hashlib
import hmac
import json
from pathlib import Path
from uuid import UUID

import pytest

from imgctl.keys import key_of
from imgctl.store.catalog.engine import open_catalog
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment, Result

OTHER = UUID("0190b2b4-0000-7000-8000-000000000002")
SECRET = "a secret of thirty-two characters"


PHOTOS = 4


@pytest.fixture
def album(tmp_path: Path) -> dict[Path, bytes]:
    """A few photos."""
    (place := tmp_path / "album" / "0").mkdir(parents=True)
    files = {place / f"{number}.jpg": photo(number) for number in range(PHOTOS)}
    for path, data in files.items():
        path.write_bytes(data)
    return files


@pytest.fixture
def archive(deployment: Deployment, album: dict[Path, bytes]) -> Deployment:
    """Two users with the same photos, with variants."""
    signing = deployment.with_settings(SERVE_SECRET=SECRET, LINKS_CDN="https://cdn.example.org")
    for user in (USER, OTHER):
        assert signing.run("upload", place_of(album), "--user", str(user)).code == 0
    assert signing.run("work", "--drain").code == 0
    return signing


def erase(deployment: Deployment, *more: str, user: UUID = USER) -> Result:
    return deployment.run("erase", "--user", str(user), "--confirm-user", str(user), "--yes", "--json", *more)


def contents(deployment: Deployment) -> dict[str, bytes]:
    store = deployment.open_store()
    return {blob.key: store.get(blob.key) for blob in store.scan()}


def of_user(deployment: Deployment, user: UUID) -> dict[str, bytes]:
    ids = {str(image.id) for image in deployment.images() if image.user_id == user}
    return {key: data for key, data in contents(deployment).items() if key[11:47] in ids}


def receipt_of(result: Result) -> list[dict[str, object]]:
    file = Path(str(result.of("receipt")[0]["file"]))
    *lines, last = file.read_bytes().splitlines(keepends=True)
    signed = json.loads(last)["hmac_sha256"]
    assert signed == hmac.new(SECRET.encode(), b"".join(lines), hashlib.sha256).hexdigest()
    return [json.loads(line) for line in lines]


def test_a_users_images_are_shown_then_deleted_and_no_others(archive: Deployment) -> None:
    theirs, mine = of_user(archive, OTHER), of_user(archive, USER)

    shown = archive.run("erase", "--user", str(USER), "--json")

    assert shown.code == 0
    assert (shown.summary["images"], shown.summary["blobs"]) == (PHOTOS, 4 * PHOTOS)
    assert shown.summary["bytes"] == sum(map(len, mine.values()))
    assert shown.summary["purge_urls"] == 6 * PHOTOS
    assert of_user(archive, USER) == mine

    done = erase(archive, "--purge-urls", "purge.txt")

    assert done.code == 0, done.err
    assert done.summary["erased"] == PHOTOS
    assert {image.user_id for image in archive.images()} == {OTHER}
    assert contents(archive) == theirs
    urls = (archive.directory / "purge.txt").read_text().splitlines()
    assert {url.partition("?")[0].removeprefix("https://cdn.example.org/") for url in urls} == {
        key for key in mine if "original" not in key
    }
    _, *erased, summary = receipt_of(done)
    assert summary == {
        "type": "summary", "images": PHOTOS, "blobs": 4 * PHOTOS, "bytes": sum(map(len, mine.values())), "unfinished": 0,
        "complete": True,
    }  # fmt: skip
    assert {str(one["id"]) for one in erased} == {key[11:47] for key in mine}
    assert all(one["blobs"] == 4 for one in erased)
    assert str(USER) not in json.dumps(erased)


def test_links_that_an_earlier_run_named_stay_until_they_are_purged(archive: Deployment) -> None:
    erase(archive, "--purge-urls", "purge.txt")
    first = (archive.directory / "purge.txt").read_text()

    # The same command again, as after a run that left images waiting.
    erase(archive, "--purge-urls", "purge.txt")
    erase(archive, "--purge-urls", "purge.txt", user=OTHER)
    archive.run("erase", "--user", str(OTHER), "--purge-urls", "purge.txt")

    lines = (archive.directory / "purge.txt").read_text().splitlines()
    assert lines[: 6 * PHOTOS] == first.splitlines()
    assert len(lines) == len(set(lines)) == 2 * 6 * PHOTOS


def test_a_second_run_leaves_nothing_and_the_same_receipt(archive: Deployment) -> None:
    first, second = erase(archive), erase(archive)

    assert (second.code, second.summary["erased"]) == (0, 0)
    assert receipt_of(second)[1:] == receipt_of(first)[1:]


def test_the_same_photos_may_be_uploaded_again(archive: Deployment, album: dict[Path, bytes]) -> None:
    before = {image.id for image in archive.images() if image.user_id == USER}
    assert erase(archive).code == 0

    again = archive.run("upload", place_of(album), "--user", str(USER), "--json")

    assert (again.code, again.summary["uploaded"]) == (0, PHOTOS)
    assert before.isdisjoint({image.id for image in archive.images()})
    assert archive.run("audit").code == 0


def test_some_images_are_erased_by_id_key_and_url(archive: Deployment, tmp_path: Path) -> None:
    first, second, third, *_ = [image for image in archive.images() if image.user_id == USER]
    (listed := tmp_path / "ids").write_text(f"{third.id}\n\n{third.original_key}\nnonsense\n")

    done = archive.run(
        "erase", str(first.id), f"https://cdn.example.org/{second.thumb_key}?v=1", "--yes", "--receipt", "here.jsonl"
    )
    by_file = archive.run("erase", "--ids-from", listed, "--yes", "--json")

    assert done.code == 0, done.err
    assert (archive.directory / "here.jsonl").exists()
    assert (by_file.code, by_file.summary["erased"], by_file.summary["missing"]) == (3, 1, 1)
    assert f"{listed}:4" in by_file.err
    left = {image.id for image in archive.images()}
    assert left.isdisjoint({first.id, second.id, third.id})
    assert len(left) == 2 * PHOTOS - 3
    assert archive.run("erase", str(first.id), "--yes", "--json").summary["already"] == 1
    missing = archive.run("erase", "0190b2b4-0000-7000-8000-00000000ffff", "--yes", "--json")
    assert (missing.code, missing.summary["missing"]) == (3, 1)


def test_an_image_named_by_the_beginning_of_its_id_may_be_erased_again(archive: Deployment) -> None:
    one = next(iter(archive.images()))
    beginning = str(one.id)[:-2]

    first = archive.run("erase", beginning, "--yes", "--json")
    second = archive.run("erase", beginning, "--yes", "--json")
    shown = archive.run("show", beginning)

    assert (first.code, first.summary["erased"]) == (0, 1)
    assert (second.code, second.summary["already"], second.of("receipt")[0]["images"]) == (0, 1, 1)
    assert "was erased at" in shown.err


def test_a_database_that_was_restored_is_caught_up_by_receipts(embedded: Deployment, album: dict[Path, bytes]) -> None:
    deployment = embedded.with_settings(SERVE_SECRET=SECRET)
    assert deployment.run("upload", place_of(album), "--user", str(USER)).code == 0
    backup = (deployment.directory / "catalog.db").read_bytes()
    came_back = contents(deployment)
    receipt = receipt_of(done := erase(deployment))
    file = str(done.of("receipt")[0]["file"])
    for name in ("catalog.db-wal", "catalog.db-shm"):
        (deployment.directory / name).unlink(missing_ok=True)
    (deployment.directory / "catalog.db").write_bytes(backup)
    for key, data in list(came_back.items())[:3]:
        deployment.open_store().create(key, data, content_type="image/jpeg")

    shown = deployment.run("erase", "--again", file, "--json")
    again = deployment.run("erase", "--again", file, "--yes", "--json")

    assert (shown.summary["images"], shown.summary["blobs"]) == (PHOTOS, 3)
    assert (again.code, again.summary["erased"]) == (0, PHOTOS)
    assert (deployment.images(), contents(deployment)) == ([], {})
    assert {one["id"] for one in receipt_of(again) if one["type"] == "erased"} == {
        one["id"] for one in receipt if one["type"] == "erased"
    }


def test_a_receipt_that_was_changed_deletes_nothing(archive: Deployment) -> None:
    image = archive.images()[0]
    done = archive.run("erase", str(image.id), "--yes", "--json")
    file = Path(str(done.of("receipt")[0]["file"]))
    other = archive.images()[-1]
    file.write_text(file.read_text().replace(str(image.id), str(other.id)))

    again = archive.run("erase", "--again", file, "--yes")

    assert again.code == 2
    assert "no valid signature" in again.err
    assert other.id in {one.id for one in archive.images()}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "chosen in exactly one way"),
        (("--user", str(USER), "--unfinished"), "in exactly one way"),
        (("--user", str(USER), "--yes"), "--confirm-user"),
        (("--user", str(USER), "--yes", "--confirm-user", str(OTHER)), "--confirm-user"),
        (("--again",), "chosen in exactly one way"),
        ((str(USER), "--confirm-user", str(USER)), "belongs to --user"),
    ],
)
def test_what_does_not_fit_together_is_refused(embedded: Deployment, arguments: tuple[str, ...], word: str) -> None:
    refused = embedded.with_settings(SERVE_SECRET=SECRET).run("erase", *arguments)

    assert refused.code == 2
    assert word in refused.err


def test_without_a_secret_nothing_is_deleted(embedded: Deployment, album: dict[Path, bytes]) -> None:
    assert embedded.run("upload", place_of(album), "--user", str(USER)).code == 0

    refused = erase(embedded)

    assert refused.code == 2
    assert "no secret" in refused.err
    assert len(embedded.images()) == PHOTOS


def test_where_no_receipt_can_be_written_nothing_is_deleted(archive: Deployment) -> None:
    before = contents(archive)
    (archive.directory / "file").write_text("no directory")

    results = [
        erase(archive, "--receipt", "file/receipt.jsonl"),
        erase(archive.in_environment(XDG_STATE_HOME="/proc/nowhere")),
    ]

    assert [result.code for result in results] == [1, 1]
    assert all("--receipt FILE" in result.err for result in results)
    assert contents(archive) == before


def test_a_key_of_another_image_stays_and_is_named(archive: Deployment) -> None:
    mine = next(image for image in archive.images() if image.user_id == USER)
    other = next(image for image in archive.images() if image.user_id == OTHER)
    catalog = open_catalog(archive.catalog_url)
    with catalog.write() as connection:
        from sqlalchemy import update

        from imgctl.store.catalog.schema import images

        connection.execute(update(images).where(images.c.id == mine.id).values(thumb_key=other.thumb_key))
    catalog.close()

    done = archive.run("erase", str(mine.id), "--yes", "--json")

    assert (done.code, done.summary["erased"], done.summary["foreign"]) == (3, 1, 1)
    assert str(other.thumb_key) in done.err
    assert str(other.thumb_key) in contents(archive)
    assert key_of(mine.id, "thumb", "jpg") not in contents(archive)


def test_what_comes_back_of_an_erased_image_is_found_and_deleted_when_asked(archive: Deployment) -> None:
    theirs = of_user(archive, OTHER)
    key, data = next(iter(of_user(archive, USER).items()))
    assert erase(archive).code == 0
    archive.open_store().create(key, data, content_type="image/jpeg")

    audit = archive.run("audit", "--grace", "0s", "--json")
    kept = archive.run("repair", "--grace", "0s", "--apply", "--json")
    left = key in contents(archive)
    mended = archive.run("repair", "--grace", "0s", "--erased", "--apply", "--json")
    again = archive.run("audit", "--grace", "0s", "--json")

    assert (audit.code, [(one["code"], one["key"]) for one in audit.of("finding")]) == (
        4,
        [("erased_but_present", key)],
    )
    assert left, kept.out
    assert mended.code == 0, mended.err
    assert contents(archive) == theirs
    assert (again.code, again.of("finding")) == (0, [])


def test_a_user_who_never_had_images_gets_no_receipt(archive: Deployment) -> None:
    nobody = UUID(int=5)

    shown = archive.run("erase", "--user", str(nobody))
    erased = erase(archive, "--receipt", "receipt.jsonl", user=nobody)

    assert (shown.code, erased.code) == (1, 1)
    assert f"user {nobody} has no images, and none that was erased" in erased.err
    assert not (archive.directory / "receipt.jsonl").exists()
