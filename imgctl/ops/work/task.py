"""What a child process does: fetch originals, render them, put the variants, and say how each ended.

Fetches run ahead and puts run behind in threads, while the main thread renders: pictures are decoded one at a time,
under a time limit that the kernel enforces.
"""

import time
from concurrent.futures import Future, ThreadPoolExecutor  # noqa: TID251  these live as long as the process
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from uuid import UUID

from imgctl.config import StoreSettings
from imgctl.errors import (
    BlobArchived,
    BlobMissing,
    FormatUnsupported,
    ImageRejected,
    ImgctlError,
    KeyShapeError,
    NotAnImage,
    StoreError,
)
from imgctl.imaging.decode import Limits
from imgctl.imaging.render import Rendered, RenderedVariant, configure, render
from imgctl.keys import key_of
from imgctl.model import Recipe, Variant
from imgctl.ops.work.original import SPOOL_FROM_BYTES, Original, fetch
from imgctl.run.limits import time_limit
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.open import open_store

IO_THREADS = 8
# What another attempt would end like.
HOPELESS = (NotAnImage, FormatUnsupported, ImageRejected, BlobMissing, BlobArchived, KeyShapeError)


class Ending(StrEnum):
    """How a picture's attempt ended, as far as the child can tell."""

    RENDERED = "rendered"
    HOPELESS = "hopeless"
    STORE_FAILED = "store_failed"
    CRASHED = "crashed"
    NOT_BEGUN = "not_begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One claimed image: `attempts` fences its result, all but the `forgiven` ones were the image's own.

    Only `variants` are rendered and put, where some are named.
    """

    id: UUID
    attempts: int
    forgiven: int
    original_key: str
    size: int
    variants: tuple[Variant, ...] = ()

    @property
    def tries(self) -> int:
        """How often it was tried, this time included, and was not forgiven."""
        return self.attempts - self.forgiven


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some images and all that is needed to render them; nothing but plain data.

    Originals of `spool_from` bytes and more wait in files in `spool`, or where this machine keeps such files.
    """

    jobs: tuple[Job, ...]
    store: StoreSettings
    recipe: Recipe
    limits: Limits
    timeout_seconds: float
    stop_file: Path | None = None
    spool: Path | None = None
    spool_from: int = SPOOL_FROM_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one image ended; `keys` are those of the variants that are safe, `error` a sentence for people.

    `cause` is the kind of the error by its name: what a run counts failures by.
    """

    job: Job
    ending: Ending
    keys: dict[Variant, str] = field(default_factory=dict)
    width: int | None = None
    height: int | None = None
    error: str | None = None
    cause: str | None = None
    seconds: float = 0.0


def render_batch(batch: Batch) -> list[Outcome]:
    """Render every image of a batch; never raises for one of them."""
    store, threads = _tools(batch.store)
    read = partial(fetch, store, directory=batch.spool, spool_from=batch.spool_from)
    fetched = [(job, threads.submit(read, job.original_key, size=job.size)) for job in batch.jobs]
    # A list: every put is under way before the first is waited for.
    pending = [_begin(batch, job, store, threads, future) for job, future in fetched]
    return [one.outcome() for one in pending]


def check_store(settings: StoreSettings) -> None:
    """Put, read and delete a probe from where images are rendered; raises the StoreError that stands in the way."""
    _tools(settings)[0].check()


def _begin(
    batch: Batch, job: Job, store: BlobStore, threads: ThreadPoolExecutor, original: Future[Original]
) -> "_Pending":
    one = _Pending(job)
    if batch.stop_file and batch.stop_file.exists():
        original.cancel()
        one.ended = Ending.NOT_BEGUN
    else:
        one.render(batch, store, threads, original)
    return one


class _Pending:
    """One image between its render and the end of its puts."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.ended: Ending | None = None
        self.error: Exception | None = None
        self.rendered: Rendered | None = None
        self.puts: list[tuple[RenderedVariant, str, Future[None]]] = []
        self.started = time.monotonic()

    def render(self, batch: Batch, store: BlobStore, threads: ThreadPoolExecutor, original: Future[Original]) -> None:
        try:
            with (
                closing(original.result()) as read,
                time_limit(batch.timeout_seconds) if batch.timeout_seconds else nullcontext(),
            ):
                self.rendered = render(read.data, _recipe(batch, self.job), limits=batch.limits)
        except MemoryError:
            # Which of the batch took it is not known: each is tried alone.
            raise
        except Exception as error:
            self.error = error
            return
        for variant in self.rendered.variants:
            key = key_of(self.job.id, variant.variant, variant.extension, prefix=batch.store.variants_prefix)
            put = threads.submit(store.replace, key, variant.data, content_type=variant.content_type)
            self.puts.append((variant, key, put))

    def outcome(self) -> Outcome:
        keys: dict[Variant, str] = {}
        for variant, key, put in self.puts:
            try:
                put.result()
                keys[variant.variant] = key
            except MemoryError:
                raise
            except Exception as error:
                self.error = error
        seconds = time.monotonic() - self.started
        if self.ended is None and self.error is None and self.rendered is not None:
            done = self.rendered
            return Outcome(
                job=self.job,
                ending=Ending.RENDERED,
                keys=keys,
                width=done.width,
                height=done.height,
                error=done.damage,
                seconds=seconds,
            )
        ending = self.ended or _ending(self.error)
        return Outcome(
            job=self.job, ending=ending, error=_sentence(self.error), cause=_cause(self.error), seconds=seconds
        )


def _recipe(batch: Batch, job: Job) -> Recipe:
    if not job.variants:
        return batch.recipe
    return replace(batch.recipe, variants=tuple(one for one in batch.recipe.variants if one.variant in job.variants))


@cache
def _tools(settings: StoreSettings) -> tuple[BlobStore, ThreadPoolExecutor]:
    # Made once in each process: connections are kept, threads are reused. A cluster's workers were set up by nobody.
    configure()
    return open_store(settings), ThreadPoolExecutor(IO_THREADS, thread_name_prefix="io")


def _ending(error: Exception | None) -> Ending:
    if isinstance(error, HOPELESS):
        return Ending.HOPELESS
    return Ending.STORE_FAILED if isinstance(error, StoreError) else Ending.CRASHED


def _sentence(error: Exception | None) -> str | None:
    if error is None:
        return None
    return error.line if isinstance(error, ImgctlError) else f"{type(error).__name__}: {error}"


def _cause(error: Exception | None) -> str | None:
    return None if error is None else type(error).__name__
