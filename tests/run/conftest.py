"""Fixtures that open pools."""

from collections.abc import Callable, Iterator

import pytest

from imgctl.run.pools.open import open_pool
from imgctl.run.pools.pool import Pool, PoolSettings
from tests.run.dask_cluster import dask_scheduler

__all__ = ["dask_scheduler"]


@pytest.fixture
def local() -> Iterator[Callable[..., Pool]]:
    """Open pools of local processes, by default with two jobs, and close them afterwards."""
    opened: list[Pool] = []

    def open_local(settings: PoolSettings | None = None) -> Pool:
        opened.append(open_pool(settings or PoolSettings(jobs=2)))
        return opened[-1]

    yield open_local
    for pool in opened:
        pool.close(now=True)


@pytest.fixture(params=["inline", "local", "dask"])
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """Each kind of pool."""
    yield from _opened(request)


@pytest.fixture(params=["local", "dask"])
def sturdy_pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """The pools that survive the death of a task's process."""
    yield from _opened(request)


def _opened(request: pytest.FixtureRequest) -> Iterator[Pool]:
    scheduler = {"inline": "inline", "local": None}.get(request.param, "")
    if scheduler == "":
        scheduler = request.getfixturevalue("dask_scheduler")
    pool = open_pool(PoolSettings(jobs=2, scheduler=scheduler))
    yield pool
    pool.close(now=True)
