"""What is asked of a restore, and what it says of each original."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from imgctl.errors import StoreError
from imgctl.model import Image
from imgctl.ops.rows import Chosen
from imgctl.pricing.prices import Card
from imgctl.store.blobs.base import Blob, Tier

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
    UNKNOWN = "unknown"


class Fate(StrEnum):
    """What became of an original in this run; `left` is what the limit, the budget or a stop came before."""

    PLANNED = "planned"
    REQUESTED = "requested"
    EXTENDED = "extended"
    MOVED = "moved"
    RESTORING = "restoring"
    RESTORED = "restored"
    READABLE = "readable"
    LEFT = "left"
    MISSING = "missing"
    CHANGED = "changed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which originals: those named, or a scope of the catalog."""

    ids: tuple[UUID, ...] = ()
    chosen: Chosen = field(default_factory=Chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOrder:
    """How to restore: `days` the readable copy stays, at most `limit` requests, `rate` of them a second.

    `lists_restores`: the store's listings report restores, as those of AWS do. `permanent` moves what is restored back
    to STANDARD. With a `card`, what goes beyond the `budget` in dollars is left; without one all is free.
    An original that has not its ETag in `etags` has changed, and so has a row in `held`: neither is asked for.
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
    card: Card | None = None
    etags: Mapping[UUID, str] = field(default_factory=dict)
    held: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A row, and its original as the store describes it (None: not there); `fresh` when looked at by itself just now.

    `error` is why it could not be looked at: its state is unknown then.
    """

    image: Image
    blob: Blob | None
    state: State
    fresh: bool = False
    error: StoreError | None = None


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
