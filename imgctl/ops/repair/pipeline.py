"""The repair: findings in batches, each looked at again, decided, proven and written in one guarded transaction."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TypeVar
from uuid import UUID

from imgctl.errors import CatalogError, ImgctlError
from imgctl.model import Image
from imgctl.ops.audit.findings import Code, Finding
from imgctl.ops.parts import Parts
from imgctl.ops.repair.decide import blob_key, decide, own_key
from imgctl.ops.repair.order import ACTS, Decision, Do, Evidence, Fate, Outcome, RepairOrder
from imgctl.ops.repair.proof import proven
from imgctl.ops.repair.trash import carry, trash_key
from imgctl.ops.repair.write import write
from imgctl.ops.retry import StopSignal, retry
from imgctl.run.threads import thread_pool
from imgctl.store.blobs.base import Blob
from imgctl.store.catalog.lookups import by_ids, clock
from imgctl.store.cold.base import ColdStore, StoredBlob

BATCH = 64
T = TypeVar("T")


def repair(
    findings: Iterable[Finding], order: RepairOrder, parts: Parts, cold: ColdStore, *, stop: StopSignal
) -> Iterator[Outcome]:
    """Mend what findings say, or (dry) say what would; yields one outcome a finding.

    When `stop` is set no further batch is begun. Raises what ends a whole run: no store, no catalog.
    """
    source = iter(findings)
    with thread_pool(order.concurrency, name="repair") as threads:
        run = _Run(order, parts, cold, threads, stop)
        while not stop.is_set() and (batch := list(islice(source, BATCH))):
            yield from run.mend(run.decided(batch))


def decided(findings: Sequence[Finding], order: RepairOrder, parts: Parts, cold: ColdStore) -> list[Decision]:
    """What would be done about these findings now, proofs included."""
    with thread_pool(order.concurrency, name="repair") as threads:
        return _Run(order, parts, cold, threads, _Never()).decided(findings)


def perform(decisions: Sequence[Decision], order: RepairOrder, parts: Parts, cold: ColdStore) -> list[Outcome]:
    """Do what was decided, for each that acts."""
    with thread_pool(order.concurrency, name="repair") as threads:
        return list(_Run(order, parts, cold, threads, _Never()).mend(decisions))


class _Never:
    def is_set(self) -> bool:
        return False

    def wait(self, timeout: float | None = None) -> bool:
        import time

        time.sleep(timeout or 0)
        return False


class _Run:
    def __init__(self, order: RepairOrder, parts: Parts, cold: ColdStore, threads: Executor, stop: StopSignal) -> None:
        self._order = order
        self._parts = parts
        self._cold = cold
        self._threads = threads
        self._stop = stop

    def decided(self, findings: Sequence[Finding]) -> list[Decision]:
        """Look at each finding's row and blobs, and decide."""
        rows, now = self._rows([id_of(one, self._order) for one in findings])
        seen = self._threads.map(partial(self._look, rows=rows, now=now), findings)
        decisions = [decide(one, evidence, self._order) for one, evidence in zip(findings, seen, strict=True)]
        return list(self._threads.map(self._prove, decisions))

    def mend(self, decisions: Sequence[Decision]) -> Iterator[Outcome]:
        """Do what was decided; an outcome each, in no order."""
        acting = [one for one in decisions if one.do in ACTS]
        yield from (_idle(one) for one in decisions if one.do not in ACTS)
        if not self._order.apply:
            yield from (Outcome(decision=one, fate=Fate.PLANNED, detail=one.detail) for one in acting)
            return
        yield from self._write([one for one in acting if one.do is not Do.TRASH])
        yield from self._threads.map(self._trash, [one for one in acting if one.do is Do.TRASH])

    def _rows(self, ids: Iterable[UUID | None]) -> tuple[dict[UUID, Image], datetime]:
        wanted = {one for one in ids if one is not None}

        def attempt() -> tuple[dict[UUID, Image], datetime]:
            with self._parts.catalog.read() as connection:
                return by_ids(connection, wanted), clock(connection)

        return retry(attempt, stop=self._stop)

    def _look(self, finding: Finding, *, rows: dict[UUID, Image], now: datetime) -> Evidence:
        row = rows.get(id_of(finding, self._order) or _NOBODY)
        key, original = blob_key(finding, row), row.original_key if row else None
        found = {one: self._cold.head(one) for one in {key, original} if one}
        return Evidence(now=now, row=row, original=found.get(original or ""), blob=found.get(key or ""))

    def _prove(self, decision: Decision) -> Decision:
        return proven(decision, self._parts)

    def _write(self, decisions: Sequence[Decision]) -> Iterator[Outcome]:
        if not decisions:
            return

        def attempt() -> set[int]:
            with self._parts.catalog.write() as connection:
                return write(connection, decisions)

        try:
            changed = retry(attempt, stop=self._stop)
        except CatalogError as error:
            yield from (Outcome(decision=one, fate=Fate.FAILED, detail=error.line) for one in decisions)
            raise
        for number, one in enumerate(decisions):
            yield self._written(one, changed=number in changed)

    def _written(self, decision: Decision, *, changed: bool) -> Outcome:
        if not changed:
            return Outcome(decision=decision, fate=Fate.DRIFTED, detail="its row changed while it was mended")
        return Outcome(decision=decision, fate=Fate.MENDED, detail=decision.detail)

    def _trash(self, decision: Decision) -> Outcome:
        blob, key = decision.evidence.blob, decision.key
        assert blob is not None
        assert key is not None
        target = trash_key(key, datetime.now(UTC).date())
        try:
            done = carry(self._parts.store, plain(blob), target, certain=lambda: self._still_orphan(decision))
        except ImgctlError as error:
            return Outcome(decision=decision, fate=Fate.FAILED, detail=error.line)
        if not done:
            return Outcome(decision=decision, fate=Fate.DRIFTED, detail="a row names it by now")
        return Outcome(decision=decision, fate=Fate.MENDED, detail=f"now {target}")

    def _still_orphan(self, decision: Decision) -> bool:
        rows, _ = self._rows([id_of(decision.finding, self._order)])
        row = rows.get(id_of(decision.finding, self._order) or _NOBODY)
        seen = Evidence(now=decision.evidence.now, row=row, blob=decision.evidence.blob)
        return decide(decision.finding, seen, self._order).do is Do.TRASH


_NOBODY = UUID(int=0)


def id_of(finding: Finding, order: RepairOrder) -> UUID | None:
    """The image a finding is about; an orphan's is in its key."""
    if finding.code is not Code.ORPHAN_BLOB:
        return finding.id
    key = own_key(finding.key or "", order)
    return key.id if key else None


def plain(blob: StoredBlob) -> Blob:
    """A blob with its class as the blob store knows it."""
    return Blob(
        key=blob.key,
        size=blob.size,
        modified_at=blob.modified_at,
        etag=blob.etag or None,
        storage_class=blob.storage_class,
    )


def _idle(decision: Decision) -> Outcome:
    fate = Fate.WELL if decision.do is Do.NOTHING else Fate.LEFT
    return Outcome(decision=decision, fate=fate, detail=decision.detail)
