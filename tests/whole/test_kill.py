"""`kill -9` at random instants, then the same command: nothing lost, nothing doubled, nothing orphaned."""

import random
from pathlib import Path

import pytest

from imgctl.model import Status
from tests.parts.proxy import Fault, fault_proxy
from tests.whole.conftest import place_of
from tests.whole.deployment import USER, Deployment, Run, assert_whole, kill_when

UPLOAD_REQUESTS = 20
WORK_REQUESTS = 80


@pytest.mark.parametrize("seed", range(10))
def test_a_killed_upload_is_finished_by_the_next(servers: Deployment, album: dict[Path, bytes], seed: int) -> None:
    _kill_at_a_request(servers, ["upload", str(place_of(album)), "--user", str(USER)], UPLOAD_REQUESTS, seed)

    again = servers.run("upload", place_of(album), "--user", str(USER))

    assert again.code == 0, again.err
    assert_whole(servers, album.values(), status=Status.PROCESSING)


@pytest.mark.parametrize("seed", range(10))
def test_killed_work_is_finished_by_the_next(servers: Deployment, album: dict[Path, bytes], seed: int) -> None:
    servers.run("upload", place_of(album), "--user", str(USER))
    _kill_at_a_request(servers, ["work", "--drain"], WORK_REQUESTS, seed)

    again = servers.run("work", "--drain")

    assert again.code == 0, again.err
    assert_whole(servers, album.values(), status=Status.READY)


def _kill_at_a_request(deployment: Deployment, command: list[str], requests: int, seed: int) -> None:
    """Kill a run when its n-th request arrives at the store: before it is done, or after and before the answer."""
    rng = random.Random(seed)
    chosen, fault = rng.randrange(requests), rng.choice([Fault.RESET, Fault.LOST_ANSWER])
    running: list[Run] = []

    def policy(_method: str, _path: str, number: int) -> Fault | None:
        if number < chosen:
            return None
        if fault is Fault.RESET:
            running[0].kill()
        return fault

    with fault_proxy(deployment.store.endpoint_url, policy=policy) as proxy:
        running.append(deployment.through(proxy.url).start(*command))
        kill_when(running[0], lambda: proxy.faults.total() > 0)

    assert running[0].process.exitcode == -9
