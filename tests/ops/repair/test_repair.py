"""The repair of each finding, and the cases that it leaves alone."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest

from imgctl.errors import CatalogError
from imgctl.keys import new_id
from imgctl.model import Status, StorageClass
from imgctl.ops.audit.findings import Code, Finding
from imgctl.ops.common import range_reads
from imgctl.ops.repair.options import Do, Fate, Outcome, RepairOrder
from imgctl.ops.repair.pipeline import Repairs
from imgctl.run.threads import thread_pool
from imgctl.store.blobs.open import open_store
from imgctl.store.catalog.queries.claims import claim
from imgctl.store.catalog.queries.holds import hold
from tests.ops.repair.conftest import JPEG, Archive, rendered
from tests.parts.seaweed import S3Server
from tests.whole.conftest import photo


def fates(outcomes: list[Outcome]) -> set[tuple[Code, Do, Fate]]:
    return {(one.decision.finding.code, one.decision.do, one.fate) for one in outcomes}


def damage(archive: Archive) -> None:
    """One case of all damage that a repair can fix."""
    store = archive.parts.store
    archive.promised(0, put=False)
    archive.promised(1)
    store.delete([archive.ready(2).medium_key or ""])
    archive.write(archive.ready(3), thumb_key=None)
    store.delete([archive.ready(4).original_key or ""])
    store.replace(archive.ready(5).full_key or "", b"", content_type=JPEG)
    archive.write(archive.processing(6), attempts=5, error="the worker died each time")
    archive.orphan(7)
    archive.ready(8)


def test_a_dry_repair_changes_nothing(either: Archive) -> None:
    damage(either)
    rows, blobs = either.rows(), either.blobs()

    outcomes = either.repair(apply=False, delete_orphans=True, max_delete_percent=100)

    assert {one.fate for one in outcomes} == {Fate.PLANNED}
    assert {one.decision.do for one in outcomes} == {
        Do.DROP, Do.CONFIRM, Do.REQUEUE, Do.REBIND, Do.FAIL, Do.TRASH,
    }  # fmt: skip
    assert either.rows() == rows
    assert either.blobs() == blobs


def test_an_audit_after_a_repair_finds_only_irreparable_damage(either: Archive) -> None:
    damage(either)

    either.repair(delete_orphans=True)

    left = {(one.code, one.role) for one in either.audit()}
    # Queued rows wait for a worker; until then they don't name their broken variants.
    assert left == {
        (Code.MISSING_ORIGINAL, "original"),
        (Code.FAILED, None),
        (Code.STUCK_PROCESSING, "original"),
    }
    assert {one.decision.do for one in either.repair()} == {Do.LEAVE}


def test_a_promise_without_bytes_is_dropped(archive: Archive) -> None:
    archive.promised(0, put=False)

    assert fates(archive.repair()) == {(Code.STUCK_UPLOADING, Do.DROP, Fate.MENDED)}
    assert archive.rows() == []


def test_a_promise_whose_owner_is_held_after_the_decision_is_not_dropped(either: Archive) -> None:
    row, parts = either.promised(1, put=False), either.parts
    with thread_pool(1, name="repair") as threads:
        repairs = Repairs(RepairOrder(apply=True), parts, threads, Event())
        [decision] = repairs.decide(either.audit())
        with parts.catalog.write() as connection:
            hold(connection, new_id(datetime.now(UTC)), row.user_id, reason="case 4711", by="sam")
        [outcome] = repairs.perform([decision])

    assert (decision.do, outcome.fate) == (Do.DROP, Fate.DRIFTED)
    assert either.rows() == [row]


@pytest.mark.parametrize("act", [Do.REQUEUE, Do.TRASH])
def test_a_catalog_that_is_lost_after_the_decision_ends_the_run_and_fails_no_finding(
    archive: Archive, tmp_path: Path, act: Do
) -> None:
    store, parts = archive.parts.store, archive.parts
    if act is Do.TRASH:
        archive.orphan(1)
    else:
        store.delete([archive.ready(1).medium_key or ""])
    blobs = archive.blobs()
    outcomes: list[Outcome] = []
    with thread_pool(1, name="repair") as threads:
        order = RepairOrder(apply=True, delete_orphans=True, orphan_age_seconds=0, max_delete_percent=100)
        repairs = Repairs(order, parts, threads, Event())
        decisions = repairs.decide(archive.audit())
        parts.catalog.close()
        (tmp_path / "catalog.db").unlink()
        with pytest.raises(CatalogError, match="does not exist"):
            outcomes.extend(repairs.perform(decisions))

    assert [one.do for one in decisions] == [act]
    assert outcomes == []
    # A copy may be in the trash: the next run continues from it.
    assert blobs.items() <= archive.blobs().items()


def test_a_promise_with_its_bytes_is_confirmed(archive: Archive) -> None:
    archive.promised(0)

    assert fates(archive.repair()) == {(Code.STUCK_UPLOADING, Do.CONFIRM, Fate.MENDED)}
    assert [row.status for row in archive.rows()] == [Status.PROCESSING]


def test_a_promise_is_confirmed_by_the_checksum_in_the_store_without_reading(
    served: Archive, seaweed: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, data = served.promised(0, put=False), photo(0)
    bucket, _, prefix = served.parts.settings.store.url.removeprefix("s3://").partition("/")
    # As the client of a signed PUT sends it.
    checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
    seaweed.client().put_object(Bucket=bucket, Key=f"{prefix}/{image.original_key}", Body=data, ChecksumSHA256=checksum)
    # Any read would raise an error.
    monkeypatch.delattr(range_reads, "chunks")

    assert fates(served.repair()) == {(Code.STUCK_UPLOADING, Do.CONFIRM, Fate.MENDED)}


def test_other_bytes_than_the_promised_ones_are_not_confirmed(archive: Archive) -> None:
    image = archive.promised(0, put=False)
    data = photo(0)
    archive.parts.store.create(image.original_key or "", data[:-1] + b"?", content_type=JPEG)

    [outcome] = archive.repair()

    assert outcome.fate is Fate.LEFT
    assert "SHA-256" in outcome.detail
    assert archive.rows() == [image]


def test_a_promise_whose_bytes_arrive_between_audit_and_repair_is_not_dropped(archive: Archive) -> None:
    image = archive.promised(0, put=False)
    findings = archive.audit()
    archive.parts.store.create(image.original_key or "", photo(0), content_type=JPEG)

    assert fates(archive.repair(findings)) == {(Code.STUCK_UPLOADING, Do.CONFIRM, Fate.MENDED)}


def test_a_row_with_a_missing_variant_returns_to_the_queue(either: Archive) -> None:
    image = either.ready(0)
    either.parts.store.delete([image.medium_key or ""])

    assert fates(either.repair()) == {(Code.MISSING_VARIANT, Do.REQUEUE, Fate.MENDED)}
    row = either.row(image.id)
    assert (row.status, row.medium_key, row.thumb_key) == (Status.PROCESSING, None, image.thumb_key)
    assert row.forgiven == row.attempts


def test_an_existing_variant_is_added_to_its_row(either: Archive) -> None:
    image = either.ready(0)
    either.write(image, full_key=None)

    assert fates(either.repair()) == {(Code.MISSING_VARIANT, Do.REBIND, Fate.MENDED)}
    assert either.row(image.id) == image


@pytest.mark.parametrize("data", [b"", b"no picture", rendered(1).variants[0].data[:-200], photo(3) * 0 + b"\xff\xd8"])
def test_an_invalid_variant_is_rebuilt_and_not_added_to_its_row(archive: Archive, data: bytes) -> None:
    image = archive.write(archive.ready(0), full_key=None)
    key = (image.thumb_key or "").replace("thumb", "full")
    archive.parts.store.replace(key, data, content_type=JPEG)

    archive.repair()

    row = archive.row(image.id)
    assert (row.full_key, row.status) == (None, Status.PROCESSING)


def test_a_variant_of_another_size_is_rebuilt(archive: Archive) -> None:
    image = archive.write(archive.ready(0), width=960, height=640, full_key=None)

    archive.repair()

    assert archive.row(image.id).status is Status.PROCESSING


def test_a_lost_original_fails_its_row_and_keeps_the_variants(either: Archive) -> None:
    image = either.ready(0)
    either.parts.store.delete([image.original_key or ""])

    assert fates(either.repair()) == {(Code.MISSING_ORIGINAL, Do.FAIL, Fate.MENDED)}
    row = either.row(image.id)
    assert row.status is Status.FAILED
    assert row.error == "lost: the original is missing from the store"
    assert [row.thumb_key, row.medium_key, row.full_key] == [image.thumb_key, image.medium_key, image.full_key]
    assert set(either.blobs()) == {row.thumb_key, row.medium_key, row.full_key}


def test_a_row_without_attempts_left_is_retried(either: Archive) -> None:
    image = either.write(either.processing(0), attempts=5, error="the worker died each time")

    assert fates(either.repair()) == {(Code.STUCK_PROCESSING, Do.REQUEUE, Fate.MENDED)}
    with either.parts.catalog.write() as connection:
        assert [one.id for one in claim(connection, limit=1, lease_seconds=60, max_attempts=5)] == [image.id]


def test_failed_rows_are_retried_only_on_request(archive: Archive) -> None:
    image = archive.write(archive.ready(0), status=Status.FAILED, error="the decoder gave up")

    assert fates(archive.repair()) == {(Code.FAILED, Do.LEAVE, Fate.LEFT)}
    assert fates(archive.repair(failed=True)) == {(Code.FAILED, Do.REQUEUE, Fate.MENDED)}
    assert archive.row(image.id).status is Status.PROCESSING


def test_a_row_takes_the_storage_class_of_its_original(archive: Archive) -> None:
    image, cold = archive.ready(0), open_store(archive.parts.settings.store)
    blob = cold.details(image.original_key or "")
    assert blob is not None
    cold.move(blob.key, to=StorageClass.GLACIER, etag=blob.etag)

    outcomes = archive.repair(archive.audit(classes=True))

    assert (Code.CLASS_DRIFT, Do.RECLASS, Fate.MENDED) in fates(outcomes)
    assert archive.row(image.id).storage_class == StorageClass.GLACIER


def test_a_variant_in_another_class_is_left_with_the_command_that_builds_it(archive: Archive) -> None:
    image, store = archive.ready(0), open_store(archive.parts.settings.store)
    blob = store.details(image.thumb_key or "")
    assert blob is not None
    store.move(blob.key, to=StorageClass.GLACIER, etag=blob.etag)
    findings = [one for one in archive.audit(classes=True) if one.code is Code.CLASS_DRIFT]

    outcomes = archive.repair(findings)

    assert [(one.decision.finding.role, one.fate) for one in outcomes] == [("thumb", Fate.LEFT)]
    assert "imgctl backfill --force --variant thumb" in outcomes[0].detail
    assert archive.row(image.id).storage_class is None


def test_a_leased_row_is_not_changed(archive: Archive) -> None:
    image = archive.ready(0)
    archive.parts.store.delete([image.medium_key or ""])
    findings = archive.audit()
    held = archive.write(image, leased_until=datetime.now(UTC) + timedelta(hours=1))

    assert fates(archive.repair(findings)) == {(Code.MISSING_VARIANT, Do.LEAVE, Fate.LEFT)}
    assert archive.row(image.id) == held


def test_outdated_findings_change_nothing(either: Archive) -> None:
    damage(either)
    findings = either.audit()
    either.repair(findings, delete_orphans=True)
    rows, blobs = either.rows(), either.blobs()

    outcomes = either.repair(findings, delete_orphans=True)

    assert {one.fate for one in outcomes} <= {Fate.WELL, Fate.LEFT}
    assert either.rows() == rows
    assert either.blobs() == blobs


def test_findings_round_trip_as_records(archive: Archive) -> None:
    from imgctl.ops.audit.findings import from_record

    damage(archive)

    findings = archive.audit()

    assert [from_record(one.record()) for one in findings] == findings
    assert all(isinstance(one, Finding) for one in findings)
