"""Behaviour of every pool, and of the pools that run tasks in other processes."""

import signal
from concurrent.futures import Future, wait

import pytest

from imgctl.errors import BlobMissing, ConfigError, WorkerError
from imgctl.run.limits import cores
from imgctl.run.pools.open import open_pool
from imgctl.run.pools.pool import ChildDied, Pool, PoolSettings
from tests.run import tasks


def test_results_are_returned(pool: Pool) -> None:
    futures = [pool.submit(tasks.double, number) for number in range(50)]

    assert [future.result(60) for future in futures] == [number * 2 for number in range(50)]


def test_an_exception_is_raised_with_its_hint(pool: Pool) -> None:
    future = pool.submit(tasks.fail, "a.jpg")

    error = future.exception(60)
    assert isinstance(error, BlobMissing)
    assert error.line == "no blob a.jpg (run audit)"


def test_a_failed_task_leaves_the_pool_usable(pool: Pool) -> None:
    wait([pool.submit(tasks.fail, "a.jpg")], timeout=60)

    assert pool.submit(tasks.double, 4).result(60) == 8


def test_close_finishes_submitted_tasks(pool: Pool) -> None:
    futures = [pool.submit(tasks.double, number) for number in range(10)]

    pool.close()

    assert [future.result(0) for future in futures] == [number * 2 for number in range(10)]


def test_close_twice_is_harmless(pool: Pool) -> None:
    pool.close()
    pool.close(now=True)

    with pytest.raises(WorkerError, match="closed"):
        pool.submit(tasks.double, 1)


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGSEGV, signal.SIGALRM])
def test_a_death_fails_only_the_task_that_died(sturdy_pool: Pool, deadly: int) -> None:
    orders = [(number, deadly if number == 7 else 0) for number in range(20)]

    futures = [sturdy_pool.submit(tasks.double_or_die, order) for order in orders]

    assert isinstance(futures[7].exception(60), ChildDied)
    assert [f.result(60) for f in futures if f is not futures[7]] == [n * 2 for n in range(20) if n != 7]


def test_a_hang_in_c_code_ends_at_its_time_limit(sturdy_pool: Pool) -> None:
    future = sturdy_pool.submit(tasks.hang_in_c, 0.2)

    assert isinstance(future.exception(60), ChildDied)
    assert sturdy_pool.submit(tasks.double, 4).result(60) == 8


def test_an_unused_time_limit_is_disarmed(sturdy_pool: Pool) -> None:
    assert sturdy_pool.submit(tasks.hurry, 60).result(60) == 1
    assert sturdy_pool.submit(tasks.hurry, 60).result(60) == 1


def test_close_now_ends_every_future(sturdy_pool: Pool) -> None:
    futures: list[Future[None]] = [sturdy_pool.submit(tasks.hang_in_c, 5) for _ in range(6)]

    sturdy_pool.close(now=True)

    assert not wait(futures, timeout=60).not_done
    assert all(future.cancelled() or isinstance(future.exception(), ChildDied) for future in futures)


def test_a_cancelled_task_never_runs(sturdy_pool: Pool) -> None:
    futures = [sturdy_pool.submit(tasks.double, number) for number in range(200)]
    cancelled = [future for future in futures if future.cancel()]

    assert not wait(futures, timeout=60).not_done
    assert all(future.cancelled() for future in cancelled)
    assert all(future.result() % 2 == 0 for future in futures if future not in cancelled)


def test_there_is_at_least_one_core() -> None:
    assert cores() >= 1


def test_an_invalid_address_is_refused() -> None:
    pytest.importorskip("distributed")

    with pytest.raises(ConfigError, match="invalid address"):
        open_pool(PoolSettings(scheduler="spam://nowhere"))
