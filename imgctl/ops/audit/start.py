"""The audit itself: segments of the archive merged with their listings, and every suspect looked at again."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import chain, islice
from uuid import UUID

from imgctl.imaging.recipe import digest
from imgctl.keys import ORIGINAL, PROBES, TRASH
from imgctl.ops.audit.checkpoint import Checkpoint
from imgctl.ops.audit.deep import deep
from imgctl.ops.audit.findings import Finding
from imgctl.ops.audit.flow import in_order
from imgctl.ops.audit.inspect import BATCH, Inspector
from imgctl.ops.audit.lanes import Lane
from imgctl.ops.audit.order import AuditOrder, Tally
from imgctl.ops.audit.rules import Rules
from imgctl.ops.audit.segments import Segment, outside, within
from imgctl.ops.audit.sift import Suspect, sift, strays
from imgctl.ops.audit.sources import Source, open_report, open_source
from imgctl.ops.parts import Parts
from imgctl.ops.retry import StopSignal, retry
from imgctl.ops.rows import BadId, pages
from imgctl.store.catalog.audit import APART, TOGETHER, Line, Reading, lines
from imgctl.store.catalog.lookups import clock

AT_ONCE = 6
# Where repair puts what it takes away, and what `doctor` writes: neither is anybody's photo.
OURS = (TRASH, PROBES)


def audit(
    parts: Parts, order: AuditOrder, *, tally: Tally, stop: StopSignal, bad: list[BadId] | None = None
) -> Iterator[Finding]:
    """Every finding, proved by a second look, in the order of ids; raises what keeps the store from being listed.

    `tally` grows along. Once `stop` is set it ends early: what was not looked at is not said to be well.
    """
    run = _Audit(parts, order, tally=tally, stop=stop)
    with closing(run):
        found = run.few([] if bad is None else bad) if order.of_few else run.whole()
        more = deep(parts, order, tally=tally, stop=stop) if order.deep else ()
        seen = _looked(parts, order, tally=tally, stop=stop) if order.look else ()
        for finding in chain(found, more, seen):
            tally.add(finding)
            yield finding


def _looked(parts: Parts, order: AuditOrder, *, tally: Tally, stop: StopSignal) -> Iterator[Finding]:
    # Not before it is asked for: no other audit decodes anything.
    from imgctl.ops.audit.look import look, sampled

    yield from look(parts, tally=tally, stop=stop, sample=sampled(parts, order, stop=stop))


class _Audit:
    def __init__(self, parts: Parts, order: AuditOrder, *, tally: Tally, stop: StopSignal) -> None:
        store, recipe = parts.settings.store, parts.settings.variants.recipe()
        self._catalog = parts.catalog
        self._order = order
        self._tally = tally
        self._stop = stop
        self._source: Source = _source(parts, order, tally)
        with parts.catalog.read() as connection:
            now = clock(connection)
        self._rules = Rules(
            now=now,
            grace=order.grace,
            stuck_after=order.stuck_after,
            recipe=digest(recipe) if order.stale else None,
            classes=order.classes,
            cutoff=self._source.taken_at,
            originals_prefix=store.originals_prefix,
            variants_prefix=store.variants_prefix,
            extensions={spec.variant.value: spec.format.extension for spec in recipe.variants},
        )
        self._apart = store.originals_prefix != store.variants_prefix
        self._prefixes = [store.originals_prefix, store.variants_prefix] if self._apart else [store.originals_prefix]
        self._reading = Reading(
            roles=APART if self._apart else TOGETHER,
            stuck_before=now - order.stuck_after,
            listed_at=self._source.taken_at,
            recipe=self._rules.recipe,
        )
        self._inspector = Inspector(parts.catalog, self._source.head, self._rules, tally=tally, stop=stop)

    def close(self) -> None:
        self._inspector.close()
        self._source.close()

    def few(self, bad: list[BadId]) -> Iterator[Finding]:
        """The rows of one user or of a list, each of their blobs headed: no listing."""
        for page in pages(self._catalog, self._order.chosen, stop=self._stop, bad=bad):
            self._tally.add_work(rows=len(page))
            suspects = iter([Suspect(id=image.id) for image in page])
            while some := list(islice(suspects, BATCH)):
                yield from self._inspector.look(some)

    def whole(self) -> Iterator[Finding]:
        """Rows and listing merged, segments of them at once."""
        checkpoint = Checkpoint(self._order, self._tally)
        asked = self._order.chosen.scope
        rows = within(self._catalog, asked, after=checkpoint.after, stop=self._stop)
        everything = asked.since is None and asked.until is None and checkpoint.after is None
        segments = chain(outside(self._prefixes) if everything else (), rows)
        with closing(in_order(segments, self._segment, at_once=AT_ONCE)) as results:
            for segment, found in results:
                if found is not None:
                    yield from found
                elif segment.outside is None and not self._stop.is_set():
                    checkpoint.passed(segment.until)
        if not self._stop.is_set():
            checkpoint.done()

    def _segment(self, segment: Segment) -> Iterator[list[Finding]]:
        suspects = self._suspects(segment)
        while not self._stop.is_set() and (some := list(islice(suspects, BATCH))):
            yield self._inspector.look(some)

    def _suspects(self, segment: Segment) -> Iterator[Suspect]:
        lanes = self._lanes(segment)
        try:
            if segment.outside is not None:
                yield from strays(lanes[0], prefixes=OURS)
            else:
                yield from sift(self._lines(segment), lanes)
        finally:
            self._tally.add_work(blobs=sum(lane.keys_seen for lane in lanes))

    def _lanes(self, segment: Segment) -> list[Lane]:
        if segment.outside is not None:
            return [Lane(self._source.pages(*segment.outside), prefix="", first=0, last=0, original=None)]
        listed = [self._source.pages(*segment.bounds(prefix)) for prefix in self._prefixes]
        roles = self._reading.roles
        if not self._apart:
            place = list(roles).index(ORIGINAL)
            return [Lane(listed[0], prefix=self._prefixes[0], first=0, last=4, original=place)]
        return [
            Lane(listed[0], prefix=self._prefixes[0], first=3, last=4, original=0),
            Lane(listed[1], prefix=self._prefixes[1], first=0, last=3, original=None),
        ]

    def _lines(self, segment: Segment) -> Iterator[Sequence[Line]]:
        after = segment.after
        while not self._stop.is_set():
            start = after

            def attempt(start: UUID = start) -> Sequence[Line]:
                with self._catalog.read() as connection:
                    return lines(connection, self._reading, after=start, until=segment.until)

            found = retry(attempt, stop=self._stop)
            if not found:
                return
            self._tally.add_work(rows=len(found))
            yield found
            after = UUID(str(found[-1][7]))


def _source(parts: Parts, order: AuditOrder, tally: Tally) -> Source:
    if order.inventory is None or order.of_few:
        return open_source(parts, classes=order.classes, tally=tally)
    return open_report(parts, order.inventory, classes=order.classes, tally=tally)
