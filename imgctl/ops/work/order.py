"""What a worker is asked to do, and what it says of each image."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from imgctl.config import StoreSettings
from imgctl.imaging.decode import Limits
from imgctl.model import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrder:
    """How to work: `drain` ends when nothing is left; `limit` ends after so many images.

    `stop_file` tells processes of this machine to begin no further image; `spool` is where their large originals wait. An idle worker looks for work again after
    `poll_seconds` at the latest. A store that is away is waited for `patience_seconds`.
    """

    store: StoreSettings
    recipe: Recipe
    lease_seconds: float
    max_attempts: int
    limits: Limits
    timeout_seconds: float
    poll_seconds: float = 2.0
    patience_seconds: float = 300.0
    drain: bool = False
    limit: int | None = None
    stop_file: Path | None = None
    spool: Path | None = None


class Fate(StrEnum):
    """What became of a claimed image in this run."""

    READY = "ready"
    FAILED = "failed"
    RETRY = "retry"
    RETURNED = "returned"
    ARCHIVED = "archived"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOutcome:
    """One image's fate; `error` is a sentence for people: why it failed, or how it is damaged."""

    id: UUID
    fate: Fate
    error: str | None = None
    seconds: float = 0.0
