"""What is asked of a restore, and what it says of each original."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from imgctl.model import Image
from imgctl.ops.rows import Chosen
from imgctl.store.cold.base import StoredBlob, Tier

CONCURRENCY = 16
# The account's limit is about 1,000 a second (S3 User Guide); others restore too.
RESTORES_A_SECOND = 500


class State(StrEnum):
    """How readable an original is."""

    READABLE = "readable"
    ARCHIVED = "archived"
    RESTORING = "restoring"
    RESTORED = "restored"
    EXPIRED = "expired"
    MISSING = "missing"


class Fate(StrEnum):
    """What became of an original in this run: `planned`, `requested`, `extended` and `moved` cost money, the rest don't."""

    PLANNED = "planned"
    REQUESTED = "requested"
    EXTENDED = "extended"
    MOVED = "moved"
    RESTORING = "restoring"
    RESTORED = "restored"
    READABLE = "readable"
    LEFT = "left"
    MISSING = "missing"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which originals: those named, or a scope of the catalog."""

    ids: tuple[UUID, ...] = ()
    chosen: Chosen = field(default_factory=Chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOrder:
    """How to restore: `days` the readable copy stays, at most `limit` requests, `rate` of them a second.

    `lists_restores`: the store's listings tell of restores, as those of AWS do. `permanent` moves what is readable back to
    STANDARD. With a `budget` in dollars, `cost_of` says what one original costs, and what goes beyond is left.
    """

    tier: Tier = Tier.BULK
    days: int = 7
    permanent: bool = False
    concurrency: int = CONCURRENCY
    rate: int = RESTORES_A_SECOND
    limit: int | None = None
    dry_run: bool = False
    lists_restores: bool = True
    budget: Decimal | None = None
    cost_of: Callable[[StoredBlob], Decimal] = field(default=lambda _: Decimal(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A row, and its original as the store describes it (None: not there); `fresh` when looked at by itself, just now."""

    image: Image
    blob: StoredBlob | None
    state: State
    fresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One original's fate; `detail` is a sentence for people."""

    seen: Seen
    fate: Fate
    detail: str = ""

    @property
    def size(self) -> int:
        """Bytes of the original."""
        return self.seen.blob.size if self.seen.blob else 0
