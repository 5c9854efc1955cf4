"""The survey: what a transition would move, what that costs and saves, and what it leaves out; nothing is kept a photo."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

from imgctl.errors import StoreDenied
from imgctl.ops.transition.gate import Verdict
from imgctl.ops.transition.look import Judges
from imgctl.ops.transition.order import Fate, Outcome, Reason, TransitionOrder
from imgctl.pricing.costs import Sized
from imgctl.pricing.estimate import Estimate
from imgctl.pricing.moves import (
    Origin,
    monthly_before,
    payback_months,
    saving_per_month,
    transition_estimate,
)
from imgctl.store.blobs.base import BlobStore

K = TypeVar("K", Origin, Reason)

# The survey looks, and acting looks again.
LOOKS = 2


@dataclass(slots=True, kw_only=True)
class Survey:
    """Counts and sums over the rows of an order; `recorded` are rows that only have to be told where their original lies.

    `pending` are held by another transition, or by one that was cut short a moment ago.
    """

    planned: dict[Origin, Sized] = field(default_factory=dict)
    left_out: dict[Reason, Sized] = field(default_factory=dict)
    recorded: int = 0
    pending: int = 0
    list_requests: int = 0
    head_requests: int = 0
    keeps_versions: bool | None = False

    @property
    def objects(self) -> int:
        """How many originals would move."""
        return sum(one.objects for one in self.planned.values())

    @property
    def size(self) -> int:
        """Their bytes together."""
        return sum(one.size for one in self.planned.values())

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do at all."""
        return not self.objects + self.recorded + self.pending

    def add(self, verdict: Verdict) -> None:
        """Count one verdict."""
        self.recorded += verdict.is_misnamed and verdict.refusal is not None
        self.pending += verdict.under_way
        if verdict.origin is not None and verdict.blob is not None and verdict.refusal is None:
            _add(self.planned, verdict.origin, verdict.blob.size)
        elif verdict.refusal is not None:
            _add(self.left_out, verdict.refusal.reason, verdict.image.bytes or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a survey comes to: the estimate, the monthly saving, after how many months it has paid (None: never).

    `old_versions` is what the versions that were copied from go on to cost a month, as long as they are kept.
    """

    estimate: Estimate
    saving: Decimal
    payback: Decimal | None
    old_versions: Decimal


def survey(judges: Judges, order: TransitionOrder, cold: BlobStore, into: Survey) -> Iterator[tuple[Verdict, Outcome]]:
    """Judge every row of the order and count it; yields each verdict and what would become of it."""
    for verdict in (verdict for block in judges.blocks() for verdict in block):
        into.add(verdict)
        yield verdict, foreseen(verdict)
        if into.objects == order.limit:
            break
    into.list_requests, into.head_requests = judges.looker.list_requests, judges.looker.heads
    if into.objects:
        into.keeps_versions = _keeps_versions(cold)


def foreseen(verdict: Verdict) -> Outcome:
    """What would become of an original."""
    if verdict.refusal is None:
        return outcome(verdict, Fate.PLANNED)
    return outcome(verdict, Fate.RECORDED if verdict.is_misnamed else Fate.LEFT_OUT)


def outcome(verdict: Verdict, fate: Fate) -> Outcome:
    """An outcome with the verdict's reason."""
    reason, detail = verdict.refusal or (None, "")
    seen = verdict.blob.storage_class if verdict.blob else verdict.image.storage_class
    return Outcome(image=verdict.image, fate=fate, reason=reason, detail=detail, storage_class=seen)


def bill_of(found: Survey, order: TransitionOrder) -> Bill:
    """What the survey's moves cost and save, the requests of both looks included."""
    card, to = order.policy.card, order.policy.to
    old_versions = bool(found.keeps_versions) and not order.delete_noncurrent
    estimate = transition_estimate(
        card,
        to=to,
        moved=found.planned,
        list_requests=LOOKS * found.list_requests,
        head_requests=LOOKS * found.head_requests,
        old_versions=old_versions,
    )
    saving = saving_per_month(card, to=to, moved=found.planned, old_versions=old_versions)
    return Bill(
        estimate=estimate,
        saving=saving,
        payback=payback_months(estimate.one_off, saving),
        old_versions=monthly_before(card, found.planned) if old_versions else Decimal(0),
    )


def _add(sums: dict[K, Sized], key: K, size: int) -> None:
    before = sums.get(key, Sized(objects=0, size=0))
    sums[key] = Sized(objects=before.objects + 1, size=before.size + size)


def _keeps_versions(cold: BlobStore) -> bool | None:
    """None where nobody may say."""
    try:
        return cold.keeps_versions()
    except StoreDenied:
        return None
