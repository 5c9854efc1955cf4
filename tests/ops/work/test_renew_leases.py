"""Leases of a worker are renewed while it runs, and no longer."""

from datetime import datetime
from uuid import UUID

from imgctl.ops.work.renew_leases import Leases
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.lease import Hold
from imgctl.store.catalog.queries.claims import Claim, claim
from imgctl.store.catalog.queries.lookups import by_id
from imgctl.store.catalog.queries.results import GivenBack, give_back
from tests.store.catalog.rows import queued


def _claimed(catalog: Catalog, *, lease_seconds: float) -> list[Claim]:
    with catalog.write() as connection:
        return claim(connection, limit=10, lease_seconds=lease_seconds, max_attempts=5)


def _leased_until(catalog: Catalog, image: UUID) -> datetime | None:
    with catalog.read() as connection:
        found = by_id(connection, image)
    assert found is not None
    return found.leased_until


def _holds(claims: list[Claim]) -> list[Hold]:
    return [Hold(id=one.id, attempts=one.attempts) for one in claims]


def test_leases_are_renewed_in_the_background(catalog: Catalog) -> None:
    [image] = queued(catalog, 1)
    claims = _claimed(catalog, lease_seconds=0.3)
    first = _leased_until(catalog, image)

    with Leases(catalog, lease_seconds=0.3) as leases:
        leases.hold(_holds(claims))
        while (now := _leased_until(catalog, image)) == first:
            pass

    assert first is not None and now is not None and now > first


def test_an_image_taken_by_another_worker_is_not_renewed(catalog: Catalog) -> None:
    image, other = queued(catalog, 2)
    leases = Leases(catalog, lease_seconds=60)
    leases.hold(_holds(_claimed(catalog, lease_seconds=-1)))
    taken = {one.id: one.attempts for one in _claimed(catalog, lease_seconds=-1)}

    leases.renew_now()

    # The first worker renews nothing: a third worker can claim the images.
    assert taken == {image: 2, other: 2}
    assert {one.id: one.attempts for one in _claimed(catalog, lease_seconds=60)} == {image: 3, other: 3}


def test_an_image_given_back_is_not_renewed(catalog: Catalog) -> None:
    [image] = queued(catalog, 1)
    leases = Leases(catalog, lease_seconds=60)
    leases.hold(_holds(_claimed(catalog, lease_seconds=60)))

    with leases.settling():
        with catalog.write() as connection:
            give_back(connection, [GivenBack(id=image, attempts=1)])
        leases.drop([image])
    leases.renew_now()

    assert _leased_until(catalog, image) is None
