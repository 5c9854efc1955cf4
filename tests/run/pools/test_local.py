"""Behaviour that only the pool of local processes has."""

import os
import pickle
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from imgctl.errors import WorkerError
from imgctl.run.pools.child import reason_of
from imgctl.run.pools.pool import ChildDied, Pool, PoolSettings
from imgctl.run.stop import STOP_SIGNALS
from tests.run import tasks
from tests.run.programs import SECONDS, fifo, has_ended, start

OpenPool = Callable[..., Pool]

MIB = 2**20


@pytest.mark.parametrize(
    ("task", "argument", "reason"),
    [
        (tasks.hang_in_c, 0.1, "took longer than its time limit"),
        (tasks.read_null, None, "crashed (SIGSEGV)"),
        (tasks.double_or_die, (1, signal.SIGKILL), "killed by signal 9 (SIGKILL): out of memory?"),
        (tasks.double_or_die, (1, signal.SIGABRT), "crashed (SIGABRT): out of memory?"),
        (tasks.leave, 3, "ended its process with exit code 3"),
        (tasks.leave, 0, "ended its process with exit code 0"),
    ],
)
def test_a_death_is_reported_in_plain_words(
    local: OpenPool, task: Callable[[object], object], argument: object, reason: str
) -> None:
    error = local().submit(task, argument).exception(SECONDS)

    assert isinstance(error, ChildDied)
    assert error.reason == reason


def test_a_memory_hog_fails_only_its_task(local: OpenPool) -> None:
    pool = local(PoolSettings(jobs=1, memory_bytes=512 * MIB))

    sizes = [MIB, 1024 * MIB, 2 * MIB]
    before, hog, after = [pool.submit(tasks.hog, size) for size in sizes]

    error = hog.exception(SECONDS)
    assert isinstance(error, ChildDied)
    assert error.reason == "used more memory than allowed"
    assert (before.result(SECONDS), after.result(SECONDS)) == (MIB, 2 * MIB)


def test_memory_held_by_earlier_tasks_does_not_fail_the_next(local: OpenPool) -> None:
    pool = local(PoolSettings(jobs=1, memory_bytes=512 * MIB))

    first, next_one, last = [pool.submit(tasks.hoard, 300 * MIB) for _ in range(3)]

    assert [future.result(SECONDS) for future in (first, next_one, last)] == [300 * MIB] * 3


def test_a_task_that_leaves_no_memory_for_its_result_exceeds_the_limit(local: OpenPool) -> None:
    pool = local(PoolSettings(jobs=1, memory_bytes=512 * MIB))

    hoarder, after = pool.submit(tasks.hoard_all, "done"), pool.submit(tasks.double, 4)

    error = hoarder.exception(SECONDS)
    assert isinstance(error, ChildDied)
    assert error.reason == "used more memory than allowed"
    assert after.result(SECONDS) == 8


def test_a_killed_idle_child_is_replaced(local: OpenPool) -> None:
    pool = local(PoolSettings(jobs=1))
    child = pool.submit(tasks.process_id, None).result(SECONDS)

    os.kill(child, signal.SIGKILL)
    assert has_ended(child)

    assert pool.submit(tasks.process_id, None).result(SECONDS) != child


def test_children_are_recycled(local: OpenPool) -> None:
    pool = local(PoolSettings(jobs=1, recycle_after=3))

    ids = [pool.submit(tasks.process_id, None).result(SECONDS) for _ in range(9)]

    assert [ids[0:3].count(ids[0]), ids[3:6].count(ids[3]), ids[6:9].count(ids[6])] == [3, 3, 3]
    assert len(set(ids)) == 3


def test_children_are_reused_without_recycling(local: OpenPool) -> None:
    pool = local(PoolSettings(jobs=1))

    assert len({pool.submit(tasks.process_id, None).result(SECONDS) for _ in range(20)}) == 1


def test_tasks_run_in_the_main_thread(local: OpenPool) -> None:
    assert local().submit(tasks.is_in_main_thread, None).result(SECONDS)


@pytest.mark.parametrize("number", sorted(STOP_SIGNALS))
def test_children_ignore_signals_that_the_parent_handles(local: OpenPool, number: int) -> None:
    assert local().submit(tasks.double_or_die, (4, number)).result(SECONDS) == 8


def test_an_exception_that_cannot_be_unpickled_keeps_its_text(local: OpenPool) -> None:
    error = local().submit(tasks.fail_stubbornly, None).exception(SECONDS)

    assert isinstance(error, WorkerError)
    assert error.line == "Stubborn: 1 and 2"


def test_an_exception_has_the_traceback_of_the_child(local: OpenPool) -> None:
    error = local().submit(tasks.fail, "a.jpg").exception(SECONDS)

    assert error is not None
    assert "in fail" in error.__notes__[0]


def test_a_result_that_cannot_be_pickled_is_an_exception(local: OpenPool) -> None:
    assert isinstance(local().submit(tasks.return_a_lock, None).exception(SECONDS), TypeError)


def test_a_task_that_cannot_be_pickled_fails_at_once(local: OpenPool) -> None:
    pool = local()

    with pytest.raises((pickle.PicklingError, AttributeError)):
        pool.submit(lambda _: None, None)


def test_children_that_cannot_start_break_the_pool(local: OpenPool) -> None:
    pool = local(PoolSettings(jobs=2, setup=tasks.refuse))

    error = pool.submit(tasks.double, 1).exception(SECONDS)
    assert isinstance(error, WorkerError)
    assert "die at their start" in error.line
    with pytest.raises(WorkerError):
        pool.submit(tasks.double, 1)


def test_children_of_another_version_break_the_pool_before_a_task_runs(local: OpenPool) -> None:
    pool = local(PoolSettings(jobs=2, setup=tasks.upgrade))

    error = pool.submit(tasks.double, 1).exception(SECONDS)

    assert isinstance(error, WorkerError)
    assert error.line == "imgctl was upgraded to 999.0.0 while this process runs (start it again)"


def test_an_upgrade_blames_no_running_task(local: OpenPool, tmp_path: Path) -> None:
    pool = local(PoolSettings(jobs=2, setup=partial(tasks.upgrade_from_the_second_on, str(tmp_path / "first"))))
    fifo_path = fifo(tmp_path, "one")
    running = pool.submit(tasks.write_pid_and_hang, fifo_path)
    Path(fifo_path).read_text()

    waiting = pool.submit(tasks.double, 1)

    for future in (running, waiting):
        error = future.exception(SECONDS)
        assert isinstance(error, WorkerError)
        assert "imgctl was upgraded" in error.line


def test_close_now_leaves_no_child(local: OpenPool, tmp_path: Path) -> None:
    pool = local()
    fifos = [fifo(tmp_path, name) for name in ("one", "two")]
    futures = [pool.submit(tasks.write_pid_and_hang, path) for path in fifos]
    children = [int(Path(path).read_text()) for path in fifos]

    pool.close(now=True)

    assert all(isinstance(future.exception(0), ChildDied) for future in futures)
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def test_close_leaves_no_thread(local: OpenPool) -> None:
    pool = local()
    pool.submit(tasks.double, 1).result(SECONDS)
    pool.close()

    assert "imgctl pool" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd_open")
def test_kill_9_of_the_parent_leaves_no_child(tmp_path: Path) -> None:
    fifos = [fifo(tmp_path, name) for name in ("one", "two")]
    with start("hang", *fifos) as parent:
        children = [int(Path(path).read_text()) for path in fifos]
        parent.kill()

    assert all(has_ended(child) for child in children)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_whole_group_lets_children_finish(tmp_path: Path, number: int) -> None:
    started, go = fifo(tmp_path, "started"), fifo(tmp_path, "go")
    with start("drain", started, go) as parent:
        assert Path(started).read_text() == "started"
        os.killpg(parent.pid, number)
        assert parent.stdout is not None
        assert parent.stdout.readline() == "stopping\n"
        Path(go).write_text("finished")

        assert parent.stdout.readline() == "finished terminated\n"
    assert parent.returncode == 0


def test_a_machine_that_starts_no_process_is_a_worker_error() -> None:
    with start("starve") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("True no worker process can be started: [Errno 24]")


def test_unknown_signals_are_described() -> None:
    assert reason_of(-40) == "crashed (signal 40)"
