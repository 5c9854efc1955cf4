"""One run of a transition: survey, price, and then a plan, the moves, a rule of the bucket, or a job of AWS."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from imgctl.errors import UsageError
from imgctl.ops.parts import Parts
from imgctl.ops.plan import PlanWriter
from imgctl.ops.retry import StopSignal
from imgctl.ops.rows import BadId
from imgctl.ops.spend import Terms, agree
from imgctl.ops.transition.act import transition
from imgctl.ops.transition.hand_over import HandedOver, by_batch, rule_of
from imgctl.ops.transition.order import Outcome, TransitionOrder
from imgctl.ops.transition.planned import DO, action_of
from imgctl.ops.transition.survey import Bill, Judges, Survey, bill_of, judges, survey
from imgctl.pricing.estimate import Billing
from imgctl.store.aws.lifecycle import LifecyclePlan, put
from imgctl.units import count_of


class Via(StrEnum):
    """Who moves."""

    COPY = "copy"
    LIFECYCLE = "lifecycle"
    BATCH = "batch"


@dataclass(slots=True, kw_only=True)
class TransitionJob:
    """What moves, by which order, whether the user agreed to it (`yes`) or only looks (`dry_run`), and what was found."""

    parts: Parts
    order: TransitionOrder
    who: Terms
    stop: StopSignal
    via: Via
    yes: bool
    dry_run: bool
    plan: Path | None
    found: Survey = field(default_factory=Survey)
    bad: list[BadId] = field(default_factory=list)

    @property
    def acts(self) -> bool:
        """Whether anything is to be changed: a directory is free, and what is billed has its --yes."""
        free = self.who.bill is Billing.NONE and self.via is Via.COPY
        return (self.yes or free) and not (self.dry_run or self.plan)

    @property
    def bill(self) -> Bill:
        """What was found costs and saves."""
        return bill_of(self.found, self.order)

    def survey(self) -> Iterator[Outcome]:
        """What would become of each row; writes the plan where one is wanted, unless the run is stopped."""
        writing = PlanWriter(self.plan, command=DO) if self.plan else nullcontext()
        with self._judges() as looking, writing as plan:
            for verdict, outcome in survey(looking, self.order, self.parts.store, self.found):
                yield outcome
                if plan is not None and verdict.refusal is None:
                    plan.add(action_of(verdict, to=self.order.policy.to, delete=self.order.delete_noncurrent))
            self.bad = looking.bad
            if plan is not None and self.stop.is_set():
                plan.abandon()
            elif plan is not None:
                estimate = self.bill.estimate.record(self.who.bill)
                plan.conclude({"bytes": self.found.size, "estimate": estimate})

    def move(self) -> Iterator[Outcome]:
        """Judge every row again, and move what passes."""
        with self._judges() as looking:
            yield from transition(looking, self.order, parts=self.parts, stop=self.stop)
            self.bad = looking.bad

    def rule(self, *, older_than_seconds: float) -> LifecyclePlan:
        """The rule that moves them, written into the bucket where the job acts."""
        settings = self.parts.settings
        if not settings.store.url.startswith("s3://"):
            raise UsageError("a directory has no lifecycle rules", hint="leave --via out")
        plan = rule_of(settings, self.order, older_than_seconds=older_than_seconds)
        if self.acts:
            put(settings.store, plan)
        return plan

    def batch(self, *, role_arn: str) -> HandedOver:
        """A job of S3 Batch Operations that moves them once it is confirmed."""
        # Before any row promises a move that no job does.
        if self.who.bill is not Billing.AWS:
            raise UsageError("S3 Batch Operations are AWS's own", hint="leave --via out")
        with self._judges() as looking:
            return by_batch(looking, self.order, parts=self.parts, role_arn=role_arn, stop=self.stop)

    def check_agreed(self) -> None:
        """UsageError where it costs something, without --yes."""
        to, rule = self.order.policy.to, self.via is Via.LIFECYCLE
        if rule or not self.found.is_idle:
            what = f"a rule to {to}" if rule else f"moving {count_of(self.found.objects, 'original')} to {to}"
            looks = self.dry_run or self.plan is not None
            agree(what, self.bill.estimate.one_off, self.who, yes=self.yes, dry_run=looks)

    def _judges(self) -> AbstractContextManager[Judges]:
        return judges(self.order, parts=self.parts, stop=self.stop)
