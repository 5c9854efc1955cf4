"""The options of a restore, and the state and outcome of each original."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from imgctl.errors import StoreError
from imgctl.model import Image
from imgctl.ops.common.open import REQUESTS
from imgctl.ops.common.spend import Terms
from imgctl.pricing.estimate import Billing
from imgctl.store.blobs.base import Blob, Tier

# The account's limit is about 1,000 a second (S3 User Guide), shared with other clients.
RESTORES_A_SECOND = 500


class State(StrEnum):
    """The state of an original."""

    READABLE = "readable"
    ARCHIVED = "archived"
    RESTORING = "restoring"
    RESTORED = "restored"
    EXPIRED = "expired"
    MISSING = "missing"
    UNKNOWN = "unknown"


class Fate(StrEnum):
    """The result for an original in this run; `left` ones were beyond the limit or the budget, or after a stop."""

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
    """How to restore: the readable copy stays for `days`; at most `limit` requests, `rate` of them a second.

    `permanent` moves restored originals back to STANDARD, with `waits` also those that are restoring now. Originals
    beyond the `budget` in dollars are left; `terms` is None if the store bills nothing. An original whose ETag differs
    from `etags` has changed, and so has a row in `held`: neither is requested.
    """

    tier: Tier = Tier.BULK
    days: int = 7
    permanent: bool = False
    waits: bool = False
    concurrency: int = REQUESTS
    rate: int = RESTORES_A_SECOND
    limit: int | None = None
    dry_run: bool = False
    terms: Terms | None = None
    budget: Decimal | None = None
    etags: Mapping[UUID, str] = field(default_factory=dict)
    held: frozenset[UUID] = frozenset()

    @property
    def lists_restores(self) -> bool:
        """Whether the store's listings report restores: of the S3-compatible stores only AWS is known to."""
        return self.terms is None or self.terms.bill is not Billing.OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A row, and its original in the store (None: missing); `fresh` if that was just looked up by a request of its own.

    `error` is why the lookup failed: its state is then unknown.
    """

    image: Image
    blob: Blob | None
    state: State
    fresh: bool = False
    error: StoreError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One original's fate; `detail` is a sentence for users."""

    seen: Seen
    fate: Fate
    detail: str = ""

    @property
    def size(self) -> int:
        """Bytes of the original."""
        return self.seen.blob.size if self.seen.blob else 0
