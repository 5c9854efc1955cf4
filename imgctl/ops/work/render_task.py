"""The work of a rendering process: fetch originals, render them, put the variants, and return each outcome.

Fetches run ahead and puts run behind in threads, while the main thread renders: images are decoded one at a time,
under a time limit that the kernel enforces. Imports no catalog, which would double the start of each process.
"""

import errno
import os
import socket
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait  # noqa: TID251  these live as long as the process
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TypeVar

from imgctl.config.catalog_store import StoreSettings
from imgctl.config.service import LogSettings
from imgctl.errors import (
    NO_FILES_LEFT_HINT,
    BlobArchived,
    BlobMissing,
    DecoderMissing,
    FormatUnsupported,
    ImageRejected,
    ImgctlError,
    KeyShapeError,
    LocalError,
    NoRoom,
    NotAnImage,
    StoreDenied,
    StoreError,
    StoreFull,
    WorkerError,
    os_reason,
    out_of_files,
)
from imgctl.imaging.formats import format_by_name, is_film
from imgctl.imaging.render import configure, render, time_allowed
from imgctl.imaging.source import Data, Source
from imgctl.keys import key_of
from imgctl.model import Recipe, Variant
from imgctl.ops.common.range_reads import chunks, in_store
from imgctl.ops.work.options import Batch, Ending, Job, Outcome, WorkOrder
from imgctl.run.limits import time_limit
from imgctl.run.telemetry.trace import Stage, within
from imgctl.store.blobs.base import Blob, BlobStore
from imgctl.store.blobs.open import open_store
from imgctl.units import format_bytes

T = TypeVar("T")

IO_THREADS = 8
# Larger originals are spooled into a file that is mapped.
SPOOL_FROM_BYTES = 64 * 2**20
# From a larger film only the ranges needed to find its poster are fetched, 1 MiB per request: 2 to 11 requests and
# 1 to 10 MiB for films of 10 to 125 MiB in five containers (measured).
FILM_WHOLE_BYTES = 4 * 2**20
FILM_STEP_BYTES = 2**20
# Another attempt would end the same.
FATAL = (NotAnImage, FormatUnsupported, ImageRejected, BlobMissing, BlobArchived, KeyShapeError)


def set_up_child(settings: LogSettings, *, niceness: int = 0) -> None:
    """Prepare a rendering process before its first task; a `niceness` above 0 lowers its priority."""
    from imgctl.run.limits import reuse_large_buffers
    from imgctl.run.logs import configure as configure_log

    os.nice(niceness)
    reuse_large_buffers()
    configure()
    configure_log(settings, verbosity=-1)


def render_batch(batch: Batch) -> list[Outcome]:
    """Render every image of a batch; never raises for one of them. WorkerError if this process can do no more."""
    order = batch.order
    store, threads = _tools(order.store)
    fetched = [
        threads.submit(timed("fetch", partial(fetch, store, job.original_key, size=job.size, directory=order.spool)))
        for job in batch.jobs
    ]
    # A list: all puts are submitted before the first wait.
    ends = [_within(order, job, original) for job, original in zip(batch.jobs, fetched, strict=True)]
    return [end() for end in ends]


def timed(name: str, do: Callable[[], T]) -> Callable[[], tuple[T, Stage]]:
    """Return the same function, which also returns its stage with the times."""

    def run() -> tuple[T, Stage]:
        began = time.time_ns()
        return do(), Stage(name, began, time.time_ns())

    return run


def _within(order: WorkOrder, job: Job, original: "Future[tuple[Original, Stage]]") -> Callable[[], Outcome]:
    with within(job.id.hex) if order.traced else nullcontext():
        return _render(order, job, original)


def check_store(settings: StoreSettings) -> None:
    """Put, read and delete a probe from where images are rendered; raises the StoreError that occurs."""
    _tools(settings)[0].check()


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """An original to render, in memory, mapped, or (a large film) in the store; closed after rendering."""

    data: Data | Source

    def close(self) -> None:
        """Close the file, which has no name and is deleted when closed."""
        if isinstance(self.data, mmap):
            # A decoder may still hold a reference; the mapping then lives until it is collected.
            with suppress(BufferError):
                self.data.close()


def fetch(
    store: BlobStore, key: str, *, size: int, directory: Path | None, spool_from: int = SPOOL_FROM_BYTES
) -> Original:
    """Read a blob; from `spool_from` bytes on (`size` 0: unknown) by ranges of one version into a file in `directory`.

    A film (by its name) stays in the store; its ranges are read as frames require. A process that dies leaves no file
    behind. Raises the matching StoreError; NoRoom when the file cannot be written.
    """
    film = is_film(key)
    if 0 < size < (FILM_WHOLE_BYTES if film else spool_from):
        return Original(data=store.get(key))
    blob = store.head(key)
    if blob is None:
        raise BlobMissing(f"there is no blob {key}", hint="imgctl audit says what else is missing")
    if film and blob.etag and blob.size >= FILM_WHOLE_BYTES:
        return Original(data=in_store(store, key, size=blob.size, etag=blob.etag, step=FILM_STEP_BYTES))
    if blob.size < spool_from or not blob.etag:
        return Original(data=store.get(key))
    try:
        return Original(data=_spooled(store, blob, directory))
    except OSError as error:
        if out_of_files(error):
            raise _no_files(error) from error
        where = tempfile.gettempdir()
        raise NoRoom(
            f"no room for an original of {format_bytes(blob.size)} in {where} on {socket.gethostname()}"
            f" ({os_reason(error)})",
            hint="free space there, raise its quota or `ulimit -f`, or set TMPDIR to a larger directory",
        ) from None


def _spooled(store: BlobStore, blob: Blob, directory: Path | None) -> mmap:
    # A cleaner of old temporary files may have removed the directory.
    place = directory if directory and directory.exists() else None
    with tempfile.TemporaryFile(prefix="imgctl-work-", dir=place) as file:
        _reserve(file.fileno(), blob.size)
        file.writelines(chunks(store, blob))
        file.flush()
        return mmap(file.fileno(), blob.size, access=ACCESS_READ)


def _reserve(descriptor: int, size: int) -> None:
    """Reserve the space, so that no byte is fetched that has no room; OSError if there is too little."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except AttributeError:
        # Not on macOS.
        return
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise


def _render(order: WorkOrder, job: Job, original: "Future[tuple[Original, Stage]]") -> Callable[[], Outcome]:
    """Render one image and submit its puts; the returned function waits for them and returns the outcome."""
    store, threads = _tools(order.store)
    started, stages = time.monotonic(), list[Stage]()
    if order.stop_file and order.stop_file.exists():
        original.cancel()
        return partial(Outcome, job=job, ending=Ending.NOT_BEGUN)
    try:
        fetched, stage = original.result()
        stages.append(stage)
        with closing(fetched) as read:
            seconds = time_allowed(read.data, order.timeout_seconds, order.limits)
            with time_limit(seconds) if seconds else nullcontext():
                named = format_by_name(job.original_key)
                began = time.time_ns()
                rendered = render(
                    read.data, _recipe(order.recipe, job), limits=order.limits, named=named, looks=order.looks
                )
        decoded = began + int(rendered.decode_seconds * 1e9)
        stages += Stage("decode", began, decoded), Stage("encode", decoded, time.time_ns())
    except MemoryError:
        # It is unknown which image of the batch took the memory: each is tried alone.
        raise
    except Exception as error:
        outcome = _failed(job, error, started, stages)
        return lambda: outcome
    puts: dict[Variant, tuple[str, Future[tuple[None, Stage]]]] = {}
    for one in rendered.variants:
        key = key_of(job.id, one.variant, one.extension, prefix=order.store.variants_prefix)
        put = partial(store.replace, key, one.data, content_type=one.content_type)
        puts[one.variant] = key, threads.submit(timed(f"put {one.variant}", put))

    def end() -> Outcome:
        try:
            # All puts must end before the image's outcome is returned.
            wait(put for _, put in puts.values())
            stages.extend(put.result()[1] for _, put in puts.values())
        except MemoryError:
            raise
        except Exception as error:
            failed = _failed(job, error, started, stages)
            return replace(failed, refused=error) if isinstance(error, (StoreDenied, StoreFull)) else failed
        return Outcome(
            job=job,
            ending=Ending.RENDERED,
            keys={variant: key for variant, (key, _) in puts.items()},
            width=rendered.width,
            height=rendered.height,
            looks=rendered.looks,
            error=rendered.damage,
            seconds=time.monotonic() - started,
            stages=tuple(stages),
        )

    return end


def _failed(job: Job, error: Exception, started: float, stages: list[Stage]) -> Outcome:
    """Return the outcome of an image that ended with an error; WorkerError if no other image could end better here."""
    if isinstance(error, WorkerError):
        raise error
    if out_of_files(error):
        raise _no_files(error) from error
    return Outcome(
        job=job,
        ending=_ending(job, error),
        error=error.line if isinstance(error, ImgctlError) else f"{type(error).__name__}: {error}",
        cause=type(error).__name__,
        seconds=time.monotonic() - started,
        stages=tuple(stages),
    )


def _no_files(error: Exception) -> WorkerError:
    message = f"no file descriptors are left on {socket.gethostname()} ({error})"
    return WorkerError(message, hint=f"{NO_FILES_LEFT_HINT}; or lower [work] jobs")


def _ending(job: Job, error: Exception) -> Ending:
    if isinstance(error, DecoderMissing):
        # Images of a format are deferred by their keys.
        named = format_by_name(job.original_key)
        return Ending.DEFERRED if named and named.value == error.format_name else Ending.FATAL
    if isinstance(error, LocalError):
        return Ending.DEFERRED
    if isinstance(error, FATAL):
        return Ending.FATAL
    return Ending.STORE_FAILED if isinstance(error, StoreError) else Ending.CRASHED


def _recipe(recipe: Recipe, job: Job) -> Recipe:
    if not job.variants:
        return recipe
    return replace(recipe, variants=tuple(one for one in recipe.variants if one.variant in job.variants))


@cache
def _tools(settings: StoreSettings) -> tuple[BlobStore, ThreadPoolExecutor]:
    # Once per process, so that connections and threads are reused. A cluster's workers have no other setup step.
    configure()
    return open_store(settings), ThreadPoolExecutor(IO_THREADS, thread_name_prefix="io")
