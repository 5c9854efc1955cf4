"""The options of a worker, the batches for its processes, and the outcomes they return: plain data, cheap to import."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from imgctl.config.catalog_store import StoreSettings
from imgctl.config.settings import Settings
from imgctl.errors import StoreError
from imgctl.imaging.decoders.decode import Limits
from imgctl.model import Recipe, Variant
from imgctl.run.telemetry.trace import Stage, is_on


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrder:
    """How to work: `drain` ends when nothing is left; `limit` ends after that many images.

    With `looks` the fingerprint of each image is kept. The log lines of a `traced` run contain the image's trace id.
    Once `stop_file` exists, processes of this machine begin no further image; large originals are spooled in `spool`. An
    idle worker polls for work after `poll_seconds` at the latest. A store outage is tolerated for `outage_seconds`.
    """

    store: StoreSettings
    recipe: Recipe
    lease_seconds: float
    max_attempts: int
    limits: Limits
    timeout_seconds: float
    poll_seconds: float = 2.0
    outage_seconds: float = 300.0
    drain: bool = False
    limit: int | None = None
    stop_file: Path | None = None
    spool: Path | None = None
    traced: bool = False
    looks: bool = False


class Fate(StrEnum):
    """The result of a claimed image in this run."""

    READY = "ready"
    FAILED = "failed"
    RETRY = "retry"
    RETURNED = "returned"
    ARCHIVED = "archived"
    DEFERRED = "deferred"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOutcome:
    """One image's fate; `error` is a sentence for users: why it failed, or how it is damaged."""

    id: UUID
    fate: Fate
    error: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One claimed image: `attempts` fences its result; the `forgiven` ones don't count against the image.

    With `variants`, only those are rendered and put; empty means all.
    """

    id: UUID
    attempts: int
    forgiven: int
    original_key: str
    size: int
    variants: tuple[Variant, ...] = ()

    @property
    def tries(self) -> int:
        """Attempts that count, this one included."""
        return self.attempts - self.forgiven


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Images to render, and how."""

    jobs: tuple[Job, ...]
    order: WorkOrder


class Ending(StrEnum):
    """How an image's attempt ended, as the process reports it; `DEFERRED`: this machine lacks room or a decoder."""

    RENDERED = "rendered"
    FATAL = "fatal"
    STORE_FAILED = "store_failed"
    CRASHED = "crashed"
    DEFERRED = "deferred"
    NOT_BEGUN = "not_begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one image ended; `keys` are those of the variants safely stored, `error` is a sentence for users.

    `stages` are the timed steps in that process. `cause` is the error's class name, by which a run counts failures;
    `refused` is set if a variant could not be put for lack of permission or space: other images may meet the same.
    """

    job: Job
    ending: Ending
    keys: dict[Variant, str] = field(default_factory=dict)
    width: int | None = None
    height: int | None = None
    looks: int | None = None
    error: str | None = None
    cause: str | None = None
    refused: StoreError | None = None
    seconds: float = 0.0
    stages: tuple[Stage, ...] = ()


def order_of(settings: Settings, directory: Path) -> WorkOrder:
    """Return the work order that the settings define, with temporary files in `directory`."""
    work, store = settings.work, settings.store
    scheme, _, rest = store.url.partition("://")
    if scheme == "file":
        # The same store for processes with another working directory.
        store = replace(store, url=f"file://{Path(rest).expanduser().absolute()}")
    return WorkOrder(
        store=store,
        recipe=settings.variants.recipe(),
        lease_seconds=work.lease,
        max_attempts=work.max_attempts,
        limits=Limits(max_pixels=work.max_pixels, memory_bytes=work.memory),
        timeout_seconds=work.timeout,
        poll_seconds=work.poll,
        # A cluster's workers do not see this machine's files.
        stop_file=None if work.scheduler else directory / "stop",
        spool=None if work.scheduler else directory,
        traced=is_on(),
        looks=settings.find.near,
    )
