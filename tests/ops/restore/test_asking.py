"""Restores with responses that no test server returns, and originals that are left out."""

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Event
from uuid import UUID

import pytest
from botocore.stub import Stubber

from imgctl.config.catalog_store import StoreSettings
from imgctl.config.settings import Settings
from imgctl.errors import StoreUnavailable, UsageError
from imgctl.model import Image, Status
from imgctl.ops.common.open import Parts
from imgctl.ops.common.row_blobs import RowBlobs
from imgctl.ops.common.rows import Chosen
from imgctl.ops.common.spend import Terms
from imgctl.ops.restore.ask import Allowance, request
from imgctl.ops.restore.job import LEAST_SECONDS, MOST_SECONDS, RestoreJob, Round, first_look_seconds, pauses, wait
from imgctl.ops.restore.options import Fate, Outcome, RestoreOrder
from imgctl.ops.restore.state import is_wanted, seen
from imgctl.pricing.card_files import load_card
from imgctl.pricing.estimate import Billing
from imgctl.store.blobs.base import Blob, Tier
from imgctl.store.blobs.s3.store import S3Store
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.lookups import by_ids
from tests.store.catalog.rows import NOON, queued

UNDER_WAY = 'ongoing-request="true"'


@pytest.fixture
def stubbed() -> Iterator[tuple[S3Store, Stubber]]:
    cold = S3Store(StoreSettings(url="s3://photos", retries=1), bucket="photos")
    with Stubber(cold.bucket.client) as stubber:
        yield cold, stubber


def _rows(catalog: Catalog, ids: list[UUID]) -> list[Image]:
    with catalog.read() as connection:
        return sorted(by_ids(connection, ids).values(), key=lambda one: one.id)


def _head(stubber: Stubber, image: Image, *, restore: str = "") -> None:
    answer = {"ContentLength": 1000, "LastModified": NOON, "ETag": '"e1"', "StorageClass": "GLACIER"}
    place = {"Bucket": "photos", "Key": image.original_key}
    stubber.add_response("head_object", answer | ({"Restore": restore} if restore else {}), place)


def _parts(catalog: Catalog, store: S3Store) -> Parts:
    return Parts(settings=Settings(), catalog=catalog, store=store)


def _request(catalog: Catalog, cold: S3Store, images: list[Image], order: RestoreOrder) -> list[Outcome]:
    return list(request([images], order, parts=_parts(catalog, cold), stop=Event()))


def test_a_restore_requested_by_another_client_is_reported_as_restoring(
    catalog: Catalog, stubbed: tuple[S3Store, Stubber]
) -> None:
    cold, stubber = stubbed
    (image,) = _rows(catalog, queued(catalog, 1))
    _head(stubber, image)
    stubber.add_client_error("restore_object", service_error_code="RestoreAlreadyInProgress", http_status_code=409)
    _head(stubber, image, restore=UNDER_WAY)

    (outcome,) = _request(catalog, cold, [image], RestoreOrder(concurrency=1))

    assert outcome.fate is Fate.RESTORING
    stubber.assert_no_pending_responses()


def test_a_tier_without_capacity_ends_the_run_with_a_hint(catalog: Catalog, stubbed: tuple[S3Store, Stubber]) -> None:
    cold, stubber = stubbed
    images = _rows(catalog, queued(catalog, 3))
    for image in images:
        _head(stubber, image)
    # The next request may be sent before the first response arrives.
    for _ in images:
        stubber.add_client_error(
            "restore_object", service_error_code="GlacierExpeditedRetrievalNotAvailable", http_status_code=503
        )

    with pytest.raises(StoreUnavailable) as raised:
        _request(catalog, cold, images, RestoreOrder(concurrency=1, tier=Tier.EXPEDITED))

    assert "no capacity for expedited" in raised.value.line
    assert "--tier standard" in raised.value.line


def test_an_original_changed_since_its_plan_is_not_restored(catalog: Catalog, stubbed: tuple[S3Store, Stubber]) -> None:
    cold, stubber = stubbed
    first, second = _rows(catalog, queued(catalog, 2))
    _head(stubber, first)
    _head(stubber, second)
    order = RestoreOrder(concurrency=1, etags={first.id: "e0", second.id: "e1"}, held=frozenset({second.id}))

    outcomes = _request(catalog, cold, [first, second], order)

    assert [one.fate for one in outcomes] == [Fate.CHANGED, Fate.CHANGED]
    assert [one.detail for one in outcomes] == ["its ETag was e0 and is e1", "its row has changed since"]


def test_restores_beyond_the_budget_are_left_out(catalog: Catalog, stubbed: tuple[S3Store, Stubber]) -> None:
    cold, stubber = stubbed
    first, second = _rows(catalog, queued(catalog, 2))
    _head(stubber, first)
    _head(stubber, second)
    stubber.add_response("restore_object", {"ResponseMetadata": {"HTTPStatusCode": 202}})
    _head(stubber, first, restore=UNDER_WAY)
    # One standard restore costs $.05/1,000 and almost nothing else.
    order = RestoreOrder(
        concurrency=1, tier=Tier.STANDARD, budget=Decimal("0.00008"), terms=Terms(bill=Billing.AWS, card=load_card())
    )

    outcomes = _request(catalog, cold, [first, second], order)

    assert [(one.fate, one.detail) for one in outcomes] == [(Fate.REQUESTED, ""), (Fate.LEFT, "beyond the budget")]


@pytest.mark.parametrize("waits", [False, True])
def test_moving_back_what_another_run_restores_is_agreed_to_before_the_wait(
    catalog: Catalog, stubbed: tuple[S3Store, Stubber], *, waits: bool
) -> None:
    cold, stubber = stubbed
    (image,) = _rows(catalog, queued(catalog, 1))
    stubber.add_response("get_bucket_versioning", {})
    _head(stubber, image, restore=UNDER_WAY)
    terms = Terms(bill=Billing.AWS, card=load_card())
    order = RestoreOrder(concurrency=1, permanent=True, waits=waits, terms=terms)
    job = RestoreJob(
        parts=_parts(catalog, cold), chosen=Chosen(ids=(image.id,)), order=order, terms=terms, stop=Event()
    )

    cost = job.survey()

    assert (job.found.objects, cost.one_off > 0) == (int(waits), waits)
    with pytest.raises(UsageError, match="--yes") if waits else nullcontext():
        job.check_agreed(cost, yes=False)


def test_what_is_spent_before_counts_against_the_budget_of_later_moves(
    catalog: Catalog, stubbed: tuple[S3Store, Stubber]
) -> None:
    cold, stubber = stubbed
    (image,) = _rows(catalog, queued(catalog, 1))
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=7)
    restored = f'ongoing-request="false", expiry-date="{until:%a, %d %b %Y %H:%M:%S} GMT"'
    for _ in range(3):
        _head(stubber, image, restore=restored)
    order = RestoreOrder(
        concurrency=1,
        permanent=True,
        budget=Decimal("0.001"),
        terms=Terms(bill=Billing.AWS, card=load_card()),
    )
    spent = Allowance(left=None, spent=Decimal("0.001"))
    found = wait(
        Chosen(ids=(image.id,)),
        order,
        parts=_parts(catalog, cold),
        stop=Event(),
        first_seconds=1.0,
        allowance=spent,
    )

    outcomes = [one for one in found if isinstance(one, Outcome)]

    assert [(one.fate, one.detail) for one in outcomes] == [(Fate.LEFT, "beyond the budget")]


def test_a_stopped_run_requests_no_restore(catalog: Catalog, stubbed: tuple[S3Store, Stubber]) -> None:
    cold, _stubber = stubbed
    stop = Event()
    stop.set()

    rows = _rows(catalog, queued(catalog, 1))
    assert list(request([rows], RestoreOrder(), parts=_parts(catalog, cold), stop=stop)) == []


@pytest.mark.parametrize(("days_left", "wanted"), [(0.01, True), (3.0, True), (7.0, False), (30.0, False)])
def test_a_copy_that_lasts_long_enough_is_not_restored_again(days_left: float, wanted: bool) -> None:
    image = Image(
        id=UUID(int=1), user_id=UUID(int=2), uploaded_at=NOON, promised_at=NOON, status=Status.READY, original_key="a"
    )
    until = datetime.now(UTC) + timedelta(days=days_left)
    blob = Blob(key="a", size=1, modified_at=NOON, etag="e", storage_class="GLACIER", restored_until=until)

    one = seen(RowBlobs(image=image, blobs={"a": blob}))
    assert is_wanted(one, RestoreOrder(days=7)) is wanted
    assert not is_wanted(one, RestoreOrder(days=7, permanent=True))


class _Clock:
    """A stop event that records its waits instead of sleeping."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def is_set(self) -> bool:
        return False

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout or 0.0)
        return False


def test_waiting_checks_at_once_then_at_the_earliest_end_then_at_intervals(
    catalog: Catalog, stubbed: tuple[S3Store, Stubber]
) -> None:
    cold, stubber = stubbed
    (image,) = _rows(catalog, queued(catalog, 1))
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=7)
    for _ in range(4):
        _head(stubber, image, restore=UNDER_WAY)
    _head(stubber, image, restore=f'ongoing-request="false", expiry-date="{until:%a, %d %b %Y %H:%M:%S} GMT"')
    clock, hours = _Clock(), 3600

    rounds = list(
        wait(
            Chosen(ids=(image.id,)),
            RestoreOrder(concurrency=1),
            parts=_parts(catalog, cold),
            stop=clock,
            first_seconds=first_look_seconds(load_card(), "GLACIER", Tier.STANDARD),
        )
    )

    assert [one.restoring for one in rounds if isinstance(one, Round)] == [1, 1, 1, 1, 0]
    assert 0.8 * 3 * hours <= clock.pauses[0] <= 1.2 * 3 * hours
    assert all(0.8 * 0.3 * hours <= pause <= 1.2 * MOST_SECONDS for pause in clock.pauses[1:])
    assert _rows(catalog, [image.id])[0].restored_until == until
    assert _rows(catalog, [image.id])[0].storage_class == "GLACIER"


@pytest.mark.parametrize(
    ("storage_class", "tier", "first"),
    [
        ("GLACIER", Tier.EXPEDITED, 75),  # a quarter of five minutes
        ("GLACIER", Tier.STANDARD, 3 * 3600),
        ("GLACIER", Tier.BULK, 5 * 3600),
        ("DEEP_ARCHIVE", Tier.STANDARD, 3 * 3600),  # a quarter of twelve hours
        ("DEEP_ARCHIVE", Tier.BULK, 12 * 3600),
    ],
)
def test_the_first_check_waits_for_the_least_time_of_the_tier(storage_class: str, tier: Tier, first: int) -> None:
    seconds = first_look_seconds(load_card(), storage_class, tier)
    later = pauses(seconds)

    assert abs(seconds - first) < 1
    assert 0.8 * first <= next(later) <= 1.21 * first
    assert all(0.8 * LEAST_SECONDS <= next(later) <= 1.2 * MOST_SECONDS for _ in range(40))
