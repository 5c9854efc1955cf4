"""Responses of AWS to restores that no server of the tests returns."""

from datetime import UTC, datetime, timedelta

import pytest

from imgctl.errors import BlobArchived, StoreError, StoreUnavailable
from imgctl.store.blobs.base import Restore, Tier
from tests.store.blobs.s3.stubs import KEY, PLACE, head, reject, stubbed

LATER = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)


def restore(tier: str = "Bulk", days: int = 7) -> dict[str, object]:
    return {**PLACE, "RestoreRequest": {"Days": days, "GlacierJobParameters": {"Tier": tier}}}


@pytest.mark.parametrize(("status", "meaning"), [(202, Restore.STARTED), (200, Restore.EXTENDED)])
def test_the_status_of_the_response_is_the_state_of_the_restore(status: int, meaning: Restore) -> None:
    store, stubber = stubbed()
    stubber.add_response("restore_object", {"ResponseMetadata": {"HTTPStatusCode": status}}, restore("Expedited", 3))

    assert store.restore(KEY, tier=Tier.EXPEDITED, days=3) is meaning


def test_a_restore_in_progress_is_not_an_error_and_not_retried() -> None:
    store, stubber = stubbed()
    reject(stubber, "restore_object", 409, "RestoreAlreadyInProgress")

    assert store.restore(KEY, tier=Tier.BULK, days=7) is Restore.IN_PROGRESS
    stubber.assert_no_pending_responses()


def test_no_capacity_for_expedited_restores_is_reported_at_once_with_a_hint() -> None:
    store, stubber = stubbed()
    reject(stubber, "restore_object", 503, "GlacierExpeditedRetrievalNotAvailable")

    with pytest.raises(StoreUnavailable, match="expedited") as caught:
        store.restore(KEY, tier=Tier.EXPEDITED, days=7)
    assert "--tier standard" in caught.value.hint


@pytest.mark.parametrize("code", ["InvalidObjectState", "ObjectAlreadyInActiveTierError"])
def test_a_restore_of_a_readable_object_is_rejected_by_name(code: str) -> None:
    store, stubber = stubbed()
    reject(stubber, "restore_object", 403, code)

    with pytest.raises(StoreError, match=r"019aa-original.*nothing to restore") as caught:
        store.restore(KEY, tier=Tier.BULK, days=7)
    assert not isinstance(caught.value, BlobArchived)


def test_a_throttled_restore_is_retried() -> None:
    store, stubber = stubbed()
    reject(stubber, "restore_object", 503, "SlowDown")
    stubber.add_response("restore_object", {"ResponseMetadata": {"HTTPStatusCode": 202}}, restore())

    assert store.restore(KEY, tier=Tier.BULK, days=7) is Restore.STARTED


def test_retries_of_a_throttled_restore_end() -> None:
    store, stubber = stubbed(retries=1)
    for _ in range(2):
        reject(stubber, "restore_object", 503, "SlowDown")

    with pytest.raises(StoreUnavailable, match="SlowDown"):
        store.restore(KEY, tier=Tier.BULK, days=7)


@pytest.mark.parametrize(
    ("header", "restoring", "until"),
    [
        ('ongoing-request="true"', True, None),
        (f'ongoing-request="false", expiry-date="{LATER:%a, %d %b %Y %H:%M:%S} GMT"', False, LATER),
        ('ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"', False, None),
        ('ongoing-request="false", expiry-date="soon"', False, None),
        ('ongoing-request="false", expiry-date="Fri, 21 Dec 99999999999 00:00:00 GMT"', False, None),
    ],
    # Explicit ids: every process of a parallel run must collect the same names.
    ids=["restoring", "restored", "expired", "unreadable", "beyond"],
)
def test_the_restore_header_is_parsed(header: str, restoring: bool, until: datetime | None) -> None:
    store, stubber = stubbed()
    head(stubber, storage_class="GLACIER", more={"Restore": header})

    found = store.details(KEY)

    assert found is not None
    assert (found.restoring, found.restored_until, found.readable) == (restoring, until, until is not None)


@pytest.mark.parametrize("tier", ["ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS"])
def test_an_archive_tier_of_intelligent_tiering_counts_as_a_class(tier: str) -> None:
    store, stubber = stubbed()
    head(stubber, storage_class="INTELLIGENT_TIERING", more={"ArchiveStatus": tier})
    head(stubber, storage_class="INTELLIGENT_TIERING")

    archived, frequent = store.details(KEY), store.details(KEY)

    assert archived is not None
    assert (archived.storage_class, archived.readable) == (tier, False)
    assert frequent is not None
    assert (frequent.storage_class, frequent.readable) == ("INTELLIGENT_TIERING", True)


def test_a_restore_without_days_sends_none() -> None:
    store, stubber = stubbed()
    wanted = {**PLACE, "RestoreRequest": {"GlacierJobParameters": {"Tier": "Standard"}}}
    stubber.add_response("restore_object", {"ResponseMetadata": {"HTTPStatusCode": 202}}, wanted)

    assert store.restore(KEY, tier=Tier.STANDARD, days=None) is Restore.STARTED


def test_an_object_in_an_archive_tier_is_not_moved_before_it_is_restored() -> None:
    store, stubber = stubbed()
    head(stubber, storage_class="INTELLIGENT_TIERING", more={"ArchiveStatus": "ARCHIVE_ACCESS"})

    with pytest.raises(BlobArchived):
        store.move(KEY, to="GLACIER", etag="e1")
