"""`imgctl restore` as a process: from archived to readable and back, never paid twice."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import update

from imgctl.model import Status, StorageClass
from imgctl.store.blobs.local_classes import Archive
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.schema import images
from tests.parts.proxy import Fault, fault_proxy
from tests.store.catalog.rows import requeue
from tests.whole.cold import archive, archive_all, is_restore, originals
from tests.whole.conftest import place_of
from tests.whole.deployment import USER, Deployment, Result
from tests.whole.staged import Frozen, frozen

__all__ = ["frozen"]

PHOTOS = 20
ALL = ("--since", "2000-01-01")


def _uploaded(deployment: Deployment, album: dict[Path, bytes], *, built: bool = False) -> list[UUID]:
    deployment.run("upload", place_of(album), "--user", str(USER))
    if built:
        deployment.run("work", "--drain")
    return [image.id for image in deployment.images()]


def _counts(result: Result) -> dict[str, int]:
    return {name: int(str(count)) for name, count in result.summary.items() if isinstance(count, int) and count}


def _requeue(deployment: Deployment, ids: list[UUID]) -> None:
    catalog = open_catalog(deployment.catalog_url)
    with catalog.write() as connection:
        requeue(connection, ids)
    catalog.close()


def _set(deployment: Deployment, image: UUID, **values: object) -> None:
    catalog = open_catalog(deployment.catalog_url)
    with catalog.write() as connection:
        connection.execute(update(images).where(images.c.id == image).values(**values))
    catalog.close()


@contextmanager
def _counted(deployment: Deployment) -> Iterator[tuple[Deployment, list[str]]]:
    """Return the deployment behind a proxy that records each restore request."""
    requests: list[str] = []

    def policy(method: str, path: str, _number: int) -> Fault | None:
        if is_restore(method, path):
            requests.append(path)
        return None

    with fault_proxy(deployment.store.endpoint_url, policy=policy) as proxy:
        yield deployment.through(proxy.url), requests


def test_from_archived_to_readable_and_back(frozen: Frozen, album: dict[Path, bytes]) -> None:
    ids = _uploaded(frozen.deployment, album, built=True)
    archive_all(frozen.deployment)
    frozen.hold()
    with _counted(frozen.deployment) as (deployment, requests):
        seen = deployment.run("restore", "--status", "--json")
        _requeue(deployment, ids[:2])
        idle = deployment.run("work", "--drain", "--json")
        refused = deployment.run("restore", *ALL)
        first = deployment.run("restore", *ALL, "--yes", "--json")
        second = deployment.run("restore", *ALL, "--yes", "--json")
        frozen.finish()
        third = deployment.run("restore", *ALL, "--yes", "--json")
        until = {image.restored_until for image in deployment.images()}
        work = deployment.run("work", "--drain", "--json")
        frozen.expire()
        expired = deployment.run("restore", "--status", "--json")
        after = deployment.images()

    assert [result.code for result in (seen, idle, first, second, third, work, expired)] == [0] * 7
    assert _counts(seen) == {"archived": PHOTOS}
    assert _counts(idle) == {"awaiting_restore": 2}
    assert "2 images wait for their originals to be restored" in idle.err
    assert refused.code == 2 and "--yes" in refused.err
    assert _counts(first)["requested"] == PHOTOS
    assert _counts(second) == {"restoring": PHOTOS}
    assert _counts(third) == {"restored": PHOTOS}
    assert len(requests) == len(set(requests)) == PHOTOS
    assert None not in until
    assert _counts(work) == {"ready": 2}
    assert _counts(expired) == {"expired": PHOTOS}
    assert {(image.storage_class, image.restored_until, image.status) for image in after} == {
        ("GLACIER", None, Status.READY)
    }


def test_waiting_for_a_restore_costs_no_attempt(frozen: Frozen, album: dict[Path, bytes]) -> None:
    deployment = frozen.deployment
    _uploaded(deployment, album)
    archive_all(deployment)
    deployment.run("restore", "--status")

    idle = deployment.run("work", "--drain")

    assert idle.code == 0
    assert {(image.attempts, image.status) for image in deployment.images()} == {(0, Status.PROCESSING)}


def test_work_learns_that_an_original_is_archived_and_blames_no_image(
    embedded: Deployment, album: dict[Path, bytes]
) -> None:
    _uploaded(embedded, album)
    archive_all(embedded, to=StorageClass.DEEP_ARCHIVE)

    learnt = embedded.run("work", "--drain", "--json")
    between = embedded.images()
    embedded.run("restore", *ALL)
    work = embedded.run("work", "--drain", "--json")

    assert learnt.code == 0 and _counts(learnt) == {"archived": PHOTOS, "awaiting_restore": PHOTOS}
    assert f"imgctl restore {between[0].original_key}" in (between[0].error or "")
    assert {(image.status, image.attempts - image.forgiven) for image in between} == {(Status.PROCESSING, 0)}
    assert _counts(work) == {"ready": PHOTOS}
    assert {(image.storage_class, image.error) for image in embedded.images()} == {("DEEP_ARCHIVE", None)}


def test_a_dry_run_and_a_small_budget_ask_for_nothing(frozen: Frozen, album: dict[Path, bytes]) -> None:
    _uploaded(frozen.deployment, album)
    archive_all(frozen.deployment, to=StorageClass.DEEP_ARCHIVE)
    with _counted(frozen.deployment) as (deployment, requests):
        dry = deployment.run("restore", *ALL, "--dry-run", "--tier", "standard", "--json")
        dear = deployment.run("restore", *ALL, "--max-usd", "0.0001", "--tier", "standard")
        swift = deployment.run("restore", *ALL, "--tier", "expedited", "--yes")
        nothing = deployment.run("restore", "--yes")
        spent = len(requests)
        cheap = deployment.run("restore", *ALL, "--max-usd", "0.01", "--limit", "3", "--json")

    assert dry.code == 0 and _counts(dry) == {"planned": PHOTOS}
    # 20 originals of a few KB: 20 × .1/1,000 for the requests, 40 × .0004/1,000 for the HEADs, almost nothing else.
    assert str(dry.of("estimate")[0]["one_off"]).startswith("0.00201")
    assert (dear.code, swift.code, nothing.code, spent) == (2, 2, 2, 0)
    assert "--max-usd" in dear.err
    assert "20 originals lie in DEEP_ARCHIVE, which has no expedited restore" in swift.err
    assert cheap.code == 0 and _counts(cheap)["requested"] == 3 and len(requests) == 3


def test_for_good_is_moved_once_restored_and_asked_for_before(frozen: Frozen, album: dict[Path, bytes]) -> None:
    deployment = frozen.deployment
    ids = _uploaded(deployment, album)
    archive_all(deployment)
    frozen.hold()

    first = deployment.run("restore", str(ids[0]), str(ids[1]), "--permanent", "--yes", "--json")
    frozen.finish()
    second = deployment.run("restore", str(ids[0]), str(ids[1]), "--permanent", "--yes", "--json")

    assert _counts(first)["requested"] == 2 and "run the same command then to move them back" in first.err
    assert _counts(second)["moved"] == 2
    assert [blob.storage_class for blob in originals(deployment)] == ["STANDARD"] * 2 + ["GLACIER"] * (PHOTOS - 2)
    assert [image.storage_class for image in deployment.images()[:3]] == ["STANDARD", "STANDARD", None]


def test_missing_blobs_and_ids_without_rows_are_reported(frozen: Frozen, album: dict[Path, bytes]) -> None:
    deployment = frozen.deployment
    ids = _uploaded(deployment, album)
    archive_all(deployment)
    lost = deployment.images()[0].original_key or ""
    deployment.open_store().delete([lost])
    wanted = deployment.directory / "wanted.txt"
    wanted.write_text(f"{lost}\nhttps://cdn/{ids[1]}-thumb.jpg\n{UUID(int=7)}\nnothing\n")

    result = deployment.run("restore", "--ids-from", wanted, "--yes", "--json")

    assert result.code == 3
    assert _counts(result)["missing"] == 1 and _counts(result)["requested"] == 1
    assert {str(bad["where"]) for bad in result.of("bad_id")} == {f"{wanted}:3", f"{wanted}:4"}
    assert f"missing {ids[0]}: the store has no {lost}" in result.err


def test_images_are_chosen_by_user_and_named_by_key(frozen: Frozen, album: dict[Path, bytes]) -> None:
    deployment = frozen.deployment
    _uploaded(deployment, album)
    archive_all(deployment)

    nobody = deployment.run("restore", "--user", str(UUID(int=9)), "--yes", "--json")
    somebody = deployment.run("restore", "--user", str(USER), "--yes", "--limit", "2", "--json")
    key = next(str(image["key"]) for image in somebody.of("image") if image["fate"] == "requested")
    named = deployment.run("restore", key, "--yes", "--json")
    both = deployment.run("restore", key, "--user", str(USER), "--yes")

    assert _counts(nobody) == {}
    assert _counts(somebody)["requested"] == 2
    assert _counts(named) == {"restored": 1}
    assert both.code == 2


def test_a_directory_restores_at_once_and_for_good_in_one_go(embedded: Deployment, album: dict[Path, bytes]) -> None:
    _uploaded(embedded, album)
    archive_all(embedded)

    shown = embedded.run("restore", *ALL)
    again = embedded.run("restore", *ALL, "--json")
    work = embedded.run("work", "--drain", "--json")
    back = embedded.run("restore", *ALL, "--permanent", "--wait", "--json")

    assert shown.code == 0 and "20 requested" in shown.out
    assert "free: a directory bills nothing" in shown.err
    assert _counts(again) == {"restored": PHOTOS}
    assert _counts(work) == {"ready": PHOTOS}
    assert _counts(back)["moved"] == PHOTOS
    assert {(image.storage_class, image.restored_until) for image in embedded.images()} == {("STANDARD", None)}
    assert not [*(embedded.directory / "blobs.archive").rglob("*.jpg")]


def test_archived_is_moved_for_good_by_one_command_that_waits(embedded: Deployment, album: dict[Path, bytes]) -> None:
    _uploaded(embedded, album)
    archive_all(embedded)

    result = embedded.run("restore", *ALL, "--permanent", "--wait", "--json")

    assert result.code == 0
    assert _counts(result)["requested"] == _counts(result)["moved"] == PHOTOS
    assert {blob.storage_class for blob in originals(embedded)} == {"STANDARD"}


def test_no_more_originals_than_the_limit_are_moved_back_however_often_it_looks(
    embedded: Deployment, album: dict[Path, bytes]
) -> None:
    _uploaded(embedded, album)
    archive_all(embedded)
    assert embedded.run("restore", *ALL).code == 0

    back = embedded.run("restore", *ALL, "--permanent", "--wait", "--limit", "3", "--json")

    assert (back.code, _counts(back)["moved"]) == (0, 3), back.err
    assert [blob.storage_class for blob in originals(embedded)].count("STANDARD") == 3


def test_an_expiry_in_a_directory_is_noticed(embedded: Deployment, album: dict[Path, bytes]) -> None:
    _uploaded(embedded, album)
    archive_all(embedded)
    embedded.run("restore", *ALL)
    place = Path(embedded.store.url.removeprefix("file://"))
    held = Archive(place, place.with_name(f"{place.name}.archive"))
    for image in embedded.images():
        held.note_restore(image.original_key or "", datetime.now(UTC) - timedelta(minutes=1))

    expired = embedded.run("restore", "--status", "--json")
    idle = embedded.run("work", "--drain", "--json")

    assert _counts(expired) == {"expired": PHOTOS}
    assert {image.restored_until for image in embedded.images()} == {None}
    assert _counts(idle) == {"awaiting_restore": PHOTOS}


def test_status_shows_a_table_and_learns_what_lifecycle_moved(embedded: Deployment, album: dict[Path, bytes]) -> None:
    _uploaded(embedded, album)
    keys = [image.original_key or "" for image in embedded.images()]
    archive(embedded, keys[:1])
    archive(embedded, keys[1:2], to=StorageClass.DEEP_ARCHIVE)
    archive(embedded, keys[2:3], to=StorageClass.GLACIER_IR)

    dry = embedded.run("restore", "--status", "--dry-run")
    before = [image.storage_class for image in embedded.images()]
    shown = embedded.run("restore", "--status")

    assert dry.out == shown.out
    assert before == [None] * PHOTOS
    assert [line.split()[-2:] for line in shown.out.splitlines()[1:3]] == [
        ["GLACIER", "archived"],
        ["DEEP_ARCHIVE", "archived"],
    ]
    assert shown.out.splitlines()[-1] == "20 originals: 18 readable, 2 archived"
    assert [image.storage_class for image in embedded.images()][:4] == ["GLACIER", "DEEP_ARCHIVE", "GLACIER_IR", None]
    recorded = embedded.run("history", "--command", "restore", "--json").of("operation")
    assert [one["scope"] for one in recorded] == [{"status": True}]


def test_a_plan_is_what_a_dry_run_shows(embedded: Deployment, album: dict[Path, bytes]) -> None:
    _uploaded(embedded, album)
    archive_all(embedded)
    file = embedded.directory / "plan.jsonl"

    result = embedded.run("restore", *ALL, "--plan", file, "--days", "3", "--json")
    again = embedded.run("restore", *ALL, "--plan", file)

    head, *actions, end = map(json.loads, file.read_text().splitlines())
    assert result.code == 0 and _counts(result) == {"planned": PHOTOS}
    assert (head["command"], end["actions"]) == ("restore", PHOTOS)
    assert {(one["do"], one["tier"], one["days"]) for one in actions} == {("restore", "BULK", 3)}
    assert {blob.restored_until for blob in originals(embedded)} == {None}
    assert again.code == 2
    assert f"imgctl apply {file} --yes" in result.err


def test_a_plan_within_a_budget_prices_only_its_own_actions(frozen: Frozen, album: dict[Path, bytes]) -> None:
    deployment = frozen.deployment
    _uploaded(deployment, album)
    archive_all(deployment, to=StorageClass.DEEP_ARCHIVE)
    file = deployment.directory / "plan.jsonl"

    result = deployment.run("restore", *ALL, "--tier", "standard", "--max-usd", "0.0005", "--plan", file, "--json")

    *_, end = map(json.loads, file.read_text().splitlines())
    assert 0 < end["actions"] < PHOTOS and _counts(result)["planned"] == end["actions"]
    assert 0 < Decimal(end["estimate"]["one_off"]) <= Decimal("0.0005")


def test_a_restore_that_is_stopped_while_it_looks_asks_nobody_to_agree(
    frozen: Frozen, album: dict[Path, bytes]
) -> None:
    _uploaded(frozen.deployment, album)
    archive_all(frozen.deployment)

    result = frozen.deployment.run("restore", *ALL, "--max-duration", "0s", "--json")

    assert result.code == 3, result.err
    assert "nothing was requested" in result.err
    assert _counts(result) == {}


def test_an_applied_plan_requests_its_restores_and_refuses_changed_ones(
    frozen: Frozen, album: dict[Path, bytes]
) -> None:
    ids = _uploaded(frozen.deployment, album)
    archive_all(frozen.deployment)
    frozen.hold()
    file = frozen.deployment.directory / "plan.jsonl"
    with _counted(frozen.deployment) as (deployment, requests):
        deployment.run("restore", *ALL, "--permanent", "--plan", file)
        first, key = deployment.images()[0], deployment.images()[1].original_key or ""
        _set(deployment, first.id, status=Status.FAILED)
        deployment.open_store().delete([key])
        drifted = deployment.run("apply", file, "--yes", "--json")
        under_way = deployment.run("apply", file, "--yes", "--json")
        frozen.finish()
        moved = deployment.run("apply", file, "--yes", "--json")
        again = deployment.run("apply", file, "--yes", "--json")

    fates = {str(one["id"]): one["fate"] for one in drifted.of("action")}
    assert [result.code for result in (drifted, under_way, moved, again)] == [3] * 4
    assert fates == {str(image): "refused" if image in ids[:2] else "done" for image in ids}
    assert len(requests) == PHOTOS - 2
    assert under_way.summary["already"] == PHOTOS - 2
    assert moved.summary["done"] == PHOTOS - 2
    assert again.summary["already"] == PHOTOS - 2


@pytest.mark.parametrize("options", [("--status", "--wait"), ("--days", "0"), ("--tier", "soon"), ("--max-usd", "-1")])
def test_what_makes_no_sense_is_a_usage_error(embedded: Deployment, options: tuple[str, ...]) -> None:
    assert embedded.run("restore", *ALL, *options).code == 2
