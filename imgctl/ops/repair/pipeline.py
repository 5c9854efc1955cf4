"""A repair: findings in batches; each is looked up again, decided, and proven by the bytes of its blob.

Rows are written in one guarded transaction.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from uuid import UUID

from sqlalchemy import Connection

from imgctl.errors import BlobMissing, CatalogError, ImgctlError, StoreError
from imgctl.imaging.decoders.pillow import PLUGIN, decode, size_of
from imgctl.imaging.recognise import sniff
from imgctl.keys import ORIGINAL
from imgctl.model import Image, Recipe, Variant, fit
from imgctl.ops.audit.findings import Code, Finding
from imgctl.ops.common.open import Parts
from imgctl.ops.common.range_reads import CHUNK_BYTES, stored_sha256
from imgctl.ops.common.retry import StopSignal, read, write
from imgctl.ops.erase.held import held
from imgctl.ops.erase.options import EraseOrder
from imgctl.ops.repair.decide import blob_key, decide, image_of
from imgctl.ops.repair.options import ACTS, Decision, Do, Evidence, Fate, Outcome, RepairOrder
from imgctl.ops.repair.trash import carry, trash_key
from imgctl.run.budgets import RateLimit
from imgctl.run.threads import thread_pool
from imgctl.store.blobs.base import Blob, BlobStore
from imgctl.store.catalog.queries import repairs as sql
from imgctl.store.catalog.queries.erased import Erasure, erasures
from imgctl.store.catalog.queries.holds import held_among
from imgctl.store.catalog.queries.lookups import by_ids, clock
from imgctl.store.catalog.queries.reservations import confirm

BATCH = 64
_WRITE: dict[Do, Callable[[Connection, list[sql.SeenRow]], set[UUID]]] = {
    Do.REQUEUE: sql.requeue_seen,
    Do.DROP: sql.drop_promises,
    Do.FAIL: sql.mark_lost,
    Do.RECLASS: sql.reclass,
    Do.CONFIRM: lambda connection, rows: confirm(connection, {row.id for row in rows}),
}
LARGEST_VARIANT_BYTES = 256 * 2**20
TOLERANCE_PX = 1
# The copy looks at both keys first; a look at both blobs, a deletion.
REQUESTS_A_TRASH = 6
# A listing and a deletion.
REQUESTS_AN_ERASURE = 2


def repair(findings: Iterable[Finding], order: RepairOrder, parts: Parts, *, stop: StopSignal) -> Iterator[Outcome]:
    """Repair findings, or (dry run) plan the repairs; yields one outcome for each finding.

    When `stop` is set no further batch begins. Raises the error that ends a whole run: no store, no catalog.
    """
    source = iter(findings)
    with thread_pool(order.concurrency, name="repair") as threads:
        run = Repairs(order, parts, threads, stop)
        while not stop.is_set() and (batch := list(islice(source, BATCH))):
            yield from run.perform(run.decide(batch))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """Rows and finished or running erasures at one moment of the database's clock; `holds`: why an image must stay, by id."""

    rows: dict[UUID, Image]
    erasures: dict[UUID, Erasure]
    holds: dict[UUID, str]
    now: datetime


class Repairs:
    """Decides the repairs of findings and performs them, a batch at a time."""

    def __init__(self, order: RepairOrder, parts: Parts, threads: Executor, stop: StopSignal) -> None:
        self._order = order
        self._parts = parts
        self._threads = threads
        self._stop = stop
        self._rate = RateLimit(order.rate) if order.rate else None

    def decide(self, findings: Sequence[Finding]) -> list[Decision]:
        """Look up each finding's row and blobs, decide, and verify the decision against the bytes."""
        known = self._known(image_of(one, self._order) for one in findings)
        seen = self._threads.map(partial(self._look, known=known), findings)
        decisions = [decide(one, evidence, self._order) for one, evidence in zip(findings, seen, strict=True)]
        return list(self._threads.map(self._proven, decisions))

    def perform(self, decisions: Sequence[Decision]) -> Iterator[Outcome]:
        """Perform the decisions, or (dry run) report them as planned; yields one outcome each, in no order."""
        acting = [one for one in decisions if one.do in ACTS]
        for one in decisions:
            if one.do not in ACTS:
                yield _ended(one, Fate.WELL if one.do is Do.NOTHING else Fate.LEFT)
        if not self._order.apply:
            yield from (_ended(one, Fate.PLANNED) for one in acting)
            return
        yield from self._write([one for one in acting if one.do not in (Do.TRASH, Do.ERASE)])
        yield from self._threads.map(self._trash, [one for one in acting if one.do is Do.TRASH])
        yield from self._threads.map(self._erase, [one for one in acting if one.do is Do.ERASE])

    def _known(self, ids: Iterable[UUID | None]) -> "_Known":
        wanted = {one for one in ids if one is not None}

        def known(connection: Connection) -> _Known:
            rows = by_ids(connection, wanted)
            gone = erasures(connection, wanted - rows.keys())
            by_user = held_among(connection, {row.user_id for row in rows.values()})
            holds = {one: by_user[row.user_id].line for one, row in rows.items() if row.user_id in by_user}
            if gone:
                holds |= held(connection, gone.values(), EraseOrder(secret=self._parts.settings.serve.secret))
            return _Known(rows=rows, erasures=gone, holds=holds, now=clock(connection))

        return read(self._parts.catalog, known, stop=self._stop)

    def _look(self, finding: Finding, *, known: "_Known") -> Evidence:
        image = image_of(finding, self._order)
        row = known.rows.get(image) if image else None
        key, original = blob_key(finding, row), row.original_key if row else None
        # An unknown key is left unchanged, and the store may deny access to it.
        wanted = set() if finding.code is Code.UNKNOWN_KEY else {key, original}
        found = {one: self._details(one) for one in wanted if one}
        return Evidence(
            now=known.now,
            row=row,
            original=found.get(original or ""),
            blob=found.get(key or ""),
            hold=known.holds.get(image, "") if image else "",
            erasure=known.erasures.get(image) if image else None,
        )

    def _details(self, key: str) -> Blob | None:
        self._wait_for(1)
        return self._parts.store.details(key)

    def _proven(self, decision: Decision) -> Decision:
        self._wait_for(_proof_requests(decision))
        return proven(decision, self._parts)

    def _wait_for(self, requests: int) -> None:
        """Wait until this many requests may be sent."""
        if self._rate is not None and requests and (turn := self._rate.reserve(requests)):
            self._stop.wait(turn)

    def _write(self, decisions: Sequence[Decision]) -> Iterator[Outcome]:
        if not decisions:
            return
        changed = write(self._parts.catalog, partial(write_down, decisions=decisions), stop=self._stop)
        for place, one in enumerate(decisions):
            if place in changed:
                yield _ended(one, Fate.MENDED)
            else:
                yield _ended(one, Fate.DRIFTED, "its row changed during the repair")

    def _trash(self, decision: Decision) -> Outcome:
        blob, key = decision.evidence.blob, decision.key
        assert blob is not None
        assert key is not None
        target = trash_key(key, datetime.now(UTC).date())
        self._wait_for(REQUESTS_A_TRASH)
        try:
            done = carry(self._parts.store, blob, target, certain=lambda: self._again(decision).do is Do.TRASH)
        except CatalogError:
            # No fault of this blob: it ends the run.
            raise
        except ImgctlError as error:
            return _ended(decision, Fate.FAILED, error.line)
        if not done:
            return _ended(decision, Fate.DRIFTED, "a row names it by now")
        return _ended(decision, Fate.MENDED, f"now {target}")

    def _erase(self, decision: Decision) -> Outcome:
        store, key = self._parts.store, decision.key or ""
        self._wait_for(REQUESTS_AN_ERASURE)
        # A hold may have begun during the wait.
        if (now := self._again(decision)).do is not Do.ERASE:
            return _ended(decision, Fate.DRIFTED, now.detail)
        try:
            refused = list(store.purge(store.remnants([key])))
        except ImgctlError as error:
            return _ended(decision, Fate.FAILED, error.line)
        if not refused:
            return _ended(decision, Fate.MENDED)
        # Soft-deleted blobs expire by themselves.
        softly = all(one.until is not None for one, _ in refused)
        return _ended(decision, Fate.MENDED if softly else Fate.FAILED, refused[0][1].line)

    def _again(self, decision: Decision) -> Decision:
        """Decide again, from the row, the hold and the erasure as they are now."""
        image = image_of(decision.finding, self._order)
        known = self._known([image])
        row = known.rows.get(image) if image else None
        hold = known.holds.get(image, "") if image else ""
        erasure = known.erasures.get(image) if image else None
        seen = replace(decision.evidence, row=row, hold=hold, erasure=erasure)
        return decide(decision.finding, seen, self._order)


def _ended(decision: Decision, fate: Fate, detail: str = "") -> Outcome:
    return Outcome(decision=decision, fate=fate, detail=detail or decision.detail)


def write_down(connection: Connection, decisions: Sequence[Decision]) -> set[int]:
    """Write the decisions; returns the indexes of those whose rows had not changed since the lookup."""
    changed: set[int] = set()
    # Variant keys first: a requeued row is no longer settled.
    for variant in Variant:
        mine = {place: one for place, one in enumerate(decisions) if one.finding.role == variant}
        named = sql.name_variant(connection, variant, _rows(one for one in mine.values() if one.do is Do.REBIND))
        # A requeued image also loses the keys of missing variants.
        gone = (one for one in mine.values() if one.do in (Do.UNNAME, Do.REQUEUE) and _row(one).key(variant) == one.key)
        unnamed = sql.unname_variant(connection, variant, _rows(gone))
        done = {Do.REBIND: named, Do.UNNAME: unnamed}
        changed |= {place for place, one in mine.items() if _row(one).id in done.get(one.do, ())}
    for do, statement in _WRITE.items():
        numbered = {place: one for place, one in enumerate(decisions) if one.do is do}
        if numbered:
            ids = statement(connection, _rows(numbered.values()))
            changed |= {place for place, one in numbered.items() if _row(one).id in ids}
    return changed


def _rows(decisions: Iterable[Decision]) -> list[sql.SeenRow]:
    """Return the rows as they were looked up, with the values to write, once each: a row may have several findings."""
    rows = {}
    for one in decisions:
        row, original = _row(one), one.evidence.original
        rows[row.id] = sql.SeenRow(
            id=row.id,
            attempts=row.attempts,
            key=(one.key if one.do in (Do.REBIND, Do.UNNAME, Do.REQUEUE) else row.original_key) or "",
            error=one.detail,
            storage_class=original.storage_class if original else None,
            restored_until=original.restored_until if original else None,
        )
    return list(rows.values())


def _row(one: Decision) -> Image:
    assert one.evidence.row is not None
    return one.evidence.row


def _proof_requests(decision: Decision) -> int:
    """Return the number of requests that `proven` sends at most: HEADs, and the reads of the blob."""
    original = decision.evidence.original
    if decision.do is Do.CONFIRM and original is not None:
        return 2 + -(-original.size // CHUNK_BYTES)
    return 2 if decision.do is Do.REBIND else 0


def proven(decision: Decision, parts: Parts) -> Decision:
    """Return the decision if the bytes confirm it, else a safer one; decisions that need no proof are returned unchanged."""
    row = decision.evidence.row
    if row is None or decision.do not in (Do.CONFIRM, Do.REBIND):
        return decision
    try:
        doubt = _doubt(decision, row, parts)
    except StoreError as error:
        return replace(decision, do=Do.LEAVE, detail=error.line)
    if not doubt:
        return decision
    if decision.do is Do.CONFIRM:
        return replace(decision, do=Do.LEAVE, detail=doubt)
    readable = decision.evidence.original is not None and decision.evidence.original.readable
    return replace(decision, do=Do.REQUEUE if readable else Do.LEAVE, detail=f"built anew: {doubt}")


def _doubt(decision: Decision, row: Image, parts: Parts) -> str:
    key = decision.key or ""
    blob = parts.store.head(row.original_key or "") if decision.do is Do.CONFIRM else parts.store.head(key)
    if blob is None:
        raise BlobMissing(f"there is no blob {key}", hint="audit again")
    if decision.do is Do.CONFIRM:
        same = row.sha256 is None or stored_sha256(parts.store, blob) == row.sha256
        return "" if same else "the blob is not the promised picture: its SHA-256 differs"
    return variant_doubt(parts.store, blob, row, Variant(decision.finding.role or ORIGINAL), parts)


def variant_doubt(store: BlobStore, blob: Blob, row: Image, variant: Variant, parts: Parts) -> str:
    """Return why a blob is not this variant of an image, or an empty text: it must decode, in the recipe's size."""
    if blob.size > LARGEST_VARIANT_BYTES:
        return "too large for a variant"
    if row.width is None or row.height is None:
        return "the row has no width and height"
    data = store.get(blob.key)
    kind = sniff(data)
    if kind is None or kind not in PLUGIN:
        return "the blob is not a picture"
    size = size_of(data, kind)
    if size is None:
        return "the blob's header cannot be read"
    # Checked before decoding: the file's size in pixels decides how much memory decoding takes.
    wanted = _size(row, variant, parts.settings.variants.recipe())
    if any(abs(found - asked) > TOLERANCE_PX for found, asked in zip(size, wanted, strict=True)):
        return f"the blob has {size[0]}×{size[1]} pixels, not {wanted[0]}×{wanted[1]}"
    try:
        decode(data, kind)
    except Exception as error:  # Pillow's plugins raise any exception.
        return f"the blob does not decode: {error}"
    return ""


def _size(row: Image, variant: Variant, recipe: Recipe) -> tuple[int, int]:
    edge = next(spec.max_edge_px for spec in recipe.variants if spec.variant is variant)
    return fit(row.width or 1, row.height or 1, edge)
