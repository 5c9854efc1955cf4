"""Law 3: the row is the queue, leases run by the database's clock, `attempts` is the fencing token."""

from uuid import UUID

from imgctl.model import Image, Status
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.lease import Hold, renew
from imgctl.store.catalog.queries.claims import Claim, backlog, claim, fail_spent
from imgctl.store.catalog.queries.lookups import by_id
from imgctl.store.catalog.queries.repairs import requeue_seen
from imgctl.store.catalog.queries.results import FailedImage, GivenBack, fail, finish, give_back
from tests.store.catalog.rows import finished, queued

LAPSED = -1.0


def claimed(catalog: Catalog, *, limit: int = 10, lease_seconds: float = 60, max_attempts: int = 5) -> list[Claim]:
    with catalog.write() as connection:
        return claim(connection, limit=limit, lease_seconds=lease_seconds, max_attempts=max_attempts)


def row(catalog: Catalog, image_id: UUID) -> Image:
    with catalog.read() as connection:
        image = by_id(connection, image_id)
    assert image is not None
    return image


def test_the_oldest_are_claimed_first_and_only_once(catalog: Catalog) -> None:
    ids = queued(catalog, 5)

    first, second, third = (claimed(catalog, limit=2) for _ in range(3))

    assert [one.id for one in first + second + third] == ids
    assert claimed(catalog) == []


def test_a_claim_has_the_row_s_values(catalog: Catalog) -> None:
    [image_id] = queued(catalog, 1)

    [one] = claimed(catalog)

    image = row(catalog, image_id)
    values = {name: getattr(one, name) for name in Claim.__slots__ if name != "forgiven"}
    assert values == {name: getattr(image, name) for name in values}
    assert (one.attempts, one.forgiven) == (1, 0)


def test_expired_lease_is_claimed_again(catalog: Catalog) -> None:
    queued(catalog, 1)
    claimed(catalog, lease_seconds=LAPSED)

    [again] = claimed(catalog)

    assert again.attempts == 2


def test_a_stale_token_changes_nothing(catalog: Catalog) -> None:
    [image_id] = queued(catalog, 1)
    [stale] = claimed(catalog, lease_seconds=LAPSED)
    [current] = claimed(catalog)
    before = row(catalog, image_id)

    with catalog.write() as connection:
        assert finish(connection, finished([stale])) == set()
        assert fail(connection, [FailedImage(id=image_id, attempts=stale.attempts, error="no")]) == set()
        assert renew(connection, [Hold(id=image_id, attempts=stale.attempts)], lease_seconds=900) == set()
        assert give_back(connection, [GivenBack(id=image_id, attempts=stale.attempts, error="no")]) == set()

    assert row(catalog, image_id) == before
    with catalog.write() as connection:
        assert finish(connection, finished([current])) == {image_id}


def test_an_expired_lease_that_no_worker_took_may_still_finish(catalog: Catalog) -> None:
    [image_id] = queued(catalog, 1)
    late = claimed(catalog, lease_seconds=LAPSED)

    with catalog.write() as connection:
        assert finish(connection, finished(late)) == {image_id}


def test_finish_makes_the_row_ready_and_free_of_the_queue(catalog: Catalog) -> None:
    [image_id] = queued(catalog, 1)
    [result] = finished(claimed(catalog))

    with catalog.write() as connection:
        finish(connection, [result])

    image = row(catalog, image_id)
    assert image.status is Status.READY
    assert (image.thumb_key, image.medium_key, image.full_key) == (
        result.thumb_key,
        result.medium_key,
        result.full_key,
    )
    assert (image.recipe, image.leased_until, image.error) == ("0123abcd", None, None)
    assert (image.width, image.height) == (4032, 3024)
    assert claimed(catalog) == []


def test_finish_twice_changes_the_row_once(catalog: Catalog) -> None:
    [image_id] = queued(catalog, 1)
    results = finished(claimed(catalog))

    with catalog.write() as connection:
        assert finish(connection, results) == {image_id}
        assert finish(connection, results) == set()


def test_fail_keeps_the_reason(catalog: Catalog) -> None:
    [image_id] = queued(catalog, 1)
    claimed(catalog)

    with catalog.write() as connection:
        fail(connection, [FailedImage(id=image_id, attempts=1, error="truncated\0 file")])

    image = row(catalog, image_id)
    assert (image.status, image.error, image.leased_until) == (Status.FAILED, "truncated\ufffd file", None)


def test_renew_extends_the_leases_still_held(catalog: Catalog) -> None:
    ids = queued(catalog, 2)
    claims = claimed(catalog, lease_seconds=5)
    before = row(catalog, ids[0]).leased_until

    with catalog.write() as connection:
        held = renew(connection, [Hold(id=one.id, attempts=one.attempts) for one in claims], lease_seconds=600)

    after = row(catalog, ids[0]).leased_until
    assert held == set(ids)
    assert before is not None
    assert after is not None
    assert 500 < (after - before).total_seconds() < 1500


def test_a_row_given_back_is_free_at_once_or_after_its_delay(catalog: Catalog) -> None:
    soon, later = queued(catalog, 2)
    claimed(catalog)

    with catalog.write() as connection:
        back = [GivenBack(id=soon, attempts=1, error="busy"), GivenBack(id=later, attempts=1, delay_seconds=600)]
        assert give_back(connection, back) == {soon, later}

    assert [(one.id, one.attempts) for one in claimed(catalog)] == [(soon, 2)]
    assert row(catalog, soon).error == "busy"


def test_rows_given_back_are_not_held(catalog: Catalog) -> None:
    [image_id] = queued(catalog, 1)
    claimed(catalog)
    back = [GivenBack(id=image_id, attempts=1)]

    with catalog.write() as connection:
        assert give_back(connection, back) == {image_id}
        assert give_back(connection, back) == set()
        assert renew(connection, [Hold(id=image_id, attempts=1)], lease_seconds=60) == set()


def test_images_without_attempts_left_are_not_claimed_and_fail_with_their_reason(catalog: Catalog) -> None:
    silent, failing = queued(catalog, 2)
    for attempts in (1, 2):
        claimed(catalog, lease_seconds=LAPSED, max_attempts=2)
        with catalog.write() as connection:
            give_back(connection, [GivenBack(id=failing, attempts=attempts, error="timeout")])

    assert claimed(catalog, max_attempts=2) == []
    with catalog.write() as connection:
        assert fail_spent(connection, max_attempts=2, limit=10) == [silent, failing]
    assert row(catalog, silent).error == "gave up after 2 attempts: the worker died each time"
    assert row(catalog, failing).error == "gave up after 2 attempts: timeout"


def test_an_image_does_not_fail_during_its_last_attempt(catalog: Catalog) -> None:
    [image_id] = queued(catalog, 1)
    last = claimed(catalog, max_attempts=1)

    with catalog.write() as connection:
        assert fail_spent(connection, max_attempts=1, limit=10) == []
        assert finish(connection, finished(last)) == {image_id}


def test_a_refund_gives_the_attempt_back_but_never_the_token(catalog: Catalog) -> None:
    [image_id] = queued(catalog, 1)
    tokens = []
    for _ in range(7):
        [one] = claimed(catalog, max_attempts=2)
        tokens.append(one.attempts)
        with catalog.write() as connection:
            give_back(connection, [GivenBack(id=image_id, attempts=one.attempts, refund=True)])

    assert tokens == [1, 2, 3, 4, 5, 6, 7]
    with catalog.write() as connection:
        assert fail_spent(connection, max_attempts=1, limit=10) == []


def test_requeue_gives_a_failed_image_all_its_attempts_again(catalog: Catalog) -> None:
    failed, ready = queued(catalog, 2)
    claims = claimed(catalog, max_attempts=1)
    with catalog.write() as connection:
        fail(connection, [FailedImage(id=failed, attempts=1, error="no")])
        finish(connection, finished(claims[1:]))

    with catalog.write() as connection:
        seen = [Hold(id=one, attempts=1) for one in (failed, ready)]
        assert requeue_seen(connection, seen) == {failed, ready}

    assert [(one.id, one.attempts) for one in claimed(catalog, max_attempts=1)] == [(failed, 2), (ready, 2)]
    with catalog.write() as connection:
        assert finish(connection, finished(claims)) == set()


def test_backlog_has_the_unfinished_rows_and_the_time_until_the_next_is_free(catalog: Catalog) -> None:
    with catalog.read() as connection:
        assert backlog(connection).next_free_seconds is None
    queued(catalog, 5)
    claimed(catalog, limit=2, lease_seconds=300)
    claimed(catalog, limit=1, lease_seconds=LAPSED)

    with catalog.read() as connection:
        left = backlog(connection)

    assert (left.processing, left.leased) == (5, 2)
    assert left.next_free_seconds is not None
    assert 0 < left.next_free_seconds <= 300
