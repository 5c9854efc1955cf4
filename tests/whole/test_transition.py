"""`imgctl transition` as a process: eligible originals, the bill, the moves and what they preserve."""

import json
import re
import time
from collections import Counter
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self
from unittest import mock
from uuid import UUID

import pytest
from sqlalchemy import update

from imgctl.cli.cold import transition as command
from imgctl.keys import BATCH_JOBS, PROBES
from imgctl.model import Image, Status, StorageClass
from imgctl.ops.common import spend
from imgctl.ops.transition import job, move
from imgctl.pricing.estimate import Billing
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.schema import images
from tests.parts.middlebox import Reply, Seen, middlebox, s3_error
from tests.parts.postgres import sqlite_catalog
from tests.parts.proxy import Fault, fault_proxy, is_image_put
from tests.parts.seaweed import S3Server
from tests.whole.cold import archive, cold_of, originals
from tests.whole.deployment import USER, Deployment, Result
from tests.whole.stock import BEGINNING, stock

OTHER_USER = UUID("0190b2b4-0000-7000-8000-000000000002")
GLACIER = ("transition", "--to", "GLACIER", "--older-than", "30d")


@pytest.fixture
def on_moto(tmp_path: Path, postgres_url: str, moto_s3: S3Server) -> Deployment:
    """Postgres and a bucket that knows storage classes."""
    place = tmp_path / "run"
    place.mkdir()
    return Deployment(directory=place, catalog_url=postgres_url, store=moto_s3.settings(moto_s3.new_bucket()))


@pytest.fixture(params=["embedded", "on_moto"])
def place(request: pytest.FixtureRequest) -> Deployment:
    """Each kind of deployment that has storage classes."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Deployment)
    return found


def change(deployment: Deployment, image: Image, **values: object) -> None:
    """Change a row directly in the database."""
    catalog = open_catalog(deployment.catalog_url)
    with catalog.write() as connection:
        connection.execute(update(images).where(images.c.id == image.id).values(**values))
    catalog.close()


def classes(deployment: Deployment) -> list[tuple[str | None, str]]:
    """Return for each image the class in its row and the class in the store."""
    named = [image.storage_class for image in deployment.images()]
    return list(zip(named, [blob.storage_class for blob in originals(deployment)], strict=True))


def reasons(result: Result) -> dict[str, str]:
    """The reason of each original that was left out, by its id."""
    return {str(one["id"]): str(one["reason"]) for one in result.of("image") if one["fate"] == "left_out"}


def test_originals_move_and_their_rows_say_so(place: Deployment) -> None:
    before = stock(place, 5)
    store = place.open_store()
    contents = [store.get(image.original_key or "") for image in before]

    result = place.run(*GLACIER, "--yes", "--json")
    again = place.run(*GLACIER, "--yes", "--json")

    assert result.code == 0, result.err
    assert "5 originals, 1.5 MiB, to move to GLACIER" in result.err
    assert (result.summary["moved"], result.summary["left_out"]) == (5, 0)
    assert classes(place) == [("GLACIER", "GLACIER")] * 5
    assert [(image.status, image.leased_until) for image in place.images()] == [(Status.READY, None)] * 5
    assert (again.code, again.summary["moved"]) == (0, 0)
    assert set(reasons(again).values()) == {"already_there"}
    assert [len(data) for data in contents] == [blob.size for blob in originals(place)]


def test_each_original_that_stays_has_a_reason(place: Deployment) -> None:
    rows = stock(place, 12)
    store = place.open_store()
    change(place, rows[0], status=Status.PROCESSING)
    change(place, rows[1], status=Status.FAILED)
    change(place, rows[2], status=Status.UPLOADING)
    change(place, rows[3], medium_key=None)
    store.delete([rows[4].full_key or ""])
    store.replace(rows[5].thumb_key or "", b"", content_type="image/jpeg")
    store.delete([rows[6].original_key or ""])
    change(place, rows[7], bytes=7)
    change(place, rows[8], leased_until=BEGINNING + timedelta(days=36500))
    archive(place, [rows[9].original_key or ""], to=StorageClass.DEEP_ARCHIVE)
    small = stock(place, 1, first=100, size=1000)[-1]
    expected = {
        rows[0].id: "processing",
        rows[1].id: "failed",
        rows[2].id: "uploading",
        rows[3].id: "variant_missing",
        rows[4].id: "variant_missing",
        rows[5].id: "variant_empty",
        rows[6].id: "original_missing",
        rows[7].id: "size_differs",
        rows[8].id: "leased",
        small.id: "below_break_even",
    }

    looked = place.run(*GLACIER, "--dry-run", "--json")
    acted = place.run(*GLACIER, "--yes", "--json")

    for result in (looked, acted):
        assert result.code == 0, result.err
        assert reasons(result) == {str(image): reason for image, reason in expected.items()}
        counted = {**Counter(expected.values()), "colder": 1} if result is looked else Counter(expected.values())
        counts = result.summary["reasons"]
        assert isinstance(counts, dict)
        assert {reason: one["originals"] for reason, one in counts.items()} == dict(counted)
        assert "2 variant missing (600 KiB)" in result.err and "1 below break even (1000 B)" in result.err
    assert (looked.summary["planned"], looked.summary["moved"], acted.summary["moved"]) == (2, 0, 2)
    # An original archived by another program is unreadable, and its row is corrected.
    assert {row.id for row in place.images() if row.storage_class} == {rows[9].id, rows[10].id, rows[11].id}


def test_nothing_that_is_billed_moves_unasked(on_moto: Deployment) -> None:
    stock(on_moto, 2)

    refused, dry = on_moto.run(*GLACIER, "--json"), on_moto.run(*GLACIER, "--dry-run")

    assert (refused.code, dry.code) == (2, 0)
    assert "needs --yes" in refused.err
    assert refused.of("estimate")[0]["originals"] == 2
    assert refused.summary["type"] == "summary"
    assert "2 originals would move to GLACIER" in dry.out
    assert classes(on_moto) == [(None, "STANDARD")] * 2


def test_a_directory_bills_nothing_and_needs_no_yes(embedded: Deployment) -> None:
    stock(embedded, 2)

    dry, moved = embedded.run(*GLACIER, "--dry-run"), embedded.run(*GLACIER)

    assert (dry.code, moved.code) == (0, 0), moved.err
    assert ("would move" in dry.out, "2 originals moved to GLACIER" in moved.out) == (True, True)
    assert classes(embedded) == [("GLACIER", "GLACIER")] * 2


def test_the_bill_comes_first_and_is_exact(on_moto: Deployment) -> None:
    stock(on_moto, 3)

    result = on_moto.run(*GLACIER, "--dry-run", "--json")
    estimate = result.of("estimate")[0]
    prices = {str(line["name"]): line["quantity"] for line in estimate["lines"]}  # type: ignore[attr-defined]

    assert prices["transition"] == "3"
    assert (prices["HEAD in STANDARD"], prices["HEAD in GLACIER"]) == ("3", "3")
    # 3 × 300 KiB × (.023 - .0036) - 3 × (32 KiB × .0036 + 8 KiB × .023) a GiB.
    assert estimate["saving_per_month"] == "0.000015795135498046875"
    # So few blobs get one HEAD each, in the survey and in the run: 3 / 1,000 × .03 + (6 + 2 × 12) × .0004 / 1,000.
    assert estimate["one_off"] == "0.000102"
    assert "price unknown for this endpoint" in result.err
    assert "paid back after 6.5 months" in result.err


def test_the_scope_the_limit_and_the_smallest_size_choose(embedded: Deployment) -> None:
    stock(embedded, 4)
    stock(embedded, 2, first=10, user_id=OTHER_USER)
    stock(embedded, 1, first=20, size=5000)
    ids = [image.id for image in embedded.images()]
    listed = embedded.directory / "ids.txt"
    listed.write_text(f"{ids[3]}\n{UUID(int=7)}\n")

    other = embedded.run("transition", "--to", "GLACIER", "--user", str(OTHER_USER), "--yes", "--json")
    limited = embedded.run(*GLACIER, "--limit", "2", "--yes", "--json")
    named = embedded.run("transition", "--to", "GLACIER", "--ids-from", listed, "--yes", "--json")
    small = embedded.run(*GLACIER, "--min-size", "0", "--yes", "--json")

    assert [result.summary["moved"] for result in (other, limited, named, small)] == [2, 2, 1, 2]
    assert [result.code for result in (other, limited, named, small)] == [0, 0, 3, 0]
    assert f"no row has the id {UUID(int=7)}" in named.err
    assert classes(embedded) == [("GLACIER", "GLACIER")] * 7


def test_what_is_younger_stays(embedded: Deployment) -> None:
    stock(embedded, 3)

    result = embedded.run("transition", "--to", "GLACIER", "--older-than", "36500d", "--yes", "--json")
    unsaid = embedded.run("transition", "--to", "GLACIER", "--yes")

    assert (result.code, result.summary["moved"], result.summary["left_out"]) == (0, 0, 0)
    assert unsaid.code == 2 and "--older-than 90d" in unsaid.err


def test_a_colder_class_is_reached_from_a_cold_one_that_can_be_read(place: Deployment) -> None:
    stock(place, 2, size=4 * 2**20)

    first = place.run("transition", "--to", "GLACIER_IR", "--older-than", "1d", "--yes", "--json")
    # What the copy retrieves and the early end of GLACIER_IR pay off in the second year.
    deep = ("transition", "--to", "DEEP_ARCHIVE", "--older-than", "1d")
    dear = place.run(*deep, "--dry-run", "--json")
    early = place.run(*deep, "--stay", "730d", "--yes", "--json")
    back = place.run("transition", "--to", "GLACIER", "--older-than", "1d", "--min-size", "0", "--dry-run", "--json")

    assert (first.summary["moved"], dear.summary["planned"], early.summary["moved"]) == (2, 0, 2)
    # 8 MiB × .004 × 90 / 30 a GiB, for leaving the class on the first day.
    lines = early.of("estimate")[0]["lines"]
    amounts = [line["amount"] for line in lines if "early" in line["name"]]  # type: ignore[attr-defined]
    assert amounts == ["0.00009375"]
    assert (set(reasons(back).values()), back.summary["planned"]) == ({"colder"}, 0)
    assert classes(place) == [("DEEP_ARCHIVE", "DEEP_ARCHIVE")] * 2


def test_what_belongs_to_an_original_survives(on_moto: Deployment, moto_s3: S3Server) -> None:
    image = stock(on_moto, 1)[0]
    client, key = moto_s3.client(), image.original_key
    bucket = on_moto.store.url.removeprefix("s3://")
    client.put_object(
        Bucket=bucket,
        Key=key,
        Body=on_moto.open_store().get(key or ""),
        ContentType="image/x-special",
        CacheControl="private, max-age=7",
        Metadata={"origin": "camera"},
        Tagging="album=summer&keep=yes",
    )

    result = on_moto.run(*GLACIER, "--yes")

    after = client.head_object(Bucket=bucket, Key=key)
    assert result.code == 0, result.err
    assert after["StorageClass"] == "GLACIER"
    assert (after["ContentType"], after["CacheControl"]) == ("image/x-special", "private, max-age=7")
    assert after["Metadata"] == {"origin": "camera"}
    client.restore_object(
        Bucket=bucket, Key=key, RestoreRequest={"Days": 1, "GlacierJobParameters": {"Tier": "Standard"}}
    )
    tags = client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"album": "summer", "keep": "yes"}


@pytest.mark.parametrize("deletes", [False, True])
def test_old_versions_are_reported_and_deleted_only_with_the_option(
    on_moto: Deployment, moto_s3: S3Server, deletes: bool
) -> None:
    client, bucket = moto_s3.client(), on_moto.store.url.removeprefix("s3://")
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    rows = stock(on_moto, 3)
    options = ["--delete-noncurrent"] if deletes else []

    result = on_moto.run(*GLACIER, "--yes", "--json", *options)

    keys = [row.original_key for row in rows]
    found = client.list_object_versions(Bucket=bucket)
    versions = Counter(one["Key"] for one in found["Versions"] if one["Key"] in keys)
    assert result.code == 0, result.err
    # Except the small object of the put-if-absent test, from storing the stock.
    assert [one["Key"] for one in found.get("DeleteMarkers", ()) if not one["Key"].startswith(PROBES)] == []
    assert versions == dict.fromkeys(keys, 1 if deletes else 2)
    assert classes(on_moto) == [("GLACIER", "GLACIER")] * 3
    assert ("the old version of each original stays" in result.err) is not deletes
    assert (result.of("estimate")[0]["old_versions_per_month"] == "0") is deletes


def test_old_versions_of_a_held_user_stay_with_the_reason(on_moto: Deployment, moto_s3: S3Server) -> None:
    client, bucket = moto_s3.client(), on_moto.store.url.removeprefix("s3://")
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    held = UUID(int=4711)
    stock(on_moto, 1)
    stock(on_moto, 1, first=1, user_id=held)
    assert on_moto.run("hold", "--user", str(held), "--reason", "case 4711").code == 0

    result = on_moto.run(*GLACIER, "--yes", "--delete-noncurrent", "--json")

    versions = Counter(one["Key"] for one in client.list_object_versions(Bucket=bucket)["Versions"])
    assert result.code == 0, result.err
    assert {row.user_id: versions[row.original_key] for row in on_moto.images()} == {USER: 1, held: 2}
    assert classes(on_moto) == [("GLACIER", "GLACIER")] * 2
    assert ["case 4711" in str(one["detail"]) for one in result.of("image")] == [False, True]
    assert result.err.count("case 4711") == 1


def _a_year_ahead() -> None:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(time.time() + timedelta(days=365).total_seconds(), tz)

    for module in (command, move):
        module.__dict__["datetime"] = Ahead


def test_an_age_is_judged_by_the_databases_clock(place: Deployment) -> None:
    for image in stock(place, 2):
        change(place, image, promised_at=datetime.now(UTC) - timedelta(days=1))

    result = place.start(*GLACIER, "--yes", "--json", before=_a_year_ahead).wait()

    assert (result.code, result.summary["moved"]) == (0, 0), result.err
    assert classes(place) == [(None, "STANDARD")] * 2


def test_two_transitions_at_once_end_as_one(place: Deployment) -> None:
    stock(place, 40, size=1000)
    command = ("transition", "--to", "GLACIER", "--older-than", "1d", "--min-size", "0", "--yes", "--json")

    results = [run.wait() for run in [place.start(*command) for _ in range(2)]]

    assert [result.code for result in results] == [0, 0], [result.err for result in results]
    assert sum(int(str(result.summary["moved"])) for result in results) == 40
    assert classes(place) == [("GLACIER", "GLACIER")] * 40
    assert {image.leased_until for image in place.images()} == {None}


def test_requests_that_the_bucket_throttles_are_retried(on_moto: Deployment) -> None:
    stock(on_moto, 12)
    moves: Counter[str] = Counter()

    def policy(method: str, path: str, _number: int) -> Fault | None:
        if not is_image_put(method, path):
            return None
        moves[path] += 1
        return Fault.SERVICE_UNAVAILABLE if moves[path] == 1 else Fault.LOST_RESPONSE if moves[path] == 2 else None

    with fault_proxy(on_moto.store.endpoint_url, policy=policy) as proxy:
        near = on_moto.through(proxy.url).with_settings(STORE_RETRIES="0")
        result = near.run(*GLACIER, "--yes", "--json")

    assert result.code == 0, result.err
    assert (result.summary["moved"], result.summary["failed"]) == (12, 0)
    assert classes(on_moto) == [("GLACIER", "GLACIER")] * 12
    # A copy whose response was lost is found to be complete, and not requested again.
    assert set(moves.values()) == {2}


def test_a_plan_that_calls_a_billed_store_free_needs_yes(on_moto: Deployment) -> None:
    stock(on_moto, 1)
    file = on_moto.directory / "moves.jsonl"
    on_moto.run(*GLACIER, "--plan", file)
    text = file.read_text()
    assert '"billing":"other"' in text.replace(" ", "")
    file.write_text(re.sub(r'"billing": ?"other"', '"billing":"none"', text))

    refused = on_moto.run("apply", file)

    assert (refused.code, classes(on_moto)) == (2, [(None, "STANDARD")])


def test_a_plan_runs_exactly_its_actions(place: Deployment) -> None:
    stock(place, 4)
    file = place.directory / "moves.jsonl"

    planned = place.run(*GLACIER, "--plan", file)
    billed = place.store.url.startswith("s3://")
    refused = place.run("apply", file) if billed else None
    dry = place.run("apply", file, "--dry-run", "--json")
    still = classes(place)
    stock(place, 2, first=50)
    applied = place.run("apply", file, "--yes", "--json")
    again = place.run("apply", file, "--yes", "--json")

    assert (planned.code, dry.code, applied.code, again.code) == (0, 0, 0, 0), applied.err
    assert refused is None or (refused.code == 2 and "needs --yes" in refused.err)
    assert "4 actions" in planned.err
    assert still == [(None, "STANDARD")] * 4
    assert (dry.summary["planned"], applied.summary["done"], again.summary["already"]) == (4, 4, 4)
    assert classes(place) == [("GLACIER", "GLACIER")] * 4 + [(None, "STANDARD")] * 2


def test_a_plan_refuses_by_name_what_drifted(place: Deployment) -> None:
    rows = stock(place, 6)
    file = place.directory / "moves.jsonl"
    place.run(*GLACIER, "--plan", file)
    store = place.open_store()
    change(place, rows[0], status=Status.PROCESSING)
    change(place, rows[1], recipe="76543210")
    store.replace(rows[2].original_key or "", bytes(rows[2].bytes or 0), content_type="image/jpeg")
    store.delete([rows[3].thumb_key or ""])
    change(place, rows[4], caption="a caption decides nothing")

    result = place.run("apply", file, "--yes", "--json")

    refused = {one["id"]: str(one["detail"]) for one in result.of("action") if one["fate"] == "refused"}
    assert result.code == 3
    assert list(refused) == [str(row.id) for row in rows[:4]]
    assert "the row is processing" in refused[str(rows[0].id)]
    assert "its row changed since the plan" in refused[str(rows[1].id)]
    assert "ETag" in refused[str(rows[2].id)]
    assert "the store has no" in refused[str(rows[3].id)]
    assert all((row.original_key or "") in result.err for row in rows[:4])
    assert classes(place) == [(None, "STANDARD")] * 4 + [("GLACIER", "GLACIER")] * 2


def test_a_bill_in_a_plan_is_shown_before_it_is_applied(on_moto: Deployment) -> None:
    stock(on_moto, 1)
    file = on_moto.directory / "moves.jsonl"
    on_moto.run(*GLACIER, "--plan", file)

    result = on_moto.run("apply", file)

    assert json.loads(file.read_text().splitlines()[-1])["estimate"]["billing"] == "other"
    assert re.search(r"one-off \$0\.0000\d*[1-9]", result.err), result.err
    assert cold_of(on_moto).head(on_moto.images()[0].original_key or "") is not None


def test_a_bucket_that_refuses_ends_the_run_with_nothing_promised(on_moto: Deployment) -> None:
    stock(on_moto, 6)

    def policy(method: str, _path: str, _number: int) -> Fault | None:
        return Fault.EXPIRED if method == "PUT" else None

    with fault_proxy(on_moto.store.endpoint_url, policy=policy) as proxy:
        refused = on_moto.through(proxy.url).run(*GLACIER, "--yes", "--json")
    between, leases = classes(on_moto), {image.leased_until for image in on_moto.images()}
    again = on_moto.run(*GLACIER, "--yes", "--json")

    assert refused.code == 1
    assert "denies access" in refused.err
    assert (between, leases) == ([(None, "STANDARD")] * 6, {None})
    assert (again.code, again.summary["moved"]) == (0, 6)


def test_a_lifecycle_rule_is_shown_written_and_learnt_of(on_moto: Deployment, moto_s3: S3Server) -> None:
    client, bucket = moto_s3.client(), on_moto.store.url.removeprefix("s3://")
    foreign = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 3}}
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [foreign]})
    command = (*GLACIER, "--via", "lifecycle", "--min-size", "0")
    ours = on_moto.with_settings(STORE_ORIGINALS_PREFIX="originals/")

    unnamed = on_moto.run(*command, "--yes")
    refused = ours.run(*command)
    shown = ours.run(*command, "--dry-run")
    before = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    written = ours.run(*command, "--yes", "--json")
    again = ours.run(*command, "--yes", "--json")
    after = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]

    assert (unnamed.code, refused.code, shown.code, written.code, again.code) == (2, 2, 0, 0, 0)
    assert "originals_prefix" in unnamed.err and "does not check variants" in shown.err
    assert any(line.startswith("+") and '"StorageClass": "GLACIER"' in line for line in shown.out.splitlines())
    assert [rule["ID"] for rule in before] == ["theirs"]
    assert (written.of("lifecycle")[0]["written"], again.of("lifecycle")[0]["written"]) == (True, False)
    assert [rule for rule in after if rule["ID"] == "theirs"] == before
    moves = [rule for rule in after if "Transitions" in rule]
    assert [rule["Transitions"] for rule in moves] == [[{"Days": 30, "StorageClass": "GLACIER"}]]
    assert moves[0]["Filter"] == {"Prefix": "originals/"}


def test_a_server_without_restores_is_refused_before_any_move(tmp_path: Path, seaweed: S3Server) -> None:
    (tmp_path / "run").mkdir()
    store = seaweed.settings(seaweed.new_bucket())
    place = Deployment(directory=tmp_path / "run", catalog_url=f"sqlite:///{tmp_path}/catalog.db", store=store)
    stock(place, 2)
    blobs = {blob.key for blob in place.open_store().scan()}

    refused = place.run(*GLACIER, "--min-size", "0", "--yes")
    warm = place.run("transition", "--to", "GLACIER_IR", "--older-than", "30d", "--min-size", "0", "--yes", "--json")

    assert refused.code == 1
    assert "restores nothing from GLACIER: no original was moved" in refused.err
    assert {blob.key for blob in place.open_store().scan()} == blobs
    # Readable at once, with or without a restore.
    assert (warm.code, warm.summary["moved"]) == (0, 2), warm.err


def test_the_difference_is_shown_before_the_rule_is_written(on_moto: Deployment, moto_s3: S3Server) -> None:
    def denies_the_write(seen: Seen) -> Reply | None:
        return s3_error(403, "AccessDenied") if seen.method == "PUT" and "lifecycle" in seen.path else None

    with middlebox(moto_s3.endpoint_url, rule=denies_the_write) as box:
        ours = on_moto.with_settings(STORE_ORIGINALS_PREFIX="originals/", STORE_ENDPOINT_URL=box.url)
        result = ours.run(*GLACIER, "--via", "lifecycle", "--min-size", "0", "--yes")

    assert result.code == 1
    assert any(line.startswith("+") and '"StorageClass": "GLACIER"' in line for line in result.out.splitlines())


def test_a_rule_leaves_no_old_versions_to_be_billed(on_moto: Deployment, moto_s3: S3Server) -> None:
    bucket = on_moto.store.url.removeprefix("s3://")
    moto_s3.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    place = on_moto.with_settings(STORE_ORIGINALS_PREFIX="originals/")
    stock(place, 1)

    result = place.run(*GLACIER, "--via", "lifecycle", "--dry-run", "--json")

    [estimate] = result.of("estimate")
    assert (result.code, estimate["originals"], estimate["old_versions_per_month"]) == (0, 1, "0"), result.err
    assert "old version" not in result.err


def test_what_a_rule_moved_is_told_to_the_rows(place: Deployment) -> None:
    rows = stock(place, 3)
    archive(place, [rows[1].original_key or ""])

    dry, done = place.run(*GLACIER, "--dry-run", "--json"), place.run(*GLACIER, "--yes", "--json")

    assert dry.summary["recorded"] == 1 and "1 row names another class" in dry.err
    assert (done.summary["recorded"], done.summary["moved"]) == (1, 2)
    assert classes(place) == [("GLACIER", "GLACIER")] * 3


def _small_copies_at_aws() -> None:
    """Replace S3 Batch Operations, which no test server has; they copy up to 1000 bytes."""
    mock.patch.object(spend, "billing", return_value=Billing.AWS).start()
    mock.patch.object(job, "create_copy_job", return_value="00e123a4-c0d8-41f4-a0eb-b46f9ba5b07c").start()
    mock.patch.object(job, "LARGEST_COPY_BYTES", 1000).start()


@pytest.mark.parametrize("acts", ["--dry-run", "--yes"])
def test_an_original_too_large_for_a_batch_job_is_left_out_and_named(
    tmp_path: Path, moto_s3: S3Server, acts: str
) -> None:
    store = moto_s3.settings(moto_s3.new_bucket())
    deployment = Deployment(directory=tmp_path, catalog_url=sqlite_catalog(tmp_path), store=store)
    stock(deployment, 1, size=1000)
    small, large = stock(deployment, 1, first=1, size=1001)
    batch = ("--via", "batch", "--role-arn", "arn:aws:iam::123456789012:role/r", "--min-size", "0")

    done = deployment.start(*GLACIER, *batch, acts, "--json", before=_small_copies_at_aws).wait()

    assert done.code == 3, done.err
    assert done.summary["reasons"] == {"above_batch_size": {"originals": 1, "bytes": 1001}}
    assert f"left out {large.original_key}: " in done.err
    assert "imgctl transition without --via batch" in done.err
    manifests = [blob.key for blob in deployment.open_store().scan(prefix=BATCH_JOBS)]
    if acts == "--yes":
        [manifest] = manifests
        text = deployment.open_store().get(manifest).decode()
        assert [line.partition(",")[2] for line in text.splitlines()] == [small.original_key]
        assert [row.storage_class for row in deployment.images()] == ["GLACIER", None]
    else:
        assert manifests == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--via", "batch"), "--role-arn"),
        (("--role-arn", "arn:aws:iam::123456789012:role/r"), "--via batch"),
        (("--via", "lifecycle", "--user", str(OTHER_USER)), "by age and size only"),
        (("--via", "lifecycle", "--delete-noncurrent"), "works only with --via copy"),
        (("--via", "lifecycle", "--plan", "x"), "--plan works only with --via copy"),
        (("--plan", "x", "--yes"), "use --plan alone"),
        (("--via", "lifecycle"), "a directory has no lifecycle rules"),
        (("--via", "batch", "--role-arn", "arn:aws:iam::123456789012:role/r", "--yes"), "exist at AWS only"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    embedded: Deployment, arguments: tuple[str, ...], complaint: str
) -> None:
    stock(embedded, 1)

    result = embedded.run(*GLACIER, *arguments)

    assert result.code == 2
    assert complaint in result.err
    assert classes(embedded) == [(None, "STANDARD")]
