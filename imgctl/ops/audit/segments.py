"""How the rows and the key space are cut into pieces that are audited at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from imgctl.keys import first_id
from imgctl.ops.audit.lanes import BEHIND
from imgctl.ops.audit.sift import stem_of
from imgctl.ops.retry import StopSignal, retry
from imgctl.store.catalog.audit import split
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.lookups import Scope

ROWS = 10_000
NOBODY = UUID(int=0)
# Dates begin with a digit: what sorts between these two, behind a prefix, may be a key of ours. All bounds are plain
# ASCII and begin with no slash: some servers list nothing behind a start that is no key.
_FLOOR, _CEILING = f".{BEHIND}", f"9{BEHIND}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Rows with `after` < id <= `until` (None: to the end) and their keys; or keys alone, where no row's can lie."""

    after: UUID = NOBODY
    until: UUID | None = None
    outside: tuple[str, str] | None = None

    def bounds(self, prefix: str) -> tuple[str, str]:
        """Between which keys, the first excluded, the blobs of these rows lie under a prefix."""
        first = None if self.after == NOBODY else stem_of(self.after, prefix)
        last = None if self.until is None else stem_of(self.until, prefix)
        return f"{first}{BEHIND}" if first else prefix + _FLOOR, f"{last}{BEHIND}" if last else prefix + _CEILING


def outside(prefixes: Sequence[str]) -> Iterator[Segment]:
    """The key space that no row's keys can lie in."""
    behind = ""
    for prefix in sorted(set(prefixes)):
        yield Segment(outside=(behind, prefix + _FLOOR))
        behind = prefix + _CEILING
    yield Segment(outside=(behind, ""))


def within(catalog: Catalog, scope: Scope, *, after: UUID | None, stop: StopSignal) -> Iterator[Segment]:
    """The rows of a time range in pieces of 10,000, behind `after` where an earlier run has come so far."""
    start = after or (_before(scope.since) if scope.since else NOBODY)
    end = _before(scope.until) if scope.until else None
    while not stop.is_set():
        begin = start

        def attempt(begin: UUID = begin) -> UUID | None:
            with catalog.read() as connection:
                return split(connection, after=begin, until=end, rows=ROWS)

        middle = retry(attempt, stop=stop)
        yield Segment(after=start, until=middle or end)
        if middle is None:
            return
        start = middle


def _before(moment: datetime) -> UUID:
    """The last id before a time; ids know milliseconds."""
    whole = moment + timedelta(microseconds=-moment.microsecond % 1000)
    return UUID(int=max(0, first_id(whole).int - 1))
