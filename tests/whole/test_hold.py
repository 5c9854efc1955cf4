"""`imgctl hold` and `release`: no command deletes a held user's images until the release."""

from pathlib import Path
from uuid import UUID

import pytest

from imgctl.keys import key_of
from imgctl.store.blobs.s3.store import S3Store
from tests.parts.seaweed import S3Server
from tests.whole.conftest import photo
from tests.whole.deployment import USER, Deployment
from tests.whole.stock import stock

OTHER = UUID("0190b2b4-0000-7000-8000-000000000002")


@pytest.fixture
def held(embedded: Deployment, tmp_path: Path) -> Deployment:
    """Two users with two photos each, one of them held."""
    (tmp_path / "album").mkdir()
    for number in range(2):
        (tmp_path / "album" / f"{number}.jpg").write_bytes(photo(number))
    deployment = embedded.with_settings(SERVE_SECRET="a secret")
    for user in (USER, OTHER):
        assert deployment.run("upload", tmp_path / "album", "--user", str(user)).code == 0
    result = deployment.run("hold", "--user", str(USER), "--reason", "case 4711", "--json")
    assert result.code == 0, result.err
    return deployment


def test_a_held_user_is_refused_with_the_reason_and_others_are_erased(held: Deployment) -> None:
    ids = [str(image.id) for image in held.images()]

    whole = held.run("erase", "--user", str(USER), "--confirm-user", str(USER), "--yes", "--json")
    some = held.run("erase", *ids, "--yes", "--json")

    assert (whole.code, whole.summary["held"], whole.summary["erased"]) == (3, 2, 0)
    assert "case 4711" in whole.err
    assert (some.code, some.summary["held"], some.summary["erased"]) == (3, 2, 2)
    assert {image.user_id for image in held.images()} == {USER}
    assert len(list(held.open_store().scan())) == 2


def test_holding_again_is_one_hold_and_each_reason_is_another(held: Deployment) -> None:
    held.run("hold", "--user", str(USER), "--reason", "case 4711")
    held.run("hold", "--user", str(USER), "--reason", "case 4712")
    listed = held.run("hold", "--json")
    ids = {str(one["reason"]): str(one["id"]) for one in listed.of("hold")}

    unnamed = held.run("release", "--user", str(USER))
    first = held.run("release", "--user", str(USER), "--hold", ids["case 4711"])
    still = held.run("erase", "--user", str(USER), "--confirm-user", str(USER), "--yes", "--json")
    second = held.run("release", "--user", str(USER))
    gone = held.run("erase", "--user", str(USER), "--confirm-user", str(USER), "--yes", "--json")

    assert list(ids) == ["case 4711", "case 4712"]
    assert (unnamed.code, first.code, still.code, second.code, gone.code) == (2, 0, 3, 0, 0)
    assert gone.summary["erased"] == 2
    assert held.run("release", "--user", str(USER), "--json").summary["released"] == 0


def test_release_tells_of_other_holds_and_refuses_an_unknown_one(held: Deployment) -> None:
    held.run("hold", "--user", str(USER), "--reason", "case 4712")
    ids = {one["reason"]: str(one["id"]) for one in held.run("hold", "--json").of("hold")}

    unknown = held.run("release", "--user", str(USER), "--hold", str(USER))
    first = held.run("release", "--user", str(USER), "--hold", ids["case 4711"])
    last = held.run("release", "--user", str(USER))

    assert (unknown.code, first.code, last.code) == (2, 0, 0)
    assert f"has no hold {USER}" in unknown.err and ids["case 4711"] in unknown.err
    assert "1 other hold in force: the images stay held" in first.out + first.err
    assert "other hold" not in last.out + last.err


def test_repair_deletes_nothing_of_a_held_user(held: Deployment) -> None:
    image = next(one for one in held.images() if one.user_id == USER)
    from sqlalchemy import update

    from imgctl.model import Status
    from imgctl.store.catalog.engine import open_catalog
    from imgctl.store.catalog.schema import images

    catalog = open_catalog(held.catalog_url)
    with catalog.write() as connection:
        connection.execute(update(images).values(status=Status.UPLOADING))
    catalog.close()
    held.open_store().delete([one.original_key or "" for one in held.images()])

    result = held.run("repair", "--grace", "0s", "--stuck-after", "0s", "--apply", "--json")

    assert result.code == 0, result.err
    assert {one.user_id for one in held.images()} == {USER}
    assert image.id in {one.id for one in held.images()}


def test_repair_leaves_the_leftovers_of_a_held_user_where_they_are(embedded: Deployment) -> None:
    stock(embedded, 1, size=64)
    mine, theirs = stock(embedded, 1, first=1, size=64, user_id=OTHER)
    left = {image.user_id: key_of(image.id, "thumb", "webp") for image in (mine, theirs)}
    for key in left.values():
        embedded.open_store().create(key, b"of an older recipe", content_type="image/webp")
    assert embedded.run("hold", "--user", str(USER), "--reason", "case 4711").code == 0

    result = embedded.run(
        "repair", "--grace", "0s", "--delete-orphans", "--orphan-age", "0s", "--max-delete-percent", "100", "--apply", "--json"
    )  # fmt: skip

    assert result.code == 0, result.err
    found = {blob.key for blob in embedded.open_store().scan()}
    assert [left[user] in found for user in (USER, OTHER)] == [True, False]
    assert {str(one["key"]): "case 4711" in str(one["detail"]) for one in result.of("repair")} == {
        left[USER]: True, left[OTHER]: False,
    }  # fmt: skip


def test_variants_that_a_backfill_supersedes_stay_until_the_release(deployment: Deployment) -> None:
    for number, user in enumerate((USER, OTHER)):
        (file := deployment.directory / f"{number}.jpg").write_bytes(photo(number))
        assert deployment.run("upload", file, "--user", str(user)).code == 0
    assert deployment.run("work", "--drain").code == 0
    old = {image.user_id: image.thumb_key or "" for image in deployment.images()}
    assert deployment.run("hold", "--user", str(USER), "--reason", "case 4711").code == 0
    webp = deployment.with_settings(VARIANTS_THUMB_FORMAT="webp")
    repair = ("repair", "--grace", "0s", "--delete-orphans", "--orphan-age", "0s", "--max-delete-percent", "100")

    built = webp.run("backfill", "--stale", "--json")
    there = {blob.key for blob in webp.open_store().scan()}
    audited = webp.run("audit", "--grace", "0s", "--json")
    kept = webp.run(*repair, "--apply", "--json")
    webp.run("release", "--user", str(USER))
    removed = webp.run(*repair, "--apply", "--json")

    assert (built.code, built.summary["built"]) == (0, 2), built.err
    assert "superseded variants of 1 image stay" in built.err
    assert [old[user] in there for user in (USER, OTHER)] == [True, False]
    assert {image.leased_until for image in webp.images()} == {None}
    assert [(one["code"], one["key"]) for one in audited.of("finding")] == [("orphan_blob", old[USER])]
    assert [(one["fate"], "case 4711" in str(one["detail"])) for one in kept.of("repair")] == [("left", True)]
    assert [(one["fate"], one["key"]) for one in removed.of("repair")] == [("mended", old[USER])]
    assert webp.open_store().head(old[USER]) is None


def test_a_superseded_variant_under_a_former_prefix_is_named(embedded: Deployment, tmp_path: Path) -> None:
    (tmp_path / "0.jpg").write_bytes(photo(0))
    assert embedded.run("upload", tmp_path / "0.jpg", "--user", str(USER)).code == 0
    assert embedded.run("work", "--drain").code == 0
    (image,) = embedded.images()
    embedded.run("hold", "--user", str(USER), "--reason", "case 4711")

    moved = embedded.with_settings(STORE_VARIANTS_PREFIX="variants/")
    result = moved.run("backfill", "--force")

    assert result.code == 0, result.err
    assert all(f"{key} stays" in result.err for key in (image.thumb_key, image.medium_key, image.full_key))
    assert moved.open_store().head(image.thumb_key or "") is not None


def test_repair_keeps_what_comes_back_of_an_erased_image_while_its_owner_is_held(held: Deployment) -> None:
    theirs = next(one.original_key or "" for one in held.images() if one.user_id == OTHER)
    data = held.open_store().get(theirs)
    assert held.run("erase", "--user", str(OTHER), "--confirm-user", str(OTHER), "--yes").code == 0
    held.open_store().create(theirs, data, content_type="image/jpeg")
    repair = ("repair", "--grace", "0s", "--erased", "--apply", "--json")

    held.run("hold", "--user", str(OTHER), "--reason", "case 4712")
    kept = held.run(*repair)
    left = held.open_store().head(theirs)
    held.run("release", "--user", str(OTHER))
    gone = held.run(*repair)

    assert [("case 4712" in str(one["detail"]), one["fate"]) for one in kept.of("repair")] == [(True, "left")]
    assert left is not None
    assert gone.code == 0, gone.err
    assert held.open_store().head(theirs) is None


@pytest.mark.parametrize("secret", ["another secret", ""])
def test_repair_keeps_what_comes_back_if_the_owner_cannot_be_compared(held: Deployment, secret: str) -> None:
    theirs = next(one.original_key or "" for one in held.images() if one.user_id == OTHER)
    data = held.open_store().get(theirs)
    assert held.run("erase", "--user", str(OTHER), "--confirm-user", str(OTHER), "--yes").code == 0
    held.open_store().create(theirs, data, content_type="image/jpeg")
    repair = ("repair", "--grace", "0s", "--erased", "--apply", "--json")

    kept = held.with_settings(SERVE_SECRET=secret).run(*repair)
    left = held.open_store().head(theirs)
    gone = held.run(*repair)

    details = [(one["fate"], "another [serve] secret" in str(one["detail"])) for one in kept.of("repair")]
    assert details == [("left", True)]
    assert left is not None
    assert [one["fate"] for one in gone.of("repair")] == ["mended"]


def test_repair_keeps_what_comes_back_of_an_erasure_that_noted_no_secret(held: Deployment, tmp_path: Path) -> None:
    from sqlalchemy import update

    from imgctl.store.catalog.engine import open_catalog
    from imgctl.store.catalog.schema import erased

    theirs = next(one.original_key or "" for one in held.images() if one.user_id == OTHER)
    data, receipt = held.open_store().get(theirs), tmp_path / "receipt.jsonl"
    assert (
        held.run("erase", "--user", str(OTHER), "--confirm-user", str(OTHER), "--yes", "--receipt", receipt).code == 0
    )
    held.open_store().create(theirs, data, content_type="image/jpeg")
    # As 1.0.0rc1 left its tombstones.
    catalog = open_catalog(held.catalog_url)
    with catalog.write() as connection:
        connection.execute(update(erased).values(notes=None))
    catalog.close()
    repair = ("repair", "--grace", "0s", "--erased", "--apply", "--json")

    unknown = held.run(*repair)
    held.run("hold", "--user", str(OTHER), "--reason", "case 4712")
    known = held.run(*repair)
    held.run("release", "--user", str(OTHER))
    there = held.open_store().head(theirs)
    again = held.run("erase", "--again", receipt, "--yes", "--receipt", tmp_path / "again.jsonl")

    found = [str(one["detail"]) for run in (unknown, known) for one in run.of("repair")]
    assert [word in detail for word, detail in zip(("is not known", "case 4712"), found, strict=True)] == [True, True]
    assert there is not None
    assert again.code == 0, again.err
    assert held.open_store().head(theirs) is None


def test_undelete_leaves_the_trash_of_an_erased_image_where_it_is(held: Deployment) -> None:
    theirs = next(one.original_key or "" for one in held.images() if one.user_id == OTHER)
    data, trashed = held.open_store().get(theirs), f"trash/2026-11-22/{theirs}"
    assert held.run("erase", "--user", str(OTHER), "--confirm-user", str(OTHER), "--yes").code == 0
    held.open_store().create(trashed, data, content_type="image/jpeg")

    planned = held.run("repair", "--undelete", "all", "--json")
    applied = held.run("repair", "--undelete", "all", "--apply", "--json")

    for result in (planned, applied):
        assert [(one["fate"], one["detail"]) for one in result.of("undelete")] == [("left", "its image was erased")]
    assert held.open_store().head(trashed) is not None
    assert held.open_store().head(theirs) is None


def test_show_and_audit_tell_of_a_hold(held: Deployment) -> None:
    image = next(one for one in held.images() if one.user_id == USER)

    assert "case 4711" in held.run("show", str(image.id)).out
    assert "1 hold in force" in held.run("audit").out


@pytest.mark.parametrize("prefix", ["", "photos/"], ids=["the same prefix", "another prefix since"])
def test_the_bucket_itself_holds_every_version_until_the_release(
    tmp_path: Path, moto_s3: S3Server, embedded: Deployment, prefix: str
) -> None:
    name = f"{moto_s3.new_bucket()}-locked"
    moto_s3.client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    deployment = Deployment(
        directory=embedded.directory, catalog_url=embedded.catalog_url, store=moto_s3.settings(name)
    ).with_settings(SERVE_SECRET="a secret")
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "0.jpg").write_bytes(photo(0))
    assert deployment.run("upload", tmp_path / "album", "--user", str(USER)).code == 0
    deployment = deployment.with_settings(STORE_ORIGINALS_PREFIX=prefix, STORE_VARIANTS_PREFIX=prefix)
    store = deployment.open_store()
    assert isinstance(store, S3Store)

    held = deployment.run("hold", "--user", str(USER), "--reason", "case", "--object-lock", "--json")
    refused = list(store.purge(store.remnants([""])))
    released = deployment.run("release", "--user", str(USER), "--json")
    erased = deployment.run("erase", "--user", str(USER), "--confirm-user", str(USER), "--yes", "--json")

    assert (held.code, held.summary["locked"], held.summary["failed"]) == (0, 1, 0)
    assert ["legal hold" in error.message for _, error in refused] == [True]
    assert (released.code, released.summary["unlocked"]) == (0, 1)
    assert (erased.code, erased.summary["erased"]) == (0, 1)
    assert list(store.remnants([""])) == []


def test_the_trash_of_a_held_user_is_locked_until_the_release(
    tmp_path: Path, moto_s3: S3Server, embedded: Deployment
) -> None:
    name = f"{moto_s3.new_bucket()}-locked"
    moto_s3.client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    at = Deployment(directory=embedded.directory, catalog_url=embedded.catalog_url, store=moto_s3.settings(name))
    deployment = at.with_settings(SERVE_SECRET="a secret")
    (tmp_path / "0.jpg").write_bytes(photo(0))
    for user in (USER, OTHER):
        assert deployment.run("upload", tmp_path / "0.jpg", "--user", str(user)).code == 0
    store = deployment.open_store()
    assert isinstance(store, S3Store)
    left = {one.user_id: key_of(one.id, "thumb", "webp") for one in deployment.images()}
    trash = {user: f"trash/2026-11-22/{key}" for user, key in left.items()}
    for key in (*trash.values(), "trash/2026-11-22/notes.txt"):
        store.create(key, b"of an older recipe", content_type="image/webp")

    held = deployment.run("hold", "--user", str(USER), "--reason", "case", "--object-lock", "--json")
    refused = [one.key for one, _ in store.purge(store.remnants(["trash/"]))]
    undeleted = deployment.run("repair", "--undelete", "2026-11-22", "--apply", "--json")
    released = deployment.run("release", "--user", str(USER), "--json")
    erased = deployment.run("erase", "--user", str(USER), "--confirm-user", str(USER), "--yes", "--json")

    assert (held.code, held.summary["locked"], held.summary["failed"]) == (0, 2, 0), held.err
    assert refused == [trash[USER]]
    assert [(one["key"], one["fate"]) for one in undeleted.of("undelete")] == [(left[USER], "mended")]
    # Its original, its undeleted variant, and the old version of that in the trash.
    assert (released.code, released.summary["unlocked"], released.summary["failed"]) == (0, 3, 0), released.err
    assert (erased.code, erased.summary["erased"]) == (0, 1), erased.err
    assert [one.key for one in store.remnants(["2", "trash/"])] == [one.original_key for one in deployment.images()]


def test_hold_reports_that_a_directory_locks_nothing(held: Deployment) -> None:
    result = held.run("hold", "--user", str(USER), "--reason", "case 4711", "--object-lock", "--json")

    assert (result.code, result.summary["failed"]) == (3, 2)
    assert "no legal hold" in result.err
    assert held.run("release", "--user", str(USER), "--json").summary["released"] == 1


@pytest.mark.parametrize("reason", ["", " ", "\n"])
def test_a_hold_without_a_reason_is_refused(held: Deployment, reason: str) -> None:
    result = held.run("hold", "--user", str(OTHER), "--reason", reason)

    assert result.code == 2
    assert "blank" in result.err
    assert held.run("hold", "--json").summary["holds"] == 1


def test_a_hold_on_a_user_without_images_is_set_and_noted(held: Deployment) -> None:
    early, known = UUID(int=5), held.run("hold", "--user", str(OTHER), "--reason", "case 4712")

    result = held.run("hold", "--user", str(early), "--reason", "case 4712")

    assert (result.code, known.code) == (0, 0)
    assert f"user {early} has no images yet" in result.err
    assert "no images" not in known.err


def test_the_history_of_a_held_user_names_the_user_after_another_erasure(held: Deployment) -> None:
    assert held.run("erase", "--user", str(OTHER), "--confirm-user", str(OTHER), "--yes").code == 0
    held.run("hold", "--user", str(OTHER), "--reason", "case 4712")

    again = held.run("erase", "--user", str(OTHER), "--confirm-user", str(OTHER), "--yes")
    holds = [one["user_id"] for one in held.run("history", "--json").of("operation") if one["command"] == "hold"]

    assert again.code == 0, again.err
    assert sorted(map(str, holds)) == [str(USER), str(OTHER)]


def test_a_hold_that_comes_too_late_says_for_how_many_images(held: Deployment) -> None:
    from sqlalchemy import update

    from imgctl.model import Status
    from imgctl.store.catalog.engine import open_catalog
    from imgctl.store.catalog.schema import images

    # As during an upload: the erasure waits for its put.
    catalog = open_catalog(held.catalog_url)
    with catalog.write() as connection:
        connection.execute(update(images).where(images.c.user_id == OTHER).values(status=Status.UPLOADING))
    catalog.close()
    erasing = held.run("erase", "--user", str(OTHER), "--confirm-user", str(OTHER), "--yes", "--wait", "0s", "--json")

    late = held.run("hold", "--user", str(OTHER), "--reason", "case 4711", "--json")
    in_time = held.run("hold", "--user", str(USER), "--reason", "case 4712", "--json")

    assert (erasing.code, erasing.summary["waiting"]) == (3, 2), erasing.err
    assert (late.code, late.summary["erasing"], late.summary["too_late"]) == (3, 2, 2), late.err
    assert "the hold came too late for 2 images" in late.err
    assert (in_time.code, in_time.err) == (0, "")
