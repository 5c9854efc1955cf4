"""Judges every row of an order, in blocks, and adds up the planned moves and their cost."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal

from imgctl.errors import StoreDenied
from imgctl.model import Image
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal, read
from imgctl.ops.common.row_blobs import BlobLooker
from imgctl.ops.common.rows import BadId, pages
from imgctl.ops.common.tally import Tally, Totals
from imgctl.ops.transition.eligibility import Eligibility, Verdict
from imgctl.ops.transition.options import Fate, Outcome, TransitionOrder
from imgctl.pricing.estimate import Estimate
from imgctl.pricing.moves import Origin, monthly_before, payback_months, saving_per_month, transition_estimate
from imgctl.run.budgets import RateLimit
from imgctl.run.threads import thread_pool
from imgctl.store.blobs.base import BlobStore
from imgctl.store.catalog.queries.lookups import clock

# Blobs are looked up by the survey, and again before the move.
LOOKS = 2
# Small enough that the state is fresh when the move begins; one LIST holds the keys.
BLOCK = 240


class Judges:
    """Judges rows by looking up their blobs; `looker` counts the requests.

    The rows are those of `source` (default: of the order); `check` may replace each verdict.
    """

    def __init__(
        self,
        order: TransitionOrder,
        *,
        parts: Parts,
        looker: BlobLooker,
        stop: StopSignal,
        source: Iterable[Sequence[Image]] | None = None,
        check: Callable[[Verdict], Verdict] = lambda verdict: verdict,
    ) -> None:
        self.looker = looker
        self.bad: list[BadId] = []
        self._source = pages(parts.catalog, order.chosen, stop=stop, bad=self.bad) if source is None else source
        self._check = check
        self._catalog = parts.catalog
        self._eligibility = Eligibility(order.policy)
        self._stop = stop

    def blocks(self) -> Iterator[list[Verdict]]:
        """Yield verdicts on all rows; each block is looked up when the caller requests it."""
        for page in self._source:
            for start in range(0, len(page), BLOCK):
                if self._stop.is_set():
                    return
                yield self.judge(page[start : start + BLOCK])

    def judge(self, images: Sequence[Image]) -> list[Verdict]:
        """Return verdicts on these rows, in their order."""
        now = read(self._catalog, clock, stop=self._stop)
        verdicts = {image.id: self._eligibility.judge_row(image, now=now) for image in images}
        open_rows = [image for image in images if verdicts[image.id] is None]
        judged = {row.image.id: self._eligibility.judge(row) for row in self.looker.look(open_rows)}
        return [self._check(verdicts[image.id] or judged[image.id]) for image in images]


@contextmanager
def judges(
    order: TransitionOrder,
    *,
    parts: Parts,
    stop: StopSignal,
    source: Iterable[Sequence[Image]] | None = None,
    check: Callable[[Verdict], Verdict] = lambda verdict: verdict,
) -> Iterator[Judges]:
    """Open judges that look up blobs in `order.concurrency` threads."""
    with thread_pool(order.concurrency, name="look") as pool:
        rate = RateLimit(order.rate) if order.rate else None
        looker = BlobLooker(parts.store, parts.settings.store, pool=pool, stop=stop, rate=rate)
        yield Judges(order, parts=parts, looker=looker, stop=stop, source=source, check=check)


@dataclass(slots=True, kw_only=True)
class Survey:
    """Counts over the rows of an order: by expected fate, and planned moves by their current class.

    `pending` rows are held by another transition, or by one that was interrupted a moment ago; `interrupted` ones were
    moved by one that ended before it wrote that.
    """

    tally: Tally[Fate] = field(default_factory=lambda: Tally(Fate))
    planned: Totals[Origin] = field(default_factory=Totals)
    pending: int = 0
    interrupted: int = 0
    list_requests: int = 0
    head_requests: int = 0
    keeps_versions: bool | None = False

    @property
    def objects(self) -> int:
        """How many originals would move."""
        return self.tally.fates[Fate.PLANNED]

    @property
    def size(self) -> int:
        """Their bytes together."""
        return self.tally.bytes_of(Fate.PLANNED)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.tally.of(Fate.PLANNED, Fate.RECORDED) + self.pending

    def add(self, verdict: Verdict, foreseen: Outcome) -> None:
        """Count one verdict and its expected outcome."""
        self.tally.count(foreseen.fate, size=foreseen.image.bytes or 0, reason=foreseen.reason)
        self.pending += verdict.under_way
        self.interrupted += verdict.is_interrupted
        if verdict.origin is not None and verdict.blob is not None and verdict.refusal is None:
            self.planned.add(verdict.origin, verdict.blob.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """The cost of a survey's moves: the estimate, the monthly saving, the months to payback (None: never).

    `old_versions` is the monthly cost of the source versions, as long as they are kept.
    """

    estimate: Estimate
    saving: Decimal
    payback: Decimal | None
    old_versions: Decimal


def survey(judges: Judges, order: TransitionOrder, store: BlobStore, into: Survey) -> Iterator[tuple[Verdict, Outcome]]:
    """Judge every row of the order and count it; yields each verdict and its expected outcome."""
    for verdict in (verdict for block in judges.blocks() for verdict in block):
        outcome = foreseen(verdict)
        into.add(verdict, outcome)
        yield verdict, outcome
        if into.objects == order.limit:
            break
    into.list_requests, into.head_requests = judges.looker.list_requests, judges.looker.heads
    if into.objects:
        into.keeps_versions = _keeps_versions(store)


def foreseen(verdict: Verdict) -> Outcome:
    """Return the outcome expected for an original."""
    if verdict.refusal is None:
        return outcome(verdict, Fate.PLANNED)
    return outcome(verdict, Fate.RECORDED if verdict.is_misnamed else Fate.LEFT_OUT)


def outcome(verdict: Verdict, fate: Fate) -> Outcome:
    """Return an outcome with the verdict's reason."""
    reason, detail = verdict.refusal or (None, "")
    seen = verdict.blob.storage_class if verdict.blob else verdict.image.storage_class
    return Outcome(image=verdict.image, fate=fate, reason=reason, detail=detail, storage_class=seen)


def bill_of(found: Survey, order: TransitionOrder, *, copies: bool) -> Bill:
    """Return what the survey's moves cost and save, including the requests of both lookups."""
    card, to = order.policy.card, order.policy.to
    # A lifecycle rule changes the class of a version and makes no new one.
    old_versions = copies and bool(found.keeps_versions) and not order.delete_noncurrent
    # Each is looked up, and its versions are listed.
    concluded = found.interrupted if order.delete_noncurrent else 0
    estimate = transition_estimate(
        card,
        to=to,
        moved=found.planned,
        list_requests=LOOKS * found.list_requests + concluded,
        head_requests=LOOKS * found.head_requests + concluded,
        old_versions=old_versions,
        copied=copies,
    )
    saving = saving_per_month(card, to=to, moved=found.planned, old_versions=old_versions)
    return Bill(
        estimate=estimate,
        saving=saving,
        payback=payback_months(estimate.one_off, saving),
        old_versions=monthly_before(card, found.planned) if old_versions else Decimal(0),
    )


def _keeps_versions(store: BlobStore) -> bool | None:
    """Whether the store keeps old versions; None if reading that is denied."""
    try:
        return store.move_keeps_source()
    except StoreDenied:
        return None
