"""One run of a transition: survey, price, and then a plan, the moves, a lifecycle rule, or a job of S3 Batch Operations."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import UsageError
from imgctl.keys import BATCH_JOBS
from imgctl.model import Image
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal, write
from imgctl.ops.common.rows import BadId
from imgctl.ops.common.spend import Terms, agree
from imgctl.ops.plan import PlanWriter
from imgctl.ops.transition.copy_in_store import seen_of
from imgctl.ops.transition.eligibility import Refusal, Verdict
from imgctl.ops.transition.from_plan import DO, action_of
from imgctl.ops.transition.move import transition
from imgctl.ops.transition.options import Outcome, Reason, TransitionOrder
from imgctl.ops.transition.survey import Bill, Judges, Survey, bill_of, judges, survey
from imgctl.pricing.estimate import Billing
from imgctl.pricing.moves import Origin, break_even_bytes
from imgctl.pricing.prices import STANDARD
from imgctl.store.aws import lifecycle as aws
from imgctl.store.aws.batch_operations import Job, create_copy_job, partition_of, write_manifest
from imgctl.store.blobs.clouds import lifecycle as clouds
from imgctl.store.blobs.s3.copy import CopyLimits
from imgctl.store.catalog.queries.storage_class import promise_moves
from imgctl.store.lifecycle import LifecyclePlan
from imgctl.units import DAY_SECONDS, count_of, format_bytes

# S3 Batch Operations copy by one CopyObject each.
LARGEST_COPY_BYTES = CopyLimits().largest
# A job's rows stay promised for this long; after that `transition` confirms or moves each.
JOB_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """A created job: its id at AWS, the manifest's key, and its number of originals."""

    job_id: str
    manifest_key: str
    originals: int


class Via(StrEnum):
    """What performs the move: imgctl's own copies, a lifecycle rule, or S3 Batch Operations."""

    COPY = "copy"
    LIFECYCLE = "lifecycle"
    BATCH = "batch"


@dataclass(slots=True, kw_only=True)
class TransitionJob:
    """One run: its order, the user's consent (`yes`) or a dry run (`dry_run`), and the survey's results in `found`."""

    parts: Parts
    order: TransitionOrder
    terms: Terms
    stop: StopSignal
    via: Via
    yes: bool
    dry_run: bool
    plan: Path | None
    found: Survey = field(default_factory=Survey)
    bad: list[BadId] = field(default_factory=list)

    @property
    def acts(self) -> bool:
        """Whether the run changes anything: a directory is free, a billed store needs --yes."""
        free = self.terms.bill is Billing.NONE and self.via is Via.COPY
        return (self.yes or free) and not (self.dry_run or self.plan)

    @property
    def bill(self) -> Bill:
        """Costs and savings of the surveyed moves."""
        return bill_of(self.found, self.order, copies=self.via is not Via.LIFECYCLE)

    def survey(self) -> Iterator[Outcome]:
        """Yield the outcome expected for each row; writes the plan if one is requested, unless the run is stopped."""
        writing = PlanWriter(self.plan, command=DO, stop=self.stop) if self.plan else nullcontext()
        with self._judges() as looking, writing as plan:
            for verdict, outcome in survey(looking, self.order, self.parts.store, self.found):
                yield outcome
                if plan is not None and verdict.refusal is None:
                    plan.add(action_of(verdict, to=self.order.policy.to, delete=self.order.delete_noncurrent))
            self.bad = looking.bad
            if plan is not None:
                estimate = self.bill.estimate.record(self.terms.bill)
                plan.conclude({"bytes": self.found.size, "estimate": estimate})

    def move(self) -> Iterator[Outcome]:
        """Judge every row again, and move the eligible originals."""
        with self._judges() as looking:
            yield from transition(looking, self.order, parts=self.parts, stop=self.stop)
            self.bad = looking.bad

    def rule(self, *, older_than_seconds: float) -> LifecyclePlan:
        """Return the lifecycle rule that moves them; UsageError if the job acts and imgctl cannot write the rule."""
        store = self.parts.settings.store
        plan = rule_of(store, self.order, older_than_seconds=older_than_seconds)
        if self.acts and plan.by_hand:
            hint = "--dry-run prints it for: az storage account management-policy create --policy @FILE"
            raise UsageError("imgctl does not write the management policy of an Azure account", hint=hint)
        return plan

    def write_rule(self, plan: LifecyclePlan) -> bool:
        """Write the rule into the bucket if the job acts; returns whether it changed the bucket's rules."""
        store = self.parts.settings.store
        if self.acts:
            put = aws.put if store.url.startswith("s3://") else clouds.put
            put(store, plan)
        return self.acts and bool(plan.diff)

    def batch(self, *, role_arn: str) -> HandedOver:
        """Create a job of S3 Batch Operations that moves them once it is confirmed at AWS."""
        # Checked before any row promises a move that no job would do.
        if self.terms.bill is not Billing.AWS:
            raise UsageError("S3 Batch Operations exist at AWS only", hint="leave --via out")
        with self._judges() as looking:
            return by_batch(looking, self.order, parts=self.parts, role_arn=role_arn, stop=self.stop)

    def check_agreed(self) -> None:
        """Raise UsageError if the run costs money and --yes is missing."""
        to, rule = self.order.policy.to, self.via is Via.LIFECYCLE
        if rule or not self.found.is_idle:
            what = f"a rule to {to}" if rule else f"moving {count_of(self.found.objects, 'original')} to {to}"
            looks = self.dry_run or self.plan is not None
            agree(what, self.bill.estimate.one_off, self.terms, yes=self.yes, dry_run=looks)

    def _judges(self) -> AbstractContextManager[Judges]:
        check = _batchable if self.via is Via.BATCH else lambda verdict: verdict
        return judges(self.order, parts=self.parts, stop=self.stop, check=check)


def _batchable(verdict: Verdict) -> Verdict:
    """Return the verdict, or a refusal if S3 Batch Operations cannot copy the original."""
    if verdict.refusal is not None or verdict.blob is None or verdict.blob.size <= LARGEST_COPY_BYTES:
        return verdict
    detail = (
        f"S3 Batch Operations copy at most {format_bytes(LARGEST_COPY_BYTES)}, it has {format_bytes(verdict.blob.size)}: "
        "move it by imgctl transition without --via batch"
    )
    return replace(verdict, refusal=Refusal(Reason.ABOVE_BATCH_SIZE, detail))


def rule_of(store: StoreSettings, order: TransitionOrder, *, older_than_seconds: float) -> LifecyclePlan:
    """Return what a rule with this order's age, class and minimum size would change in the bucket.

    ConfigError if originals have no prefix of their own; UsageError for a directory, and for a move that never pays.
    """
    policy, least = order.policy, order.policy.min_size
    if store.url.startswith("file://"):
        raise UsageError("a directory has no lifecycle rules", hint="leave --via out")
    if least and not store.url.startswith("s3://"):
        raise UsageError("lifecycle rules of this cloud cannot filter by size", hint="--min-size 0, or leave --via out")
    source = Origin(storage_class=STANDARD)
    if least is None:
        least = break_even_bytes(policy.card, source=source, to=policy.to, stay_days=policy.stay_days)
    if least is None:
        raise UsageError(
            f"moving to {policy.to} pays at no size within {count_of(policy.stay_days, 'day')}", hint="--stay 365d"
        )
    days = math.ceil(older_than_seconds / DAY_SECONDS)
    planned = aws.planned if store.url.startswith("s3://") else clouds.planned
    return planned(store, to=policy.to, days=days, min_size=least)


def by_batch(judges: Judges, order: TransitionOrder, *, parts: Parts, role_arn: str, stop: StopSignal) -> HandedOver:
    """Promise the moves in the rows, write the manifest, create the job; its moves begin once it is confirmed at AWS.

    UsageError, before any row is promised, for an invalid role.

    If this ends early, rows keep the promise for a day; the next transition after that corrects them.
    """
    partition_of(role_arn)
    now = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    key, count = f"{BATCH_JOBS}{now}-{order.policy.to}.csv", 0

    def keys() -> Iterator[str]:
        nonlocal count
        for block in judges.blocks():
            left = [verdict.image for verdict in block if verdict.refusal is None]
            # Again, if some rows had changed: no more are promised than the manifest lists.
            while left and count != order.limit:
                most = len(left) if order.limit is None else order.limit - count
                some, left = left[:most], left[most:]
                for name in _promised(some, order, parts, stop):
                    count += 1
                    yield name
            if count == order.limit:
                return

    settings = parts.settings.store
    manifest = write_manifest(settings, key, keys())
    job = Job(role_arn=role_arn, report_prefix=f"{BATCH_JOBS}{now}-report", description=f"imgctl to {order.policy.to}")
    job_id = create_copy_job(settings, manifest, job, to=order.policy.to)
    return HandedOver(job_id=job_id, manifest_key=key, originals=count)


def _promised(some: list[Image], order: TransitionOrder, parts: Parts, stop: StopSignal) -> list[str]:
    """Promise these moves; returns the keys of the originals whose rows were still as they were read."""
    seen = [seen_of(image) for image in some]
    promises = partial(promise_moves, rows=seen, to=order.policy.to, lease_seconds=JOB_SECONDS)
    promised = write(parts.catalog, promises, stop=stop)
    return [image.original_key or "" for image in some if image.id in promised]
