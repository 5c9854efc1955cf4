"""`imgctl export` as a process: the bag is complete or reported as incomplete, on any store and after any kill."""

import csv
import logging
import os
import random
import signal
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from uuid import UUID
from zipfile import ZipFile

import bagit
import pytest
from sqlalchemy import delete, update

from imgctl.model import Image, Status
from imgctl.run import scratch
from imgctl.store.blobs.open import open_store
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.schema import images
from tests.parts.seaweed import S3Server
from tests.soak import rounds
from tests.whole.cold import archive_all
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment, kill_when

EXPORT = ("export", "--user", str(USER))


@pytest.fixture
def filled(embedded: Deployment, album: dict[Path, bytes]) -> Deployment:
    """Twenty photos of one user in a directory."""
    assert embedded.run("upload", place_of(album), "--user", str(USER)).code == 0
    return embedded


@pytest.fixture
def in_moto(tmp_path: Path, moto_s3: S3Server, album: dict[Path, bytes]) -> Deployment:
    """The same in a bucket with storage classes."""
    place = tmp_path / "run"
    place.mkdir()
    store = moto_s3.settings(moto_s3.new_bucket())
    found = Deployment(directory=place, catalog_url=f"sqlite:///{place}/catalog.db", store=store)
    assert found.run("upload", place_of(album), "--user", str(USER)).code == 0
    return found


def files_of(out: Path, place: Path) -> dict[str, bytes]:
    """Validate a bag with the Library of Congress's validator and return its payload; a ZIP file is unpacked first."""
    if out.suffix == ".zip":
        with ZipFile(out) as archive:
            assert archive.testzip() is None
            archive.extractall(place / "unpacked")
        out = place / "unpacked" / out.stem
    logging.getLogger("bagit").setLevel(logging.ERROR)
    bag = bagit.Bag(str(out))
    bag.validate(processes=1)
    return {path: (out / path).read_bytes() for path in bag.payload_files()}


def in_bucket(deployment: Deployment, url: str, place: Path) -> dict[str, bytes]:
    """Copy the payload of a bag in a bucket to a directory."""
    store = open_store(replace(deployment.store, url=url))
    for blob in store.scan():
        file = place / blob.key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(store.get(blob.key))
    return files_of(place, place)


def contents(album: dict[Path, bytes]) -> list[bytes]:
    return sorted(set(album.values()))


def change(deployment: Deployment, image: Image, **values: object) -> None:
    with closing(open_catalog(deployment.catalog_url)) as catalog, catalog.write() as connection:
        if values:
            connection.execute(update(images).where(images.c.id == image.id).values(**values))
        else:
            connection.execute(delete(images).where(images.c.id == image.id))


@pytest.mark.parametrize("kind", ["bag", "bag.zip"])
def test_a_killed_export_is_finished_by_the_next(
    filled: Deployment, album: dict[Path, bytes], tmp_path: Path, kind: str
) -> None:
    rng = random.Random(kind)
    began = time.monotonic()
    assert filled.run(*EXPORT, "--out", tmp_path / f"whole-{kind}").code == 0
    usual = time.monotonic() - began
    for number in range(rounds(4, 60)):
        out = tmp_path / f"{number}-{kind}"
        for _ in range(rng.randrange(1, 4)):
            run = filled.start(*EXPORT, "--out", out)
            kill_when(run, partial(_is_past, time.monotonic() + rng.uniform(0, usual)))
        again = filled.run(*EXPORT, "--out", out)

        assert again.code == 0, again.err
        assert sorted(files_of(out, tmp_path / str(number)).values()) == contents(album)
    assert [*(filled.directory / ".local" / "state" / "imgctl").glob("export-*.db*")] == []


@pytest.mark.parametrize("kind", ["bag", "bag.zip"])
def test_what_a_kill_leaves_of_a_complete_export_is_removed_by_the_next(
    filled: Deployment, tmp_path: Path, kind: str
) -> None:
    assert filled.run(*EXPORT, "--out", tmp_path / kind).code == 0
    [note] = (filled.directory / ".local" / "state" / "imgctl").glob("export-*.json")
    # Killed after the bag was recorded as complete.
    for left in (".db", ".db-journal"):
        note.with_suffix(left).touch()

    again = filled.run(*EXPORT, "--out", tmp_path / kind)

    assert again.code == 0, again.err
    assert [*note.parent.glob("export-*")] == [note]


def test_a_killed_export_to_a_bucket_is_finished_by_the_next(
    servers: Deployment, album: dict[Path, bytes], seaweed: S3Server, tmp_path: Path
) -> None:
    servers.run("upload", place_of(album), "--user", str(USER))
    rng = random.Random("bucket")
    for number in range(rounds(2, 30)):
        url = f"s3://{seaweed.new_bucket()}/bags/{number}"
        run = servers.start(*EXPORT, "--out", url, "--yes")
        kill_when(run, partial(_is_past, time.monotonic() + rng.uniform(0, 1)))
        if number % 2:
            # Another machine has no state of the first run.
            for file in (servers.directory / ".local" / "state" / "imgctl").glob("export-*"):
                file.unlink()
        blobs = open_store(replace(servers.store, url=url)).scan()
        ended = number % 2 and any(blob.key.endswith("bagit.txt") for blob in blobs)
        again = servers.run(*EXPORT, "--out", url, "--yes")

        # Without that state a complete bag cannot be distinguished from that of another export.
        assert again.code == (2 if ended else 0), again.err
        assert sorted(in_bucket(servers, url, tmp_path / str(number)).values()) == contents(album)


@pytest.mark.parametrize("kind", ["bag", "bag.zip"])
def test_a_corrupt_original_is_named_and_never_handed_over(filled: Deployment, tmp_path: Path, kind: str) -> None:
    bad, missing, *_ = filled.images()
    store, out = filled.open_store(), tmp_path / kind
    store.replace(bad.original_key or "", b"x" * (bad.bytes or 0), content_type="image/jpeg")
    store.delete([missing.original_key or ""])

    first = filled.run(*EXPORT, "--out", out, "--json")
    partial_run = filled.run(*EXPORT, "--out", out, "--partial")

    assert (first.code, partial_run.code) == (3, 3)
    assert str(bad.id) in first.err and "SHA-256 differs" in first.err
    assert str(missing.id) in first.err
    assert (first.summary["failed"], first.summary["complete"]) == (2, False)
    found = files_of(out, tmp_path)
    assert len(found) == len(filled.images()) - 2
    assert bad.sha256 not in {*map(digest, found.values())}
    left_out = (tmp_path / ("unpacked/bag" if kind.endswith("zip") else kind) / "left-out.csv").read_text()
    assert str(bad.id) in left_out and str(missing.id) in left_out


def test_a_bag_is_complete_once_what_was_missing_is_there(filled: Deployment, tmp_path: Path) -> None:
    bad, out = filled.images()[3], tmp_path / "bag"
    store, key = filled.open_store(), filled.images()[3].original_key or ""
    data = store.get(key)
    store.replace(key, b"damaged", content_type="image/jpeg")
    first = filled.run(*EXPORT, "--out", out)
    no_bag = not (out / "bagit.txt").exists()
    store.replace(key, data, content_type="image/jpeg")

    second = filled.run(*EXPORT, "--out", out, "--json")
    third = filled.run(*EXPORT, "--out", out)

    assert (first.code, no_bag, second.code, third.code) == (3, True, 0, 0)
    assert (second.summary["saved"], second.summary["present"]) == (1, 19)
    assert bad.sha256 in {*map(digest, files_of(out, tmp_path).values())}
    assert "complete" in third.out


@pytest.mark.parametrize("kind", ["bag", "bag.zip"])
def test_a_complete_bag_says_what_was_uploaded_since(filled: Deployment, tmp_path: Path, kind: str) -> None:
    out = tmp_path / kind
    first = filled.run(*EXPORT, "--out", out, "--json")
    same = filled.run(*EXPORT, "--out", out, "--json")
    for number in (1001, 1002):
        (tmp_path / f"{number}.jpg").write_bytes(photo(number))
    old = ("--uploaded-at", "mtime")
    assert filled.run("upload", tmp_path / "1001.jpg", tmp_path / "1002.jpg", "--user", str(USER), *old).code == 0

    later = filled.run(*EXPORT, "--out", out, "--json")
    elsewhere = filled.run(*EXPORT, "--out", tmp_path / f"new-{kind}")

    assert (first.code, same.code, later.code, elsewhere.code) == (0, 0, 3, 0), later.err
    assert (same.summary["newer"], same.summary["left_out"], same.summary["as_of"]) == (0, 0, first.summary["as_of"])
    assert (later.summary["complete"], later.summary["newer"]) == (True, 2)
    assert f"it lacks 2 images uploaded since: export to another --out, or delete {out}" in later.err


@pytest.mark.parametrize("place", ["", "bag", "2026/bag.zip"])
def test_nothing_is_exported_into_the_store_itself(filled: Deployment, tmp_path: Path, place: str) -> None:
    root = Path(filled.store.url.removeprefix("file://"))
    (tmp_path / "link").symlink_to(root)

    for out in (root / place, tmp_path / "link" / place):
        refused = filled.run(*EXPORT, "--out", out)

        assert refused.code == 2
        assert "is in the store itself" in refused.err
    got = filled.run("get", str(filled.images()[0].id), "--out", root / "got")
    assert (got.code, (root / "got").exists()) == (2, False)


def test_a_complete_bag_says_again_what_it_left_out(filled: Deployment, tmp_path: Path) -> None:
    begun, *_ = filled.images()
    change(filled, begun, status=Status.UPLOADING)
    first = filled.run(*EXPORT, "--out", tmp_path / "bag")

    again = filled.run(*EXPORT, "--out", tmp_path / "bag", "--json")

    assert (first.code, again.code, again.summary["left_out"]) == (3, 3, 1)
    assert "1 file left out" in again.err


def test_uploads_that_are_not_whole_and_variants_that_are_not_built_are_said(
    filled: Deployment, tmp_path: Path
) -> None:
    begun, failed, *_ = filled.images()
    change(filled, begun, status=Status.UPLOADING)
    change(filled, failed, status=Status.FAILED, error="cut off")

    result = filled.run(*EXPORT, "--out", tmp_path / "bag", "--variants", "thumb", "--json")
    again = filled.run(*EXPORT, "--out", tmp_path / "bag", "--variants", "thumb", "--json")

    assert (result.code, result.summary["complete"]) == (3, True)
    assert (again.code, again.summary["left_out"]) == (3, len(filled.images()))
    assert str(begun.id) in result.err and "not finished" in result.err
    assert f"unfinished thumb of {failed.id}: failed: cut off" in result.err
    assert len(files_of(tmp_path / "bag", tmp_path)) == 19
    left_out = {(row["id"], row["role"]): row["why"] for row in left_out_of(tmp_path / "bag")}
    unfinished = "its upload is not finished: no bytes are known to be safe"
    assert left_out.pop((str(begun.id), "original")) == unfinished
    assert left_out.pop((str(failed.id), "thumb")) == "failed: cut off"
    assert left_out == {(str(one.id), "thumb"): "not built yet" for one in filled.images()[2:]}


def test_a_variant_whose_blob_is_missing_is_listed_in_a_partial_bag(filled: Deployment, tmp_path: Path) -> None:
    assert filled.run("work", "--drain").code == 0
    image = filled.images()[0]
    filled.open_store().delete([image.thumb_key or ""])

    result = filled.run(*EXPORT, "--out", tmp_path / "bag", "--variants", "thumb", "--partial")

    assert result.code == 3, result.err
    assert [(row["id"], row["role"]) for row in left_out_of(tmp_path / "bag")] == [(str(image.id), "thumb")]
    assert "1 file left out, see left-out.csv" in (tmp_path / "bag" / "bag-info.txt").read_text()


def left_out_of(bag: Path) -> list[dict[str, str]]:
    with (bag / "left-out.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kind", ["bag", "bag.zip"])
def test_what_was_erased_between_two_runs_is_in_no_bag(filled: Deployment, tmp_path: Path, kind: str) -> None:
    gone, bad, *rest = filled.images()
    store, key = filled.open_store(), bad.original_key or ""
    data = store.get(key)
    store.delete([key])
    filled.run(*EXPORT, "--out", tmp_path / kind)
    change(filled, gone)
    store.create(key, data, content_type="image/jpeg")

    results = [filled.run(*EXPORT, "--out", tmp_path / kind) for _ in range(2)]

    assert results[-1].code == 0, results[-1].err
    assert {*map(digest, files_of(tmp_path / kind, tmp_path).values())} == {one.sha256 for one in (bad, *rest)}


def test_a_zip_that_another_export_began_again_is_written_anew(
    filled: Deployment, album: dict[Path, bytes], tmp_path: Path
) -> None:
    filled.run("work", "--drain")
    bad, store, out = filled.images()[-1], filled.open_store(), tmp_path / "bag.zip"
    data = store.get(bad.original_key or "")
    store.delete([bad.original_key or ""])
    codes = [filled.run(*EXPORT, "--out", out, *more).code for more in ((), ("--variants", "thumb"))]
    store.create(bad.original_key or "", data, content_type="image/jpeg")

    done = filled.run(*EXPORT, "--out", out)

    assert (codes, done.code) == ([3, 3], 0), done.err
    assert sorted(files_of(out, tmp_path).values()) == contents(album)


@pytest.mark.parametrize("kind", ["bag", "bag.zip"])
@pytest.mark.parametrize("left", [18, 0])
def test_the_next_run_drops_erased_images_of_an_unfinished_export(
    filled: Deployment, tmp_path: Path, kind: str, left: int
) -> None:
    found, store = filled.images(), filled.open_store()
    bad, gone = found[-1], found[5:6] if left else found
    kept = {image.id: store.get(image.original_key or "") for image in found}
    store.delete([bad.original_key or ""])
    first = filled.run(*EXPORT, "--out", tmp_path / kind)
    before = _bytes_of(tmp_path, kind)
    for image in gone:
        change(filled, image)

    second = filled.run(*EXPORT, "--out", tmp_path / kind)

    after = _bytes_of(tmp_path, kind)
    [state] = (filled.directory / ".local" / "state" / "imgctl").glob("export-*.db")
    assert (first.code, second.code) == (3, 3 if left else 1), second.err
    assert f"{len(gone)} image" in second.err
    assert all(kept[image.id] in before for image in gone if image is not bad)
    assert not any(kept[image.id] in after for image in gone)
    assert sum(kept[image.id] in after for image in found) == left
    assert not any(str(image.id).encode() in state.read_bytes() for image in gone)


@pytest.mark.parametrize("left", [1, 0])
@pytest.mark.parametrize("at", ["before", "after"])
def test_the_next_run_finds_each_file_of_a_killed_one(filled: Deployment, tmp_path: Path, at: str, left: int) -> None:
    filled.run("work", "--drain")
    command = (*EXPORT, "--variants", "thumb,full", "--out", tmp_path / "bag")
    store, found = filled.open_store(), filled.images()
    kept = [store.get(key) for one in found[left:] for key in (one.original_key, one.thumb_key, one.full_key) if key]

    killed = filled.start(*command, before=partial(die_at_file, 30, at)).wait()
    before = _bytes_of(tmp_path, "bag")
    for image in found[left:]:
        change(filled, image)
    second = filled.run(*command)

    after = _bytes_of(tmp_path, "bag")
    assert killed.code == -signal.SIGKILL
    assert sum(one in before for one in kept) > 20
    assert second.code == (0 if left else 1), second.err
    assert not any(one in after for one in kept)


def die_at_file(number: int, at: str) -> None:
    """Kill this process before or after it gives the last of so many files its name."""
    publish, published = scratch._publish, count(1)

    def die(new: Path, file: Path, *, anew: bool) -> None:
        is_last = next(published) == number
        if is_last and at == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        publish(new, file, anew=anew)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)

    scratch._publish = die


def _bytes_of(place: Path, kind: str) -> bytes:
    """All bytes of an unfinished bag."""
    files = [place / f"{kind}.part"] if kind.endswith(".zip") else [*(place / kind).rglob("*")]
    return b"\0".join(file.read_bytes() for file in files if file.is_file())


def test_erased_images_are_said_and_not_handed_over(filled: Deployment, tmp_path: Path) -> None:
    erasing = filled.with_settings(SERVE_SECRET="s" * 40)
    gone = filled.images()[0]

    erased = erasing.run("erase", str(gone.id), "--yes", "--grace", "0s")
    result = erasing.run(*EXPORT, "--out", tmp_path / "bag")

    assert (erased.code, result.code) == (0, 0), erased.err
    assert "erased before: 1 image" in result.err
    assert gone.sha256 not in {*map(digest, files_of(tmp_path / "bag", tmp_path).values())}


def test_what_is_archived_is_priced_restored_and_then_handed_over(in_moto: Deployment, tmp_path: Path) -> None:
    archive_all(in_moto)
    with closing(open_catalog(in_moto.catalog_url)) as catalog, catalog.write() as connection:
        connection.execute(update(images).values(storage_class="GLACIER"))
    out = ("--out", tmp_path / "bag")

    priced = in_moto.run(*EXPORT, *out, "--yes")
    refused = in_moto.run(*EXPORT, *out, "--restore", "bulk", "--max-usd", "0.00001")
    requested = in_moto.run(*EXPORT, *out, "--restore", "bulk", "--max-usd", "1", "--json")
    # moto restores at once.
    done = in_moto.run(*EXPORT, *out, "--yes")

    assert (priced.code, refused.code, done.code) == (3, 2, 0), done.err
    assert "--restore bulk" in priced.err and "5 to 12 hours" in priced.err
    assert requested.of("archived")[0]["archived"] == 20
    assert len(files_of(tmp_path / "bag", tmp_path)) == 20


def test_an_unknown_user_and_another_bag_are_refused(filled: Deployment, tmp_path: Path) -> None:
    nobody = filled.run("export", "--user", str(UUID(int=5)), "--out", tmp_path / "none")
    filled.run(*EXPORT, "--out", tmp_path / "bag")
    other = filled.run(*EXPORT, "--out", tmp_path / "bag", "--variants", "thumb")
    (tmp_path / "full" / "data").mkdir(parents=True)
    (tmp_path / "full" / "data" / "mine.txt").write_text("mine")
    strange = filled.run(*EXPORT, "--out", tmp_path / "full")

    assert (nobody.code, other.code, strange.code) == (1, 2, 3)
    assert not (tmp_path / "none").exists()
    assert "data/mine.txt" in strange.err
    assert (tmp_path / "full" / "data" / "mine.txt").read_text() == "mine"


def digest(data: bytes) -> bytes:
    return sha256(data).digest()


def _is_past(instant: float) -> bool:
    return time.monotonic() > instant
