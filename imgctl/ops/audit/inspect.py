"""The second look: rows read again and blobs headed, before anything is said of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias
from uuid import UUID

from imgctl.errors import BucketMissing, StoreError, StoreUnavailable
from imgctl.model import Image
from imgctl.ops.audit.findings import Finding
from imgctl.ops.audit.lanes import Seen
from imgctl.ops.audit.order import Tally
from imgctl.ops.audit.rules import Rules, judge, judge_stray, named_keys, unnamed_keys
from imgctl.ops.audit.sift import Suspect
from imgctl.ops.retry import StopSignal, retry
from imgctl.run.threads import end_threads, open_threads
from imgctl.store.catalog.audit import any_leased
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.lookups import by_ids, clock

Head: TypeAlias = Callable[[str], Seen | None]
Blobs: TypeAlias = dict[str, Seen | None]

HEADS_AT_ONCE = 16
BATCH = 500
# An image that changes under each of so many looks is in flight.
MOST_LOOKS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """Rows as they are at one moment of the database's clock; `busy` says that some row of the catalog is leased."""

    rows: dict[UUID, Image]
    rules: Rules
    busy: bool

    def of(self, one: Suspect) -> Image | None:
        return self.rows.get(one.id) if one.id is not None else None


class Inspector:
    """Looks at suspects again; its methods are safe to call from many threads."""

    def __init__(self, catalog: Catalog, head: Head, rules: Rules, *, tally: Tally, stop: StopSignal) -> None:
        self._catalog = catalog
        self._head = head
        self._rules = rules
        self._tally = tally
        self._stop = stop
        self._pool = open_threads(HEADS_AT_ONCE, name="head")

    def look(self, suspects: Sequence[Suspect]) -> list[Finding]:
        """What is wrong with these, in their order: only what a row said both before and after its blobs were headed."""
        found: dict[int, list[Finding]] = {}
        left = dict(enumerate(suspects))
        for _ in range(MOST_LOOKS):
            # The rows after the listing: law 1 promises that a blob's row is older than the blob.
            before = self._read(left.values())
            blobs = self._blobs(left, before)
            after = self._read(left.values())
            for number, one in left.items():
                if before.of(one) == after.of(one):
                    found[number] = list(_judge(one, blobs[number], after))
            left = {number: _unseen(one) for number, one in left.items() if number not in found}
            if not left:
                break
        return [finding for number in sorted(found) for finding in found[number]]

    def close(self) -> None:
        """End the threads."""
        end_threads(self._pool)

    def _read(self, suspects: Iterable[Suspect]) -> _View:
        ids = {one.id for one in suspects if one.id is not None}

        def attempt() -> _View:
            with self._catalog.read() as connection:
                rules = replace(self._rules, now=clock(connection))
                rows = by_ids(connection, ids) if ids else {}
                return _View(rows=rows, rules=rules, busy=any_leased(connection))

        return retry(attempt, stop=self._stop)

    def _blobs(self, suspects: dict[int, Suspect], view: _View) -> dict[int, Blobs]:
        doubts = {number: _doubts(one, view) for number, one in suspects.items()}
        keys = sorted({key for some in doubts.values() for key in some})
        self._tally.add_work(heads=len(keys))
        listed = {key: seen for one in suspects.values() for key, seen in one.seen.items()}
        looks = self._pool.map(lambda key: self._look(key, listed.get(key)), keys)
        headed = dict(zip(keys, looks, strict=True))
        return {
            number: {**suspects[number].seen, **{key: headed[key] for key in some}} for number, some in doubts.items()
        }

    def _look(self, key: str, listed: Seen | None) -> Seen | None:
        """One HEAD; of a key that is not ours and that the store lists and will not show, what the listing told."""
        try:
            return self._head(key)
        except (BucketMissing, StoreUnavailable):
            raise
        except StoreError:
            # Another's key, another's rights: a refusal, or an answer that fits no request of ours, ends no audit.
            if listed is None or self._rules.parse(key) is not None:
                raise
            return listed


def _doubts(one: Suspect, view: _View) -> list[str]:
    """The keys that must be headed: those not seen, and those that look wrong."""
    image = view.of(one)
    if image is None:
        return list(one.seen)
    named = set(named_keys(image).values())
    wanted = named | set(one.seen) | set(unnamed_keys(image, view.rules))
    return [key for key in wanted if not (key in named and _is_fine(key, one, image, view.rules))]


def _is_fine(key: str, one: Suspect, image: Image, rules: Rules) -> bool:
    seen = one.seen.get(key)
    if seen is None or seen.size == 0 or rules.classes:
        return False
    return key != image.original_key or image.bytes in (None, seen.size)


def _judge(one: Suspect, blobs: Blobs, view: _View) -> Iterator[Finding]:
    image = view.of(one)
    if image is not None:
        yield from judge(image, blobs, view.rules, busy=view.busy)
        return
    for key in sorted(one.seen):
        if blob := blobs[key]:
            yield from judge_stray(key, blob, view.rules)


def _unseen(one: Suspect) -> Suspect:
    """The same, with everything to be headed: what was seen is out of date, and empty blobs always are."""
    return replace(one, seen={key: seen._replace(size=0) for key, seen in one.seen.items()})
