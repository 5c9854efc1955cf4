"""What is asked of a restore, and what it says of each original."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from imgctl.errors import StoreError
from imgctl.model import Image
from imgctl.ops.parts import REQUESTS
from imgctl.ops.spend import Terms
from imgctl.pricing.estimate import Billing
from imgctl.store.blobs.base import Blob, Tier

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
class RestoreOrder:
    """How to restore: `days` the readable copy stays, at most `limit` requests, `rate` of them a second.

    `permanent` moves what is restored back to STANDARD. What goes beyond the `budget` in dollars is left, if anybody
    bills: `who` is None where nobody does. An original that has not its ETag in `etags` has changed, and so has a row in
    `held`: neither is asked for.
    """

    tier: Tier = Tier.BULK
    days: int = 7
    permanent: bool = False
    concurrency: int = REQUESTS
    rate: int = RESTORES_A_SECOND
    limit: int | None = None
    dry_run: bool = False
    who: Terms | None = None
    budget: Decimal | None = None
    etags: Mapping[UUID, str] = field(default_factory=dict)
    held: frozenset[UUID] = frozenset()

    @property
    def lists_restores(self) -> bool:
        """Whether the store's listings report restores: of those that speak S3, only AWS is known to."""
        return self.who is None or self.who.bill is not Billing.OTHER


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
