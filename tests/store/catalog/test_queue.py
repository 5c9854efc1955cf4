"""Many workers on one queue: each image is claimed once, and none is left out."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import UUID

import pytest

from imgctl.model import Status
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.claims import Claim, Position, claim
from imgctl.store.catalog.queries.results import GivenBack, finish, give_back
from tests.store.catalog.rows import counts, finished, queued


def claimed_on(catalog: Catalog, position: Position, *, limit: int) -> list[UUID]:
    with catalog.write() as connection:
        claims = claim(connection, limit=limit, lease_seconds=60, max_attempts=5, position=position)
    return [one.id for one in claims]


def test_a_worker_continues_after_its_last_claim_and_skips_nothing(catalog: Catalog) -> None:
    ids = queued(catalog, 5)
    position = Position(rewind_seconds=3600)

    assert claimed_on(catalog, position, limit=2) == ids[:2]
    with catalog.write() as connection:
        give_back(connection, [GivenBack(id=ids[0], attempts=1)])
    assert claimed_on(catalog, position, limit=2) == ids[2:4]
    assert claimed_on(catalog, position, limit=2) == [ids[0], ids[4]]
    assert claimed_on(catalog, position, limit=2) == []


def test_a_worker_returns_to_the_head_of_the_queue_in_time(catalog: Catalog) -> None:
    ids = queued(catalog, 5)
    position = Position(rewind_seconds=0)

    claimed_on(catalog, position, limit=2)
    with catalog.write() as connection:
        give_back(connection, [GivenBack(id=ids[0], attempts=1)])

    assert claimed_on(catalog, position, limit=2) == [ids[0], ids[2]]


def claimed(catalog: Catalog) -> list[Claim]:
    with catalog.write() as connection:
        return claim(connection, limit=7, lease_seconds=60, max_attempts=5)


@pytest.mark.parametrize("claimers", [2, 6])
def test_concurrent_claims_never_get_the_same_image(catalog: Catalog, claimers: int) -> None:
    ids = queued(catalog, 120)
    together = Barrier(claimers)

    def run(_: int) -> list[UUID]:
        together.wait()
        taken: list[UUID] = []
        while claims := claimed(catalog):
            taken += [one.id for one in claims]
            with catalog.write() as connection:
                finish(connection, finished(claims))
        return taken

    with ThreadPoolExecutor(claimers) as pool:
        taken = [one for share in pool.map(run, range(claimers)) for one in share]

    assert sorted(taken) == ids
    with catalog.read() as connection:
        assert counts(connection)[Status.READY] == 120
