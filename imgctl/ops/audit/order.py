"""What an audit is asked to do, and how much it has done."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Lock

from imgctl.ops.audit.findings import Code, Finding
from imgctl.ops.rows import Chosen

EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOrder:
    """One audit: of what, how patient, how deep. `budget` is in bytes, None for no bound; `look` is how many images are rendered again; files are None unless asked for."""

    chosen: Chosen = field(default_factory=Chosen)
    grace: timedelta = timedelta(hours=1)
    stuck_after: timedelta = timedelta(minutes=15)
    classes: bool = False
    stale: bool = False
    deep: bool = False
    budget: int | None = None
    look: int = 0
    inventory: str | None = None
    checkpoint: Path | None = None

    @property
    def of_few(self) -> bool:
        """Whether it is about named rows or one user's, for which the bucket is not listed."""
        return self.chosen.ids_from is not None or self.chosen.scope.user_id is not None


@dataclass(slots=True, kw_only=True)
class CodeCount:
    """How often one code was found, of how many bytes together, and the first few."""

    count: int = 0
    bytes: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Tally:
    """What an audit has looked at and found so far; `add_work` is safe to call from many threads.

    `watch` hears of rows as they go by.
    """

    rows: int = 0
    blobs: int = 0
    lists: int = 0
    heads: int = 0
    gets: int = 0
    hashed: int = 0
    checked: int = 0
    unreadable: int = 0
    looked: int = 0
    look_archived: int = 0
    look_failed: int = 0
    codes: dict[Code, CodeCount] = field(default_factory=dict)
    watch: Callable[[int], None] = field(default=lambda _rows: None, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def add_work(self, **amounts: int) -> None:
        """So much more was done, by the names of the fields."""
        with self._lock:
            for name, amount in amounts.items():
                setattr(self, name, getattr(self, name) + amount)
        if rows := amounts.get("rows"):
            self.watch(rows)

    def add(self, finding: Finding) -> None:
        """One more finding."""
        one = self.codes.setdefault(finding.code, CodeCount())
        one.count += 1
        one.bytes += finding.bytes or 0
        if len(one.examples) < EXAMPLES:
            one.examples.append(finding.key or str(finding.id))

    @property
    def findings(self) -> int:
        """How many there are."""
        return sum(one.count for one in self.codes.values())

    def counts(self) -> Counter[str]:
        """How often each code was found."""
        return Counter({code.value: one.count for code, one in self.codes.items()})
