"""`kill -9` at random instants of a restore, then the same command: all are restored, none is requested twice."""

import random
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from uuid import UUID

import pytest

from imgctl.keys import key_of, new_id
from imgctl.model import NewImage
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.queries.reservations import confirm, promise
from imgctl.store.catalog.upgrade import upgrade
from tests.parts.proxy import Fault, fault_proxy
from tests.soak import rounds
from tests.whole.cold import archive_all, cold_of, is_restore
from tests.whole.deployment import Deployment, Run, kill_when
from tests.whole.staged import Frozen, frozen

__all__ = ["frozen"]

KILLS = rounds(4, 50)
PHOTOS = 6
# Two HEADs, a restore request, another HEAD.
REQUESTS = 4 * PHOTOS


def _user(number: int) -> UUID:
    return UUID(int=number + 1)


def _stock(deployment: Deployment, users: int) -> None:
    """Store a few archived originals for each user, without a run of imgctl."""
    rows = [_row(user, number) for user in range(users) for number in range(PHOTOS)]
    store = deployment.open_store()
    with closing(open_catalog(deployment.catalog_url)) as catalog:
        upgrade(catalog)
        with catalog.write() as connection:
            promise(connection, rows)
            confirm(connection, [row.id for row in rows])
    for row in rows:
        store.create(row.original_key, _content(row.id), content_type="image/jpeg")
    archive_all(deployment)


def _content(image: UUID) -> bytes:
    return f"original {image}".encode()


def _row(user: int, number: int) -> NewImage:
    at = datetime(2026, 3, 1, user % 24, number, user, tzinfo=UTC)
    image, content = new_id(at), f"{user} {number}".encode()
    return NewImage(
        id=image,
        user_id=_user(user),
        uploaded_at=at,
        original_key=key_of(image, "original", "jpg"),
        sha256=sha256(content).digest(),
        bytes=len(_content(image)),
        content_type="image/jpeg",
    )


def _command(number: int, *options: str) -> list[str]:
    return ["restore", "--user", str(_user(number)), "--yes", "--json", *options]


def _kill_at_a_request(deployment: Deployment, command: list[str], rng: random.Random) -> None:
    """Kill a run at its n-th request: before it is executed, or after it and before the response."""
    chosen, fault = rng.randrange(REQUESTS), rng.choice([Fault.RESET, Fault.LOST_RESPONSE])
    running: list[Run] = []

    def policy(_method: str, _path: str, number: int) -> Fault | None:
        here = fault if number == chosen else Fault.RESET if number > chosen else None
        if here is Fault.RESET:
            running[0].kill()
        return here

    with fault_proxy(deployment.store.endpoint_url, policy=policy) as proxy:
        running.append(deployment.through(proxy.url).start(*command))
        kill_when(running[0], lambda: proxy.faults.total() > 0)

    assert running[0].process.exitcode == -9


@pytest.mark.parametrize("half", [0, 1])
def test_a_killed_restore_from_a_bucket_is_finished_by_the_next(frozen: Frozen, half: int) -> None:
    deployment, rng = frozen.deployment, random.Random(f"bucket {half}")
    rounds = KILLS // 2 + half
    _stock(deployment, rounds)
    frozen.hold()
    requests: Counter[str] = Counter()

    def counting(method: str, path: str, _number: int) -> None:
        requests[path] += is_restore(method, path)

    # Behind the killing proxy: a request that a killed run had begun to send did not reach the store.
    with fault_proxy(deployment.store.endpoint_url, policy=counting) as proxy:
        for number in range(rounds):
            _kill_at_a_request(deployment.through(proxy.url), _command(number), rng)
            again = deployment.through(proxy.url).run(*_command(number))

            assert again.code == 0, again.err
    frozen.finish()
    seen = deployment.run("restore", "--status", "--json")

    assert seen.summary["restored"] == rounds * PHOTOS
    assert {count for path, count in requests.items() if count} == {1}
    _assert_rows_say_what_the_store_says(deployment)


@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("forever", [False, True])
def test_a_killed_restore_in_a_directory_is_finished_by_the_next(
    embedded: Deployment, half: int, forever: bool
) -> None:
    rng = random.Random(f"directory {half} {forever}")
    rounds, options = KILLS // 4 + half, ("--permanent", "--wait") if forever else ()
    _stock(embedded, rounds + 1)
    began = time.monotonic()
    embedded.run(*_command(rounds, *options))
    usual_seconds = time.monotonic() - began
    for number in range(rounds):
        run = embedded.start(*_command(number, *options))
        kill_when(run, partial(_is_past, time.monotonic() + rng.uniform(0, usual_seconds)))
        again = embedded.run(*_command(number, *options))

        assert again.code == 0, again.err
    counted = embedded.run("restore", "--status", "--json").summary

    assert counted["readable" if forever else "restored"] == (rounds + 1) * PHOTOS
    _assert_rows_say_what_the_store_says(embedded)


def _is_past(instant: float) -> bool:
    return time.monotonic() > instant


def _assert_rows_say_what_the_store_says(deployment: Deployment) -> None:
    cold, store = cold_of(deployment), deployment.open_store()
    for image in deployment.images():
        blob = cold.details(image.original_key or "")
        assert blob is not None
        assert (image.storage_class or "STANDARD", image.restored_until) == (blob.storage_class, blob.restored_until)
        assert store.get(blob.key) == _content(image.id)
