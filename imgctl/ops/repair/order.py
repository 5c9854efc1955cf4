"""What a repair is asked to do, what it decides, and how each finding ended."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from imgctl.model import Image
from imgctl.ops.audit.findings import Finding
from imgctl.store.cold.base import StoredBlob

DAY_SECONDS = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairOrder:
    """How far a repair goes: `apply` acts at all, `failed` tries failed images again, `delete_orphans` fills the trash.

    Orphans younger than `orphan_age_seconds` stay. More than `max_delete` of them, or more than `max_delete_percent`
    of the keys in scope, are refused as a whole, and so are more than `max_lost` originals that are gone: that is
    rather a wrong catalog or a wrong bucket. Only keys under the prefixes in force are ours to delete.
    """

    apply: bool = False
    failed: bool = False
    delete_orphans: bool = False
    orphan_age_seconds: float = 7 * DAY_SECONDS
    max_delete: int = 1000
    max_delete_percent: float = 1.0
    max_lost: int = 100
    concurrency: int = 16
    originals_prefix: str = ""
    variants_prefix: str = ""


class Do(StrEnum):
    """What mends a finding; `leave` is said of what only people can mend, `nothing` of what is well by now."""

    REQUEUE = "requeue"
    REBIND = "rebind"
    UNNAME = "unname"
    CONFIRM = "confirm"
    DROP = "drop"
    FAIL = "fail"
    RECLASS = "reclass"
    TRASH = "trash"
    LEAVE = "leave"
    NOTHING = "nothing"


ACTS = frozenset(Do) - {Do.LEAVE, Do.NOTHING}


class Fate(StrEnum):
    """How a finding ended; `drifted` changed while it was mended and was left alone."""

    MENDED = "mended"
    PLANNED = "planned"
    LEFT = "left"
    WELL = "well"
    DRIFTED = "drifted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was seen at the moment of acting: the row, its original, and the blob in question (None: not there)."""

    now: datetime
    row: Image | None = None
    original: StoredBlob | None = None
    blob: StoredBlob | None = None

    @property
    def held(self) -> bool:
        """Whether somebody works on the row right now."""
        until = self.row.leased_until if self.row else None
        return until is not None and until > self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is to be done about a finding, and why; `key` is the blob it is done to."""

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
