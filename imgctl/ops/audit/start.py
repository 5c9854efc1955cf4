"""The audit: segments of rows merged with a listing of the store or an inventory; every candidate is looked up again."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import chain, islice
from pathlib import Path
from uuid import UUID

from imgctl.errors import BucketMissing, UsageError
from imgctl.imaging.recipe_digest import digest
from imgctl.keys import BATCH_JOBS, FIRST, PROBES, TRASH
from imgctl.ops.audit.checkpoint import Checkpoint
from imgctl.ops.audit.deep import deep
from imgctl.ops.audit.findings import Finding
from imgctl.ops.audit.merge import ID, Candidate, Cursor, merge_join
from imgctl.ops.audit.options import AuditOrder, Tally
from imgctl.ops.audit.recheck import BATCH, Inspector
from imgctl.ops.audit.rules import Rules
from imgctl.ops.audit.segments import Segment, in_order, outside, within
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal, read
from imgctl.ops.common.rows import BadId, pages
from imgctl.ops.common.signed_reports import places_of
from imgctl.run.scratch import Scratch
from imgctl.store.aws.inventory import open_inventory
from imgctl.store.blobs.base import Blob
from imgctl.store.blobs.listing_pages import Page, Pages
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.audit import APART, TOGETHER, Line, Reading, lines, split
from imgctl.store.catalog.queries.lookups import clock

AT_ONCE = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Functions to list the store and to look up one blob; `taken_at` is the time of the listing, None if it is live."""

    pages: Pages
    head: Callable[[str], Blob | None]
    taken_at: datetime | None = None
    close: Callable[[], None] = lambda: None


def audit(
    parts: Parts, order: AuditOrder, *, tally: Tally, stop: StopSignal, bad: list[BadId] | None = None
) -> Iterator[Finding]:
    """Yield every finding, confirmed by a second lookup, in the order of ids; raises errors of listing the store.

    Updates `tally` while it runs. Once `stop` is set it ends early, and the rest of the archive is unchecked.
    """
    run = _Audit(parts, order, tally=tally, stop=stop)
    with closing(run):
        found = run.of_few([] if bad is None else bad) if order.of_few else run.of_all()
        more = deep(parts, order, tally=tally, stop=stop) if order.deep else ()
        seen = _looked(parts, order, tally=tally, stop=stop) if order.look else ()
        for finding in chain(found, more, seen):
            tally.add(finding)
            yield finding


def _looked(parts: Parts, order: AuditOrder, *, tally: Tally, stop: StopSignal) -> Iterator[Finding]:
    # Imported only for --look: no other audit decodes images.
    from imgctl.ops.audit.sample import look, sampled

    yield from look(parts, tally=tally, stop=stop, sample=sampled(parts, order, stop=stop))


class _Audit:
    def __init__(self, parts: Parts, order: AuditOrder, *, tally: Tally, stop: StopSignal) -> None:
        store, recipe = parts.settings.store, parts.settings.variants.recipe()
        self._catalog = parts.catalog
        self._places = places_of(parts)
        self._order = order
        self._tally = tally
        self._stop = stop
        self._source: Source = _source(parts, order, tally)
        # The trash of `repair`, the probes of `doctor`, the lists of `transition --via batch`, and the inbox for new photos.
        self._apart = tuple(filter(None, (TRASH, PROBES, BATCH_JOBS, parts.settings.listen.inbox)))
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
        # Each listed prefix, and the range of a Line's keys under it.
        self._listed = [(store.originals_prefix, 0, 4)]
        if store.originals_prefix != store.variants_prefix:
            self._listed = [(store.originals_prefix, 3, 4), (store.variants_prefix, 0, 3)]
        self._reading = Reading(
            roles=APART if len(self._listed) > 1 else TOGETHER,
            stuck_before=now - order.stuck_after,
            listed_at=self._source.taken_at,
            recipe=self._rules.recipe,
        )
        # What was read for each segment that runs: others run ahead of the one whose end the checkpoint records.
        self._read: dict[Segment, dict[str, int]] = {}
        self._inspector = Inspector(parts.catalog, self._source.head, self._rules, tally=tally, stop=stop)

    def close(self) -> None:
        self._inspector.close()
        self._source.close()

    def of_few(self, bad: list[BadId]) -> Iterator[Finding]:
        """Audit the rows of one user or of a list; each blob is headed, nothing is listed."""
        for page in pages(self._catalog, self._order.chosen, stop=self._stop, bad=bad):
            self._tally.add_work(rows=len(page))
            for at in range(0, len(page), BATCH):
                yield from self._inspector.look([Candidate(id=image.id) for image in page[at : at + BATCH]])

    def of_all(self) -> Iterator[Finding]:
        """Audit all rows and the listing, several segments at once."""
        with Checkpoint(self._order, self._places) as checkpoint:
            self._tally.add_work(rows=checkpoint.rows, blobs=checkpoint.blobs)
            yield from checkpoint.found()
            yield from self._on_from(checkpoint)
            if not self._stop.is_set():
                checkpoint.done()

    def _on_from(self, checkpoint: Checkpoint) -> Iterator[Finding]:
        rows = within(self._catalog, self._order.chosen.scope, after=checkpoint.after, stop=self._stop)
        everything = self._order.is_whole and checkpoint.after is None
        segments = chain(outside([prefix for prefix, _, _ in self._listed]) if everything else (), rows)
        with closing(in_order(segments, self._segment, at_once=AT_ONCE)) as results:
            for segment, found in results:
                if found is not None:
                    checkpoint.add(found)
                    yield from found
                elif not self._stop.is_set():
                    checkpoint.passed(segment.until, **self._read.pop(segment))

    def _segment(self, segment: Segment) -> Iterator[list[Finding]]:
        self._read[segment] = {"rows": 0, "blobs": 0}
        found = self._outside(segment, segment.outside) if segment.outside else self._merged(segment)
        candidates = (one for one in found if not self._is_apart(one))
        while not self._stop.is_set() and (some := list(islice(candidates, BATCH))):
            yield self._inspector.look(some)

    def _is_apart(self, one: Candidate) -> bool:
        # An inbox may have a name that sorts among the days of the keys.
        return one.id is None and all(key.startswith(self._apart) for key in one.seen)

    def _outside(self, segment: Segment, bounds: tuple[str, str]) -> Iterator[Candidate]:
        with self._counted(segment, [Cursor(self._source.pages(*bounds))]) as (cursor,):
            for blob in cursor.before(""):
                yield Candidate(id=None, seen={blob.key: blob})

    def _merged(self, segment: Segment) -> Iterator[Candidate]:
        cursors = [
            Cursor(
                self._source.pages(*segment.bounds(prefix)),
                prefix=prefix,
                first=first,
                last=last,
                roles=self._reading.roles,
            )
            for prefix, first, last in self._listed
        ]
        with self._counted(segment, cursors):
            yield from merge_join(self._lines(segment), cursors)

    @contextmanager
    def _counted(self, segment: Segment, cursors: list[Cursor]) -> Iterator[list[Cursor]]:
        try:
            yield cursors
        finally:
            self._count(segment, blobs=sum(cursor.keys_seen for cursor in cursors))

    def _count(self, segment: Segment, **amounts: int) -> None:
        self._tally.add_work(**amounts)
        for name, amount in amounts.items():
            self._read[segment][name] += amount

    def _lines(self, segment: Segment) -> Iterator[Sequence[Line]]:
        after, until = segment.after, segment.until
        while not self._stop.is_set():
            found = read(
                self._catalog, partial(lines, reading=self._reading, after=after, until=until), stop=self._stop
            )
            if not found:
                return
            self._count(segment, rows=len(found))
            yield found
            after = UUID(str(found[-1][ID]))


def _source(parts: Parts, order: AuditOrder, tally: Tally) -> Source:
    if order.inventory is None or order.of_few:
        return open_source(parts, classes=order.classes, tally=tally)
    return open_report(parts, order.inventory, classes=order.classes, tally=tally)


def open_source(parts: Parts, *, classes: bool, tally: Tally) -> Source:
    """Return the store itself as the source; BucketMissing for a missing directory if the catalog has rows."""
    store = parts.store
    scheme, _, rest = parts.settings.store.url.partition("://")
    root = Path(rest).expanduser().absolute() if scheme == "file" else None

    def pages(after: str, until: str) -> Iterator[Page]:
        if root is not None and not root.is_dir() and _has_rows(parts.catalog):
            hint = "mount it, or correct [store] url; a missing directory is not an empty store"
            raise BucketMissing(f"there is no directory {root}", hint=hint)
        for page in store.pages(after, until, on_request=lambda: tally.add_work(lists=1)):
            yield page if classes else page._replace(classes=None)

    return Source(pages=pages, head=store.details if classes else store.head)


def open_report(parts: Parts, manifest: str, *, classes: bool, tally: Tally) -> Source:
    """Return an inventory report as the listing, and the store itself for second lookups."""
    live = open_source(parts, classes=classes, tally=tally)
    scratch = Scratch("inventory")
    try:
        report = open_inventory(manifest, parts.settings.store, directory=scratch.path)
    except BaseException:
        scratch.close()
        raise
    if classes and not report.classes:
        scratch.close()
        raise UsageError("the inventory has no storage classes", hint="leave --storage-class out, or add the field")

    def pages(after: str, until: str) -> Iterator[Page]:
        for page in report.pages(after, until):
            yield page if classes else page._replace(classes=None)

    return replace(live, pages=pages, taken_at=report.taken_at, close=scratch.close)


def _has_rows(catalog: Catalog) -> bool:
    with catalog.read() as connection:
        return split(connection, after=FIRST, until=None, rows=1) is not None
