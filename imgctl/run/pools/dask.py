"""A pool on a Dask cluster that already exists; the extra `imgctl[dask]`."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future, wait
from typing import Protocol, TypedDict, TypeVar, cast

from imgctl.errors import ConfigError, WorkerError
from imgctl.run.pools.child import TOO_LARGE
from imgctl.run.pools.pool import ChildDied, PoolGone
from imgctl.run.threads import ERROR_WAIT_SECONDS

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

LOST = "lost its Dask worker: out of memory, out of time or crashed; the worker's log says which"
STOPPED = "was stopped with its pool, or its Dask scheduler is gone"

# Packages whose versions must match here, on the scheduler and on every worker.
_SAME = ("imgctl", "dask", "distributed", "cloudpickle")
_SECONDS_TO_CONNECT = 10


class _Machine(TypedDict):
    packages: Mapping[str, str | None]


class Versions(TypedDict):
    """The used part of what `distributed.Client.get_versions` returns."""

    client: _Machine
    scheduler: _Machine
    workers: Mapping[str, _Machine]


class _Remote(Protocol[R_co]):
    """The part of `distributed.Future` that this module uses."""

    def add_done_callback(self, told: Callable[["_Remote[R_co]"], None], /) -> None: ...
    def result(self) -> R_co: ...
    def cancel(self) -> None: ...


class _Client(Protocol):
    """The part of `distributed.Client` that this module uses, which is hardly typed."""

    status: str

    def submit(self, task: Callable[[T], R], argument: T, /, *, pure: bool, retries: int) -> _Remote[R]: ...
    def nthreads(self) -> Mapping[str, int]: ...
    def get_versions(self, *, packages: list[str]) -> Versions: ...
    def close(self) -> None: ...


class DaskPool:
    """A pool on the workers of one Dask scheduler; image bytes pass neither through it nor through this process.

    Run workers under their nanny (the default) with `--nthreads 1`: the end of a process ends every task it holds.
    The scheduler's settings decide which other tasks a death affects: with `distributed.scheduler.allowed-failures`
    (3 by default) a picture that killed one worker is retried on as many more, and with 0 a `worker-saturation` above
    1.0 (1.1 by default) also fails the task that only waited on the dead worker. Best are 0 and 1.0; the defaults work.
    """

    def __init__(self, address: str) -> None:
        self._client = _connect(address)
        self._lock = threading.Lock()
        # The scheduler forgets a task whose remote future is no longer referenced.
        self._in_flight: dict[Future[object], _Remote[object]] = {}
        self._closed = False

    def slots(self) -> int:
        """Return the threads of all workers that are registered now; 0 when the scheduler is unreachable."""
        try:
            return sum(self._client.nthreads().values())
        except OSError:
            return 0

    def submit(self, task: Callable[[T], R], argument: T) -> Future[R]:
        """Send a task to the cluster; WorkerError when the pool is closed or the scheduler is gone."""
        if self._closed or self._client.status != "running":
            raise WorkerError("the pool is closed" if self._closed else "the Dask scheduler is gone")
        future: Future[R] = Future()
        remote = self._client.submit(task, argument, pure=False, retries=0)
        with self._lock:
            self._in_flight[cast("Future[object]", future)] = remote
        future.add_done_callback(lambda done: remote.cancel() if done.cancelled() else None)
        remote.add_done_callback(lambda done: self._settle(future, done))
        return future

    def close(self, *, now: bool = False) -> None:
        """Wait for the submitted tasks, or (`now`) cancel them; the cluster itself keeps running."""
        self._closed = True
        with self._lock:
            in_flight = dict(self._in_flight)
        if now:
            for remote in in_flight.values():
                remote.cancel()
        wait(in_flight, ERROR_WAIT_SECONDS if now else None)
        self._client.close()

    def _settle(self, future: Future[R], remote: _Remote[R]) -> None:
        """Pass on a task's end; runs in Dask's one thread of callbacks."""
        error: BaseException | None = None
        result: R | None = None
        try:
            result = remote.result()
        except CancelledError:
            error = PoolGone(STOPPED)
        except Exception as failed:
            error = _translate(failed)
        if future.set_running_or_notify_cancel():
            if error is None:
                future.set_result(cast("R", result))
            else:
                future.set_exception(error)
        with self._lock:
            self._in_flight.pop(cast("Future[object]", future), None)


def _translate(error: Exception) -> Exception:
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return ChildDied(LOST)
    return ChildDied(TOO_LARGE) if isinstance(error, MemoryError) else error


def _connect(address: str) -> _Client:
    try:
        from distributed import Client
    except ImportError:
        raise ConfigError("a Dask scheduler needs the extra `dask`", hint="pip install 'imgctl[dask]'") from None
    connect = cast("Callable[..., _Client]", Client)
    try:
        client = connect(address, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
    except ValueError as error:
        raise ConfigError(
            f"invalid address of a Dask scheduler: {address!r}: {error}", hint="tcp://HOST:8786"
        ) from None
    except OSError as error:
        raise WorkerError(f"no Dask scheduler answers at {address}: {error}", hint="dask scheduler") from None
    try:
        refuse_mismatch(client.get_versions(packages=list(_SAME)))
    except BaseException:
        client.close()
        raise
    return client


def refuse_mismatch(versions: Versions) -> None:
    """Raise ConfigError if the scheduler or a worker runs another Python (X.Y), imgctl or Dask than this process."""
    here = versions["client"]["packages"]
    others = {"the scheduler": versions["scheduler"], **{f"worker {at}": it for at, it in versions["workers"].items()}}
    wrong = [
        f"{node} has {name} {_version(there['packages'], name)}, not {_version(here, name)}"
        for node, there in others.items()
        for name in ("python", *_SAME)
        if _version(there["packages"], name) != _version(here, name)
    ]
    if wrong:
        more = f", and {len(wrong) - 1} more differences" if wrong[1:] else ""
        raise ConfigError(f"{wrong[0]}{more}", hint="install the same versions on every machine of the cluster")


def _version(packages: Mapping[str, str | None], name: str) -> str:
    version = packages.get(name) or "missing"
    # Pickles are compatible between patch releases of Python.
    return ".".join(version.split(".")[:2]) if name == "python" else version
