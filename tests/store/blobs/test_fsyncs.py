"""Fsyncs of directories that threads share."""

import errno
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event, Semaphore

import pytest

from imgctl.store.blobs import fsyncs
from imgctl.store.blobs.fsyncs import SharedSyncs

SECONDS = 30.0
THREADS = 6


class Disk:
    """Counts fsyncs. The first one lasts until all other threads wait; later ones can fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, broken: bool) -> None:
        self.begun, self.ended = 0, 0
        self.first = Event()
        self._broken = broken
        self._waiting = Semaphore(0)
        monkeypatch.setattr(fsyncs, "sync_directory", self.sync)
        monkeypatch.setattr(fsyncs, "wait", self.wait)
        monkeypatch.setattr(fsyncs, "Future", self.future)

    def sync(self, _: Path) -> None:
        self.begun += 1
        number = self.begun
        if number == 1:
            self.first.set()
            for _waiting in range(THREADS - 1):
                assert self._waiting.acquire(timeout=SECONDS)
        elif self._broken:
            raise OSError(errno.EIO, "Input/output error")
        self.ended = number

    def wait(self, before: tuple[Future[None]]) -> None:
        self._waiting.release()
        before[0].exception(SECONDS)

    def future(self) -> Future[None]:
        disk = self

        class Counted(Future[None]):
            def result(self, timeout: float | None = None) -> None:
                disk._waiting.release()
                return super().result(timeout)

        return Counted()


@pytest.mark.parametrize("broken", [False, True])
def test_callers_that_arrive_during_an_fsync_share_the_next_one_and_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, broken: bool
) -> None:
    disk, shared = Disk(monkeypatch, broken=broken), SharedSyncs()
    with ThreadPoolExecutor(THREADS) as pool:
        first = pool.submit(shared.sync, tmp_path)
        assert disk.first.wait(SECONDS)
        others = [pool.submit(shared.sync, tmp_path) for _ in range(THREADS - 1)]

        assert first.exception(SECONDS) is None
        assert [type(one.exception(SECONDS)) for one in others] == [OSError if broken else type(None)] * len(others)

    # The first fsync does not cover callers that arrived after it began.
    assert disk.begun == 2


def test_each_caller_waits_for_an_fsync_that_began_after_its_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = [0], [0]

    def sync(_: Path) -> None:
        begun[0] += 1
        number = begun[0]
        Event().wait(0.0001)
        ended[0] = number

    monkeypatch.setattr(fsyncs, "sync_directory", sync)
    shared = SharedSyncs()

    def covered(_: int) -> bool:
        came = begun[0]
        shared.sync(tmp_path)
        return ended[0] > came

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(covered, range(300)))
