"""The child process that runs one task at a time."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from imgctl.errors import BlobMissing, WorkerError
from imgctl.run.pools.pool import ChildDied
from imgctl.run.pools.task_process import TaskProcess
from tests.run import tasks
from tests.run.programs import fifo, has_ended


@pytest.fixture
def process() -> Iterator[TaskProcess]:
    with closing(TaskProcess("tests.run.tasks")) as one:
        yield one


def test_its_tasks_run_elsewhere_one_after_the_other(process: TaskProcess) -> None:
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda number: process.call(tasks.double, number), range(40))) == list(range(0, 80, 2))
    assert process.call(tasks.process_id, None) not in {os.getpid(), os.getppid()}


def test_an_error_keeps_its_kind_and_its_next_step(process: TaskProcess) -> None:
    with pytest.raises(BlobMissing, match="no blob") as raised:
        process.call(tasks.fail, "a.jpg")
    assert raised.value.hint == "run audit"
    assert "in fail" in "".join(raised.value.__notes__)

    with pytest.raises(WorkerError, match="Stubborn"):
        process.call(tasks.fail_stubbornly, None)
    assert process.call(tasks.double, 4) == 8


def test_after_a_death_the_next_task_runs_in_another_process(process: TaskProcess) -> None:
    first = process.call(tasks.process_id, None)

    with pytest.raises(ChildDied, match=r"killed by signal 9 \(SIGKILL\)"):
        process.call(tasks.double_or_die, (1, signal.SIGKILL))

    assert process.call(tasks.process_id, None) != first


def test_a_death_between_two_tasks_fails_the_second_and_no_third(process: TaskProcess) -> None:
    os.kill(process.call(tasks.process_id, None), signal.SIGKILL)

    with pytest.raises(ChildDied):
        process.call(tasks.double, 1)
    assert process.call(tasks.double, 2) == 4


def test_signals_of_the_terminal_are_for_the_caller(process: TaskProcess) -> None:
    child = process.call(tasks.process_id, None)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(child, number)

    assert os.getpgid(child) != os.getpgid(0)
    assert process.call(tasks.process_id, None) == child


def test_a_task_whose_caller_was_interrupted_does_not_answer_the_next(process: TaskProcess, tmp_path: Path) -> None:
    fifos = fifo(tmp_path, "started"), fifo(tmp_path, "never")

    class Interrupted(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    def interrupt_when_started() -> None:
        Path(fifos[0]).read_text()
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    waiting = threading.Thread(target=interrupt_when_started)
    waiting.start()
    try:
        with pytest.raises(Interrupted):
            process.call(tasks.write_and_read, fifos)
    finally:
        waiting.join()
        signal.signal(signal.SIGUSR1, before)

    assert process.call(tasks.double, 21) == 42


def test_no_process_is_left_behind(process: TaskProcess) -> None:
    child = process.call(tasks.process_id, None)

    process.close()

    assert has_ended(child)
