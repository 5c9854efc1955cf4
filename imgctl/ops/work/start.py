"""Working on this machine: the pool and the driver put together from the settings."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from imgctl.config import LogSettings
from imgctl.ops.parts import Parts
from imgctl.ops.patience import Waiting
from imgctl.ops.work.driver import ImageOutcome, WorkOrder, work
from imgctl.run.pool import PoolSettings, cores, open_pool

# While one process waits for the store, another of the same core renders.
PROCESSES_PER_JOB = 2
RECYCLE_AFTER_BATCHES = 500


def work_here(parts: Parts, *, stop: Waiting, drain: bool, limit: int | None = None) -> Iterator[ImageOutcome]:
    """Build variants with this machine's processes; see `driver.work`."""
    settings = parts.settings
    processes = (settings.work.jobs or cores()) * PROCESSES_PER_JOB
    pool_settings = PoolSettings(
        jobs=processes,
        memory_bytes=settings.work.memory,
        recycle_after=RECYCLE_AFTER_BATCHES,
        setup=partial(set_up_child, settings.log),
    )
    pool = open_pool(pool_settings)
    finished = False
    try:
        with TemporaryDirectory(prefix="imgctl-work-") as directory:
            order = WorkOrder(
                store=settings.store,
                recipe=settings.variants.recipe(),
                jobs=processes,
                lease_seconds=settings.work.lease,
                max_attempts=settings.work.max_attempts,
                max_pixels=settings.work.max_pixels,
                timeout_seconds=settings.work.timeout,
                drain=drain,
                limit=limit,
                stop_file=Path(directory) / "stop",
            )
            yield from work(order, catalog=parts.catalog, pool=pool, stop=stop)
            finished = True
    finally:
        pool.close(now=not finished)


def set_up_child(settings: LogSettings) -> None:
    """What a rendering process does before its first task."""
    from imgctl.imaging.render import configure as configure_rendering
    from imgctl.run.logs import configure as configure_log

    configure_rendering()
    configure_log(settings, verbosity=0)
