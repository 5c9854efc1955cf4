"""The first signal stops gracefully, the second at once; deadlines expire."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from imgctl.run.stop import Flag, Stop
from tests.run.programs import SECONDS, start


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def hangups() -> Iterator[None]:
    """Restore the handler of SIGHUP afterwards."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_process_at_once(number: int) -> None:
    with start("stubborn") as process:
        assert _line(process) == "ready"
        os.kill(process.pid, number)
        assert _line(process) == "asked"
        os.kill(process.pid, number)

        assert process.wait(SECONDS) == -number


def test_a_closing_terminal_stops_gracefully_however_many_hangups_it_sends() -> None:
    with start("stubborn") as process:
        assert _line(process) == "ready"
        os.kill(process.pid, signal.SIGHUP)
        assert _line(process) == "asked"
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
            os.kill(process.pid, number)
            assert _line(process) == f"signal {number}"
        os.kill(process.pid, signal.SIGTERM)

        assert process.wait(SECONDS) == -signal.SIGTERM


def test_under_nohup_a_closing_terminal_stops_nothing(hangups: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Stop() as stop:
        signal.raise_signal(signal.SIGHUP)

        assert not stop.requested.is_set()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_late_hangup_does_not_end_a_run_that_writes_its_records(hangups: None) -> None:
    with Stop():
        signal.raise_signal(signal.SIGHUP)

    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_previous_handlers_are_restored() -> None:
    with start("restore") as process:
        assert _line(process) == "True True"


def test_the_first_signal_is_remembered() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Stop() as stop:
        signal.raise_signal(signal.SIGINT)

        assert (stop.requested.is_set(), stop.interrupted, stop.is_set()) == (True, True, True)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_only_ctrl_c_is_reported_as_an_interruption(hangups: None, number: int) -> None:
    with Stop() as stop:
        signal.raise_signal(number)

        assert (stop.requested.is_set(), stop.interrupted) == (True, False)


def test_off_the_main_thread_no_handler_is_installed() -> None:
    seen: list[bool] = []
    before = signal.getsignal(signal.SIGTERM)

    def use() -> None:
        with Stop() as stop:
            seen.append(signal.getsignal(signal.SIGTERM) is before)
            stop.request()
            seen.append(stop.wait(0))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()

    assert seen == [True, True]


def test_a_deadline_expires() -> None:
    stop = Stop(max_seconds=0.01)

    assert stop.wait()
    assert (stop.expired, stop.requested.is_set(), stop.remaining) == (True, False, 0.0)


def test_a_stop_without_a_deadline_does_not_expire() -> None:
    stop = Stop()

    assert not stop.wait(0)
    assert (stop.expired, stop.remaining) == (False, None)


def test_a_flag_wakes_every_waiter() -> None:
    flag = Flag()
    woken: list[bool] = []
    threads = [threading.Thread(target=lambda: woken.append(flag.wait(SECONDS))) for _ in range(4)]
    for thread in threads:
        thread.start()

    flag.set()
    for thread in threads:
        thread.join()

    assert woken == [True] * 4


def test_a_signal_wakes_a_thread_that_waits_on_a_queue() -> None:
    items: SimpleQueue[str] = SimpleQueue()
    with Stop() as stop:
        stop.requested.wake(lambda: items.put("stopped"))
        timer = threading.Timer(0.01, os.kill, [os.getpid(), signal.SIGTERM])
        timer.start()

        assert items.get(timeout=SECONDS) == "stopped"

    timer.join()


def test_a_flag_that_is_set_already_wakes_at_once() -> None:
    flag = Flag()
    woken: list[bool] = []
    flag.set()

    flag.wake(lambda: woken.append(True))

    assert woken == [True]
