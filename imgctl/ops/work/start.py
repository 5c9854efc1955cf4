"""Working with this machine's processes or on a cluster: the pool and the driver put together from the settings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from imgctl.config import Settings, StoreSettings
from imgctl.imaging.decode import Limits
from imgctl.ops.notify.webhook import Webhook
from imgctl.ops.parts import Parts
from imgctl.ops.work.child import set_up_child
from imgctl.ops.work.driver import work
from imgctl.ops.work.order import ImageOutcome, WorkOrder
from imgctl.run.pool import Pool, PoolSettings, cores, open_pool
from imgctl.run.scratch import Scratch
from imgctl.run.stop import Stop
from imgctl.store.catalog.claims import HEAD_ROWS, backlog

# While one process waits for the store, another of the same core renders.
PROCESSES_PER_JOB = 2
RECYCLE_AFTER_BATCHES = 500


def work_here(parts: Parts, *, stop: Stop, drain: bool, limit: int | None = None) -> Iterator[ImageOutcome]:
    """Build variants where the settings say; see `driver.work`."""
    with rendering(parts.settings, setup=partial(set_up_child, parts.settings.log)) as (order, pool):
        wanted = replace(order, drain=drain, limit=limit)
        with Webhook(parts.settings.notify, parts.catalog) as hook:
            for outcome in work(wanted, catalog=parts.catalog, pool=pool, stop=stop):
                hook.tell(outcome)
                yield outcome


@contextmanager
def rendering(settings: Settings, *, setup: Callable[[], None]) -> Iterator[tuple[WorkOrder, Pool]]:
    """How and where the settings say that images are rendered; `setup` runs first in each of this machine's processes."""
    pool = open_pool(_pool_settings(settings, setup))
    finished = False
    try:
        with Scratch("work") as scratch:
            yield _order(settings, scratch.path), pool
            finished = True
    finally:
        pool.close(now=not finished)


def expected(parts: Parts, *, limit: int | None) -> int | None:
    """How many images a run will see, as far as that is cheap to know: None for a backlog past the counted ones."""
    with parts.catalog.read() as connection:
        waiting = backlog(connection).processing
    counted = waiting if waiting < HEAD_ROWS else None
    return min((one for one in (counted, limit) if one is not None), default=None)


def _pool_settings(settings: Settings, setup: Callable[[], None]) -> PoolSettings:
    return PoolSettings(
        jobs=(settings.work.jobs or cores()) * PROCESSES_PER_JOB,
        memory_bytes=settings.work.memory,
        scheduler=settings.work.scheduler or None,
        recycle_after=RECYCLE_AFTER_BATCHES,
        setup=setup,
    )


def _order(settings: Settings, directory: Path) -> WorkOrder:
    return WorkOrder(
        store=_anywhere(settings.store),
        recipe=settings.variants.recipe(),
        lease_seconds=settings.work.lease,
        max_attempts=settings.work.max_attempts,
        limits=Limits(max_pixels=settings.work.max_pixels, memory_bytes=settings.work.memory),
        timeout_seconds=settings.work.timeout,
        poll_seconds=settings.work.poll,
        # A cluster's workers do not see this machine's files.
        stop_file=None if settings.work.scheduler else directory / "stop",
        spool=None if settings.work.scheduler else directory,
    )


def _anywhere(store: StoreSettings) -> StoreSettings:
    """The same store for processes with another working directory."""
    scheme, _, rest = store.url.partition("://")
    return replace(store, url=f"file://{Path(rest).expanduser().absolute()}") if scheme == "file" else store
