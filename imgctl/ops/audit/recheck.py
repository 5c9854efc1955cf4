"""The second lookup: rows are read again and blobs headed before a finding is reported."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import Connection

from imgctl.errors import BucketMissing, StoreError, StoreUnavailable
from imgctl.model import Image
from imgctl.ops.audit.findings import Finding
from imgctl.ops.audit.merge import Candidate
from imgctl.ops.audit.options import Tally
from imgctl.ops.audit.rules import Rules, judge, judge_without_row, named_keys, unnamed_keys
from imgctl.ops.common.retry import StopSignal, read
from imgctl.run.threads import end_threads, open_threads
from imgctl.store.blobs.base import Blob
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.audit import any_leased
from imgctl.store.catalog.queries.erased import Erasure, erasures
from imgctl.store.catalog.queries.lookups import by_ids, clock

Head: TypeAlias = Callable[[str], Blob | None]
Blobs: TypeAlias = dict[str, Blob | None]

HEADS_AT_ONCE = 16
BATCH = 500
# An image that changes during each of these lookups is in flight.
MOST_LOOKS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """Rows at one moment of the database's clock; `busy` is True if any row of the catalog is leased."""

    rows: dict[UUID, Image]
    erased: dict[UUID, Erasure]
    rules: Rules
    busy: bool

    def of(self, one: Candidate) -> Image | None:
        return self.rows.get(one.id) if one.id is not None else None


class Inspector:
    """Looks up candidates again; its methods are safe to call from many threads."""

    def __init__(self, catalog: Catalog, head: Head, rules: Rules, *, tally: Tally, stop: StopSignal) -> None:
        self._catalog = catalog
        self._head = head
        self._rules = rules
        self._tally = tally
        self._stop = stop
        self._pool = open_threads(HEADS_AT_ONCE, name="head")

    def look(self, candidates: Sequence[Candidate]) -> list[Finding]:
        """Return the findings of these candidates, in their order; only from rows unchanged before and after the HEADs.

        Findings that the grace leaves out are counted in `tally.young`.
        """
        found: dict[int, list[Finding]] = {}
        left = dict(enumerate(candidates))
        for number in range(MOST_LOOKS):
            # Rows are read after the listing: by law 1 a blob's row is older than the blob.
            before = self._read(left.values())
            # What the listing showed is out of date once a row has changed.
            blobs = self._observe(left, before, listed=not number)
            after = self._read(left.values())
            for place, one in left.items():
                if before.of(one) == after.of(one):
                    found[place] = list(_judge(one, blobs[place], after))
                    self._count_young(one, blobs[place], after, reported=len(found[place]))
            left = {place: one for place, one in left.items() if place not in found}
            if not left:
                break
        return [finding for place in sorted(found) for finding in found[place]]

    def close(self) -> None:
        """Stop the threads."""
        end_threads(self._pool)

    def _count_young(self, one: Candidate, blobs: Blobs, view: _View, *, reported: int) -> None:
        without_grace = replace(view, rules=replace(view.rules, grace=timedelta()))
        if more := sum(1 for _ in _judge(one, blobs, without_grace)) - reported:
            self._tally.add_work(young=more)

    def _read(self, candidates: Iterable[Candidate]) -> _View:
        ids = {one.id for one in candidates if one.id is not None}

        def view(connection: Connection) -> _View:
            rules = replace(self._rules, now=clock(connection))
            rows = by_ids(connection, ids) if ids else {}
            gone = ids - rows.keys()
            erased = erasures(connection, gone) if gone else {}
            return _View(rows=rows, erased=erased, rules=rules, busy=any_leased(connection))

        return read(self._catalog, view, stop=self._stop)

    def _observe(self, candidates: dict[int, Candidate], view: _View, *, listed: bool) -> dict[int, Blobs]:
        """Return the blobs of each candidate; a blob is headed unless its listing entry matches the row."""
        keys = {place: _keys(one, view) for place, one in candidates.items()}
        seen = {key: blob for one in candidates.values() for key, blob in one.seen.items()}
        doubtful = sorted(
            {
                key
                for place, one in candidates.items()
                for key in keys[place]
                if not (listed and _is_fine(key, one, view.of(one), view.rules))
            }
        )
        self._tally.add_work(heads=len(doubtful))
        looks = self._pool.map(lambda key: self._look(key, seen.get(key)), doubtful)
        headed = dict(zip(doubtful, looks, strict=True))
        return {place: {key: headed.get(key, seen.get(key)) for key in some} for place, some in keys.items()}

    def _look(self, key: str, listed: Blob | None) -> Blob | None:
        """Send one HEAD; for a foreign key that the store refuses, return the listing's entry."""
        try:
            return self._head(key)
        except (BucketMissing, StoreUnavailable):
            raise
        except StoreError:
            # A foreign key may have other permissions: a refusal or an unexpected response must not end the audit.
            if self._rules.parse(key) is not None:
                raise
            return listed


def _keys(one: Candidate, view: _View) -> list[str]:
    """Return all keys of a candidate: those listed, those its row names, and the default keys of unnamed variants."""
    image = view.of(one)
    if image is None:
        return sorted(one.seen)
    return list(dict.fromkeys([*one.seen, *named_keys(image).values(), *unnamed_keys(image, view.rules)]))


def _is_fine(key: str, one: Candidate, image: Image | None, rules: Rules) -> bool:
    """Whether a row names this blob and its listing entry matches the row, so that it needs no HEAD."""
    seen = one.seen.get(key)
    if image is None or seen is None or seen.size == 0 or rules.classes or key not in named_keys(image).values():
        return False
    return key != image.original_key or image.bytes in (None, seen.size)


def _judge(one: Candidate, blobs: Blobs, view: _View) -> Iterator[Finding]:
    image = view.of(one)
    if image is not None:
        yield from judge(image, blobs, view.rules, busy=view.busy)
        return
    for blob in blobs.values():
        if blob:
            yield from judge_without_row(blob, view.rules, view.erased.get(one.id) if one.id else None)
