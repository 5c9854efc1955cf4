"""`kill -9` at random instants, then the same command: no photo is lost, doubled or orphaned."""

import random
import time
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from imgctl.model import Status
from tests.soak import rounds
from tests.whole.conftest import place_of
from tests.whole.deployment import USER, Deployment, assert_whole, kill_at_a_request, kill_when

UPLOAD_REQUESTS = 21
WORK_REQUESTS = 80
KILLS = rounds(4, 100)
JOURNALS = ("journal.db", "journal.db-wal", "journal.db-shm")


@pytest.mark.parametrize("keep_journal", [True, False])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_upload_to_servers_is_finished_by_the_next(
    servers: Deployment, album: dict[Path, bytes], processes: int, keep_journal: bool
) -> None:
    rng = random.Random(f"servers {processes} {keep_journal}")
    servers = servers.with_processes(processes)
    for number in range(KILLS):
        command = _upload(album, number)
        kill_at_a_request(servers, command, UPLOAD_REQUESTS, rng)
        _again(servers, command, keep_journal=keep_journal)

    assert_whole(servers, album.values(), status=Status.PROCESSING, users=KILLS)


@pytest.mark.parametrize("keep_journal", [True, False])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_upload_to_a_directory_is_finished_by_the_next(
    embedded: Deployment, album: dict[Path, bytes], processes: int, keep_journal: bool
) -> None:
    rng = random.Random(f"embedded {processes} {keep_journal}")
    embedded = embedded.with_processes(processes)
    began = time.monotonic()
    embedded.run(*_upload(album, KILLS))
    usual_seconds = time.monotonic() - began
    for number in range(KILLS):
        run = embedded.start(*_upload(album, number))
        kill_when(run, partial(_is_past, time.monotonic() + rng.uniform(0, usual_seconds)))
        _again(embedded, _upload(album, number), keep_journal=keep_journal)

    assert_whole(embedded, album.values(), status=Status.PROCESSING, users=KILLS + 1)


@pytest.mark.parametrize("seed", range(rounds(4, 20)))
def test_killed_work_is_finished_by_the_next(servers: Deployment, album: dict[Path, bytes], seed: int) -> None:
    servers.run("upload", place_of(album), "--user", str(USER))
    way = servers.with_pool() if seed % 2 else servers
    kill_at_a_request(way, ["work", "--drain"], WORK_REQUESTS, random.Random(seed))

    again = servers.run("work", "--drain")

    assert again.code == 0, again.err
    assert_whole(servers, album.values(), status=Status.READY)


def _is_past(instant: float) -> bool:
    return time.monotonic() > instant


def _upload(album: dict[Path, bytes], number: int) -> list[str]:
    """Return the command for the user of this round, who has no images yet."""
    return ["upload", str(place_of(album)), "--user", str(UUID(int=number + 1))]


def _again(deployment: Deployment, command: list[str], *, keep_journal: bool) -> None:
    if not keep_journal:
        for name in JOURNALS:
            (deployment.directory / ".local" / "state" / "imgctl" / name).unlink(missing_ok=True)
    again = deployment.run(*command)
    assert again.code == 0, again.err
