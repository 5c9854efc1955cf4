"""Audits beyond the live listing: by inventory report, by checksum within a budget, by the wait of rows."""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from imgctl.model import Status
from imgctl.ops.audit.findings import Code, Why
from imgctl.ops.audit.options import AuditOrder, Tally
from imgctl.ops.audit.report import cost_of, deep_price
from imgctl.ops.common.spend import Terms
from imgctl.ops.common.tally import Totals
from imgctl.pricing.card_files import load_card
from imgctl.pricing.estimate import Billing
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.upgrade import upgrade
from tests.ops.audit.archive import AT_ONCE, HOUR, Archive, archive_of, local, summary
from tests.parts.seaweed import S3Server
from tests.store.aws.test_inventory import write_report


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    """Twelve photos in a directory, and a state directory of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    catalog = open_catalog(f"sqlite:///{tmp_path}/catalog.db")
    upgrade(catalog)
    archive = archive_of(catalog, local(tmp_path))
    archive.add(12)
    yield archive
    catalog.close()


def test_audits_within_a_budget_check_every_original_in_turn(embedded: Archive) -> None:
    rotten = embedded.photos[7]
    embedded.put(rotten.original, bytes(reversed(rotten.body)))
    budget = sum(len(photo.body) for photo in embedded.photos) // 3
    found, hashed = [], 0
    for _ in range(3):
        tally = Tally()
        found += summary(embedded.audit(replace(AT_ONCE, deep=True, budget=budget), tally=tally))
        hashed += tally.hashed

        assert 0 < tally.hashed <= budget

    assert found == [(Code.CHECKSUM_MISMATCH, rotten.original)]
    assert hashed == sum(len(photo.body) for photo in embedded.photos)


def test_a_budget_smaller_than_any_photo_checks_one_photo_per_audit(embedded: Archive) -> None:
    hashed = 0
    for _ in range(3):
        tally = Tally()
        embedded.audit(replace(AT_ONCE, deep=True, budget=1), tally=tally)
        hashed += tally.checked

    assert hashed == 3


def test_originals_with_a_checksum_in_the_store_are_not_read(embedded: Archive, seaweed: S3Server) -> None:
    bucket = seaweed.new_bucket()
    archive = archive_of(embedded.parts.catalog, seaweed.settings(bucket))
    client = seaweed.client()
    for photo in embedded.photos:
        # As direct uploads by signed link put it.
        sha256 = base64.b64encode(hashlib.sha256(photo.body).digest()).decode()
        client.put_object(Bucket=bucket, Key=photo.original, Body=photo.body, ChecksumSHA256=sha256)
    tally = Tally()
    archive.audit(replace(AT_ONCE, deep=True), tally=tally)

    assert (tally.checked, tally.hashed) == (12, 0)
    assert cost_of(tally, archive.parts.settings).brief.startswith(f"{tally.lists} LIST, {tally.heads} HEAD")


@pytest.mark.parametrize("order", [replace(AT_ONCE, deep=True), replace(AT_ONCE, look=12)])
def test_what_reading_colder_originals_costs_is_part_of_the_cost(
    embedded: Archive, moto_s3: S3Server, order: AuditOrder
) -> None:
    bucket = moto_s3.new_bucket()
    archive = archive_of(embedded.parts.catalog, moto_s3.settings(bucket))
    for photo in embedded.photos:
        for role, key in photo.keys.items():
            archive.put(key, photo.body if role == "original" else b"a variant")
    colder = embedded.photos[:3]
    for photo in colder:
        moto_s3.client().put_object(Bucket=bucket, Key=photo.original, Body=photo.body, StorageClass="GLACIER_IR")
        archive.set(photo, storage_class="GLACIER_IR")
    tally = Tally()

    archive.audit(order, tally=tally)

    size = sum(len(photo.body) for photo in colder)
    cost, requests = (
        cost_of(tally, archive.parts.settings),
        cost_of(replace(tally, read=Totals()), archive.parts.settings),
    )
    assert cost.amount is not None and requests.amount is not None
    assert cost.amount - requests.amount == size * Decimal("0.03") / 2**30
    assert f"{size} B read from GLACIER_IR" in cost.brief


def test_the_most_that_a_deep_audit_pays_for_retrieval_is_shown() -> None:
    terms = Terms(bill=Billing.AWS, card=load_card())

    shown = deep_price(20 * 2**30, terms)

    assert shown.startswith(
        "--deep reads up to 20.0 GiB: originals in STANDARD_IA, ONEZONE_IA, GLACIER_IR cost up to $0.60 "
    )
    assert not deep_price(20 * 2**30, replace(terms, bill=Billing.NONE))
    assert not deep_price(20 * 2**30, replace(terms, card=load_card("r2")))


def test_an_inventory_replaces_the_listing_and_findings_are_rechecked_in_the_store(
    embedded: Archive, seaweed: S3Server, tmp_path: Path
) -> None:
    bucket = seaweed.new_bucket()
    archive = archive_of(embedded.parts.catalog, seaweed.settings(bucket))
    photos = archive.add(5)
    for photo in embedded.photos:
        embedded.forget(photo)
    lost, arrived, deleted = photos[:3]
    keys = [key for photo in photos for key in photo.keys.values() if key not in (lost.original, arrived.original)]
    archive.delete(lost.original)
    archive.delete(deleted.original)
    sizes = {photo.original: len(photo.body) for photo in photos}
    rows = [(key, sizes.get(key, 9), "STANDARD") for key in [*keys, "zzz/gone.txt"]]
    taken = datetime.now(UTC) - HOUR
    manifest = write_report(tmp_path, [rows[::2], rows[1::2]], bucket=bucket, taken=taken)
    newer = archive.add(1, age=HOUR / 2)[0]
    archive.delete(newer.original)
    tally = Tally()

    # A blob missing in the report but in the store is no finding. Blobs deleted or added since are for the next report.
    found = summary(archive.audit(replace(AT_ONCE, inventory=str(manifest)), tally=tally))
    assert found == [(Code.MISSING_ORIGINAL, lost.original)]
    assert (tally.lists, tally.rows) == (0, 6)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"attempts": 0}, Why.NO_WORKER),
        ({"attempts": 4, "leased_until": datetime(2026, 1, 1, tzinfo=UTC)}, Why.LEASE_EXPIRED),
        ({"attempts": 2, "error": "crashed (SIGSEGV)"}, Why.POISONED),
        ({"attempts": 0, "storage_class": "DEEP_ARCHIVE"}, Why.WAITING_FOR_RESTORE),
    ],
)
def test_a_stuck_row_has_the_reason_for_its_wait(embedded: Archive, values: dict[str, object], why: Why) -> None:
    embedded.set(embedded.photos[0], status=Status.PROCESSING, **values)

    assert [(one.code, one.why) for one in embedded.audit()] == [(Code.STUCK_PROCESSING, why)]


def test_a_row_is_stuck_only_after_the_configured_time(embedded: Archive) -> None:
    embedded.set(embedded.photos[0], status=Status.PROCESSING)

    assert embedded.audit(AuditOrder(grace=timedelta(0), stuck_after=timedelta(days=30))) == []


def test_a_new_row_with_an_old_date_is_not_stuck(embedded: Archive) -> None:
    embedded.set(embedded.photos[0], status=Status.PROCESSING, promised_at=datetime.now(UTC))

    assert embedded.audit() == []


def test_a_wrong_storage_class_is_found_by_listing_and_by_user(embedded: Archive, moto_s3: S3Server) -> None:
    bucket = moto_s3.new_bucket()
    archive = archive_of(embedded.parts.catalog, moto_s3.settings(bucket))
    for photo in embedded.photos:
        for role, key in photo.keys.items():
            archive.put(key, photo.body if role == "original" else b"a variant")
    moved, noted, drifted = embedded.photos[:3]
    for photo in (moved, drifted):
        body = photo.body
        moto_s3.client().put_object(Bucket=bucket, Key=photo.original, Body=body, StorageClass="DEEP_ARCHIVE")
    for photo in (moved, noted):
        archive.set(photo, storage_class="DEEP_ARCHIVE")
    expected = sorted((Code.CLASS_DRIFT, photo.original) for photo in (noted, drifted))

    assert summary(archive.audit(replace(AT_ONCE, classes=True))) == expected
    assert summary(archive.audit(replace(AT_ONCE, classes=True, chosen=archive.of_user()))) == expected
    assert summary(archive.audit()) == []
