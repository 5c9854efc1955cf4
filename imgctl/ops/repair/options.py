"""The options of a repair, its decisions and outcomes."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from imgctl.keys import Key, own_key
from imgctl.model import Image
from imgctl.ops.audit.findings import Finding
from imgctl.store.blobs.base import Blob
from imgctl.store.catalog.queries.erased import Erasure
from imgctl.units import DAY_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairOrder:
    """The options of one repair: `apply` makes changes, `failed` retries failed images, `delete_orphans` moves orphans to
    the trash, `erased` permanently deletes blobs of erased images that came back.

    Orphans younger than `orphan_age_seconds` stay. More than `max_delete` of them, or more than `max_delete_percent`
    of the keys in scope, are refused as a whole, and so are more than `max_lost` missing originals: a wrong catalog or
    a wrong bucket is likelier. Only keys under the prefixes in force may be deleted. `rate` is in requests a second (None:
    no bound).
    """

    apply: bool = False
    failed: bool = False
    delete_orphans: bool = False
    erased: bool = False
    orphan_age_seconds: float = 7 * DAY_SECONDS
    max_delete: int = 1000
    max_delete_percent: float = 1.0
    max_lost: int = 100
    concurrency: int = 16
    rate: int | None = None
    originals_prefix: str = ""
    variants_prefix: str = ""

    def own_key(self, key: str | None) -> Key | None:
        """Parse a key of imgctl's own shape; None for any other."""
        return own_key(key or "", originals=self.originals_prefix, variants=self.variants_prefix)


class Do(StrEnum):
    """The repair of a finding; `leave`: only an operator can repair it; `nothing`: it no longer applies."""

    REQUEUE = "requeue"
    REBIND = "rebind"
    UNNAME = "unname"
    CONFIRM = "confirm"
    DROP = "drop"
    FAIL = "fail"
    RECLASS = "reclass"
    TRASH = "trash"
    ERASE = "erase"
    LEAVE = "leave"
    NOTHING = "nothing"


ACTS = frozenset(Do) - {Do.LEAVE, Do.NOTHING}


class Fate(StrEnum):
    """How a finding ended; `drifted` ones changed during the repair and were left unchanged."""

    MENDED = "mended"
    PLANNED = "planned"
    LEFT = "left"
    WELL = "well"
    DRIFTED = "drifted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The row, its original and the finding's blob just before the repair (None: missing).

    `hold` is why nothing of the image must be deleted; `erasure` is set if the row is gone because the image is being
    erased, or was.
    """

    now: datetime
    row: Image | None = None
    original: Blob | None = None
    blob: Blob | None = None
    hold: str = ""
    erasure: Erasure | None = None

    @property
    def erased(self) -> bool:
        """Whether the erasure of the image is complete."""
        return self.erasure is not None and self.erasure.erased_at is not None

    @property
    def held(self) -> bool:
        """Whether a worker holds the row right now."""
        return self.row is not None and self.row.is_held(self.now)

    @property
    def safe(self) -> bool:
        """Whether the original exists and is not empty."""
        return self.original is not None and self.original.size > 0

    @property
    def readable(self) -> bool:
        """Whether the original can be read now, without a restore."""
        return self.original is not None and self.original.readable


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The repair of a finding, and why; `key` is the blob it applies to."""

    finding: Finding
    do: Do
    detail: str
    evidence: Evidence
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one finding ended."""

    decision: Decision
    fate: Fate
    detail: str
