"""The options of an audit, and its counts."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Lock

from imgctl.ops.audit.findings import Code, Finding
from imgctl.ops.common.rows import Chosen
from imgctl.ops.common.tally import Totals

EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOrder:
    """The options of one audit. `budget` is in bytes, None for no bound; `look` is how many images are rendered again."""

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
        """Whether it covers only listed ids or one user: then blobs are headed one by one and the bucket is not listed."""
        return self.chosen.is_few

    @property
    def is_whole(self) -> bool:
        """Whether it covers every row."""
        return not self.of_few and self.chosen.scope.since is None and self.chosen.scope.until is None


@dataclass(slots=True, kw_only=True)
class CodeCount:
    """Counts of one code: findings, total bytes, and the first few examples."""

    count: int = 0
    bytes: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counters of reads and findings of an audit so far; `add_work` is safe to call from many threads.

    `young` counts what only the grace left out, `read` the originals that were read, by class. `watch` is called with
    the number of rows each time some are read.
    """

    rows: int = 0
    blobs: int = 0
    lists: int = 0
    heads: int = 0
    gets: int = 0
    hashed: int = 0
    young: int = 0
    checked: int = 0
    unreadable: int = 0
    looked: int = 0
    look_archived: int = 0
    look_failed: int = 0
    read: Totals[str] = field(default_factory=Totals)
    codes: dict[Code, CodeCount] = field(default_factory=dict)
    watch: Callable[[int], None] = field(default=lambda _rows: None, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def add_work(self, **amounts: int) -> None:
        """Add the arguments to the counters of the same names."""
        with self._lock:
            for name, amount in amounts.items():
                setattr(self, name, getattr(self, name) + amount)
        if rows := amounts.get("rows"):
            self.watch(rows)

    def add_read(self, storage_class: str, size: int) -> None:
        """Count an original that was read; safe to call from many threads."""
        with self._lock:
            self.read.add(storage_class, size)

    def add(self, finding: Finding) -> None:
        """Count one more finding."""
        one = self.codes.setdefault(finding.code, CodeCount())
        one.count += 1
        one.bytes += finding.bytes or 0
        if len(one.examples) < EXAMPLES:
            one.examples.append(finding.key or str(finding.id))

    @property
    def findings(self) -> int:
        """How many findings there are."""
        return sum(one.count for one in self.codes.values())

    def counts(self) -> Counter[str]:
        """How often each code was found."""
        return Counter({code.value: one.count for code, one in self.codes.items()})
