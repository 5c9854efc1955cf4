"""The options of a transition, and the outcome of each original."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from imgctl.model import Image, StorageClass
from imgctl.ops.common.open import REQUESTS
from imgctl.ops.common.rows import Chosen
from imgctl.pricing.prices import Card

STAY_DAYS = 365


class Reason(StrEnum):
    """Why an original stays where it is; the values appear in `--json`."""

    UPLOADING = "uploading"
    PROCESSING = "processing"
    FAILED = "failed"
    LEASED = "leased"
    ALREADY_THERE = "already_there"
    VARIANT_MISSING = "variant_missing"
    VARIANT_EMPTY = "variant_empty"
    ORIGINAL_MISSING = "original_missing"
    SIZE_DIFFERS = "size_differs"
    COLDER = "colder"
    NEEDS_RESTORE = "needs_restore"
    UNPRICED = "unpriced"
    BELOW_MIN_SIZE = "below_min_size"
    BELOW_BREAK_EVEN = "below_break_even"
    ABOVE_BATCH_SIZE = "above_batch_size"
    CHANGED = "changed"
    STOPPED = "stopped"


class Fate(StrEnum):
    """The result for an original: moved; row corrected, as it has the class already; left out; or failed, maybe after it."""

    MOVED = "moved"
    PLANNED = "planned"
    RECORDED = "recorded"
    LEFT_OUT = "left_out"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Which originals may move, and to which class: by price, or by `min_size`; ages are counted up to `at`."""

    to: StorageClass
    card: Card
    at: datetime
    stay_days: int = STAY_DAYS
    min_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionOrder:
    """Which originals to move, and how: at most `limit`, `concurrency` in flight, `rate` requests a second (None: no bound)."""

    policy: Policy
    chosen: Chosen = field(default_factory=Chosen)
    limit: int | None = None
    concurrency: int = REQUESTS
    rate: int | None = None
    lease_seconds: float = 60.0
    delete_noncurrent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One original's fate, and why; `storage_class` is its class as last observed."""

    image: Image
    fate: Fate
    reason: Reason | None = None
    detail: str = ""
    storage_class: str | None = None


def older(chosen: Chosen, seconds: float | None, at: datetime) -> Chosen:
    """Restrict to rows promised more than `seconds` before `at`; without an age, to those promised before `at`.

    Fixed once, so that survey and moves see the same rows: later uploads are left to the next run.
    """
    cutoff = at if seconds is None else at - timedelta(seconds=seconds)
    return replace(chosen, scope=replace(chosen.scope, promised_before=cutoff))
