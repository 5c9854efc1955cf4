"""`imgctl transition`: originals to a colder storage class."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgctl.cli.base import Running, Session, running, subcommand
from imgctl.cli.options import ScopeOptions, flag, option, order_of, required
from imgctl.cli.types import SIZE
from imgctl.errors import ExitCode, UsageError
from imgctl.model import StorageClass
from imgctl.units import count_of

if TYPE_CHECKING:
    from imgctl.ops.parts import Parts
    from imgctl.ops.plan import PlanWriter
    from imgctl.ops.spend import Terms
    from imgctl.ops.transition.order import Fate, Outcome, Reason, TransitionOrder
    from imgctl.ops.transition.survey import Judges, Survey
    from imgctl.pricing.costs import Sized
    from imgctl.store.blobs.base import BlobStore

CLASSES = tuple(one.value for one in StorageClass if one is not StorageClass.STANDARD)
_NOT_CHECKED = (
    "a lifecycle rule does not look at variants: it also moves originals whose variants are missing, about a day after "
    "they are old enough; rows learn of it when `imgctl transition` runs again"
)


class Via(StrEnum):
    """Who moves."""

    COPY = "copy"
    LIFECYCLE = "lifecycle"
    BATCH = "batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(ScopeOptions):
    to: str = required(
        str, "The class to move to.", kind=click.Choice(CLASSES, case_sensitive=False), metavar="|".join(CLASSES)
    )
    older_than: float | None = option(None, "Only originals uploaded longer ago: 90d.")
    min_size: int | None = option(None, "Move from this size on, whether it pays or not.", kind=SIZE)
    stay: float = option(365 * 86_400.0, "How long they will stay, for what pays.", text="365d")
    yes: bool = flag("Move, and spend what the estimate says.")
    dry_run: bool = flag("Move nothing; show the estimate and each original.")
    plan: Path | None = option(None, "Write what would be done to FILE.")
    limit: int | None = option(None, "Move at most N originals.")
    rate: int | None = option(None, "Requests a second at most.")
    max_duration: float | None = option(None, "Stop cleanly after: 6h; the next run goes on.")
    delete_noncurrent: bool = flag("Delete the old version of each original that was moved.")
    via: Via = option(Via.COPY, "Who moves; see above.")
    role_arn: str | None = option(None, "The role that S3 Batch Operations takes (--via batch).", metavar="ARN")

    def check(self) -> None:
        """UsageError for what does not fit together."""
        if self.older_than is None and not self.is_scoped:
            raise UsageError("no originals are chosen", hint="--older-than 90d, or --user, --since, --ids-from")
        if self.plan and (self.yes or self.dry_run):
            raise UsageError(
                "--plan writes what --yes would do", hint="take --plan alone, then imgctl apply FILE --yes"
            )
        if self.via is Via.BATCH and not self.role_arn:
            raise UsageError("--via batch needs --role-arn", hint="the role that S3 Batch Operations takes to copy")
        if self.via is not Via.BATCH and self.role_arn:
            raise UsageError("--role-arn belongs to --via batch", hint="leave it out, or add --via batch")
        if self.via is not Via.COPY and self.plan:
            raise UsageError("--plan is for --via copy", hint="leave one of them out")
        if self.via is Via.LIFECYCLE and (self.is_scoped or self.limit or self.older_than is None):
            raise UsageError("a lifecycle rule chooses by age and size only", hint="--older-than 90d, and --min-size")


@subcommand(
    Asked,
    examples="""
imgctl transition --older-than 90d --to GLACIER --dry-run
imgctl transition --older-than 90d --to DEEP_ARCHIVE --yes
imgctl transition --older-than 90d --to GLACIER --plan moves.jsonl
imgctl transition --older-than 90d --to GLACIER --via lifecycle --yes
""",
    main="--to --older-than --dry-run --yes --plan --user --max-duration",
    settings={"upload.concurrency": "Requests in flight; 0: 16.", "cost.card": ""},
)
def command(session: Session, asked: Asked) -> ExitCode:
    """Move originals to a colder storage class, those that nobody misses there and for which it pays.

    Only originals of ready rows whose variants all lie in the store are moved. Says first what would move, what that
    costs once and saves each month, and what is left out and why; where the store bills it, acts with --yes. A run that
    was stopped or killed is finished by the same command. Moved originals are read again after `imgctl restore`.

    \b
    --via copy       this machine asks for a copy in place, one original at a time
    --via lifecycle  the bucket gets a rule, which checks no variants; the next `transition` updates the rows
    --via batch      S3 Batch Operations gets a job; `transition` a day later confirms the rows
    """
    from imgctl.ops.parts import open_parts
    from imgctl.ops.spend import terms
    from imgctl.ops.transition.order import DAY_SECONDS, REQUESTS, Policy, TransitionOrder, older

    asked.check()
    settings, at = session.settings, datetime.now(UTC)
    who = terms(settings, endpoint_url=session.endpoint_url)
    stay_days = max(1, round(asked.stay / DAY_SECONDS))
    policy = Policy(to=StorageClass(asked.to), card=who.card, at=at, stay_days=stay_days, min_size=asked.min_size)
    with (
        asked.chosen() as chosen,
        open_parts(settings) as parts,
        running(session, unit="originals", max_seconds=asked.max_duration) as run,
    ):
        order = order_of(
            TransitionOrder,
            asked,
            policy=policy,
            chosen=older(chosen, asked.older_than, at),
            concurrency=settings.upload.concurrency or REQUESTS,
            lease_seconds=settings.work.lease,
        )
        cold = parts.store
        return _Run(session=session, run=run, parts=parts, cold=cold, order=order, asked=asked, who=who).go()


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the originals; `size` is the bytes of those that moved, or would."""

    fates: "Counter[Fate]" = field(default_factory=Counter)
    left_out: "dict[Reason, Sized]" = field(default_factory=dict)
    size: int = 0

    def add(self, outcome: "Outcome") -> None:
        """Count one."""
        from imgctl.ops.transition.order import Fate
        from imgctl.ops.transition.survey import add_to

        self.fates[outcome.fate] += 1
        self.size += (outcome.image.bytes or 0) if outcome.fate is Fate.MOVED else 0
        if outcome.fate is Fate.LEFT_OUT and outcome.reason is not None:
            add_to(self.left_out, outcome.reason, outcome.image.bytes or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One run of the command: what it works on, for whom, and by which order."""

    session: Session
    run: Running
    parts: "Parts"
    cold: "BlobStore"
    order: "TransitionOrder"
    asked: Asked
    who: "Terms"

    @property
    def _acts(self) -> bool:
        """Whether anything is to be changed: nobody bills a directory, and what is billed was agreed to."""
        from imgctl.pricing.estimate import Billing

        free = self.who.bill is Billing.NONE and self.asked.via is Via.COPY
        return (self.asked.yes or free) and not (self.asked.dry_run or self.asked.plan)

    def go(self) -> ExitCode:
        """Survey, say what was found, and do what was asked."""
        from imgctl.cli.transition_words import estimate_record, survey_text
        from imgctl.ops.transition.survey import bill_of

        found, bad = self._survey()
        bill, stopped = bill_of(found, self.order), self.run.stop.is_set()
        self.session.data({"type": "estimate", **estimate_record(found, bill, self.who.bill)})
        for line in survey_text(found, self.order, self.who.bill, bill, acts=self._acts):
            self.run.say(line)
        moved = "moved" if self._acts else "would move"
        if stopped:
            self.run.say("stopped before everything was looked at: nothing was done", always=True)
        elif self.asked.via is not Via.COPY:
            self._hand_over(found)
            moved, bad = "will move" if self._acts else "would move", False
        elif self._acts and (self.session.json or not found.is_idle):
            return self._act(found)
        self._conclude(_foreseen(found), moved=moved)
        if not stopped:
            self._check_agreed(found, bill.estimate.one_off)
        return self.run.exit_code(partly=bad)

    def _survey(self) -> "tuple[Survey, bool]":
        """Look at every row, write the plan where one is wanted; whether an ids file named what is not there."""
        from imgctl.cli.transition_words import record
        from imgctl.ops.plan import PlanWriter
        from imgctl.ops.transition.planned import DO, action_of
        from imgctl.ops.transition.survey import Survey, survey

        found, file, order = Survey(), self.asked.plan, self.order
        with self._judges() as judges, PlanWriter(file, command=DO) if file else nullcontext() as plan:
            for verdict, outcome in survey(judges, order, self.cold, found):
                if not self._acts:
                    self.session.data(record(outcome))
                if plan is not None and verdict.refusal is None:
                    plan.add(action_of(verdict, to=order.policy.to, delete_noncurrent=order.delete_noncurrent))
            if plan is not None:
                self._conclude_plan(plan, found)
        for one in judges.bad:
            self.run.say(f"{one.where}: {one.detail}", always=True)
        return found, bool(judges.bad)

    def _conclude_plan(self, plan: "PlanWriter", found: "Survey") -> None:
        from imgctl.ops.transition.survey import bill_of

        if self.run.stop.is_set():
            plan.abandon()
            return
        estimate = bill_of(found, self.order).estimate
        plan.conclude({"bytes": found.size, "estimate": estimate.record(self.who.bill)})
        actions, file = count_of(plan.actions, "action"), self.asked.plan
        self.run.say(f"{actions} in {file}; to do them: imgctl apply {file} --yes")

    def _act(self, found: "Survey") -> ExitCode:
        """Judge every row again, and move what passes."""
        from imgctl.cli.transition_words import left_out_text, record
        from imgctl.ops.transition.act import transition
        from imgctl.ops.transition.order import Fate

        tally = Tally()
        with self._judges() as judges:
            for outcome in transition(judges, self.order, parts=self.parts, cold=self.cold, stop=self.run.stop):
                tally.add(outcome)
                failed = outcome.fate is Fate.FAILED
                self.run.step(failed=failed, size=(outcome.image.bytes or 0) if outcome.fate is Fate.MOVED else 0)
                self.session.data(record(outcome))
                if failed:
                    self.run.say(f"failed {outcome.image.original_key}: {outcome.detail}", always=True)
        if tally.left_out != found.left_out:
            self.run.say(left_out_text(tally.left_out) if tally.left_out else "nothing was left out in the end")
        self._conclude(tally, moved="moved")
        return self.run.exit_code(partly=bool(judges.bad) or tally.fates[Fate.FAILED] > 0)

    def _conclude(self, tally: Tally, *, moved: str) -> None:
        from imgctl.cli.transition_words import left_out_record, summary_text
        from imgctl.ops.transition.order import Fate

        self.session.text(summary_text(tally.fates, tally.size, to=self.order.policy.to, moved=moved))
        fates = {fate: tally.fates[fate] for fate in Fate}
        self.session.summary(fates, bytes=tally.size, reasons=left_out_record(tally.left_out))

    def _hand_over(self, found: "Survey") -> None:
        """Leave the moves to a rule of the bucket, or to a job of S3 Batch Operations."""
        if self.asked.via is Via.LIFECYCLE:
            self._write_rule()
        elif self._acts and found.objects:
            self._give_job()

    def _write_rule(self) -> None:
        """Show the rule as a diff, and write it where that was agreed to."""
        from imgctl.ops.transition.hand_over import rule_of
        from imgctl.store.aws.lifecycle import put

        settings = self.session.settings
        if not settings.store.url.startswith("s3://"):
            raise UsageError("a directory has no lifecycle rules", hint="leave --via out")
        plan = rule_of(settings, self.order, older_than_seconds=self.asked.older_than or 0.0)
        self.session.note(_NOT_CHECKED)
        for line in (plan.diff or "the bucket has this rule already").splitlines():
            self.session.text(line)
        if self._acts:
            put(settings.store, plan)
        self.session.data({"type": "lifecycle", "diff": plan.diff, "written": self._acts and bool(plan.diff)})

    def _give_job(self) -> None:
        from imgctl.ops.transition.hand_over import by_batch
        from imgctl.pricing.estimate import Billing

        # Before any row promises what nobody will do.
        if self.who.bill is not Billing.AWS:
            raise UsageError("S3 Batch Operations are AWS's own", hint="leave --via out")
        role = self.asked.role_arn or ""
        with self._judges() as judges:
            job = by_batch(judges, self.order, parts=self.parts, role_arn=role, stop=self.run.stop)
        self.session.note(
            f"job {job.job_id} moves {count_of(job.originals, 'original')} once it is confirmed: "
            "aws s3control update-job-status; a day from now `imgctl transition` confirms the rows"
        )
        about = {"job_id": job.job_id, "manifest_key": job.manifest_key, "originals": job.originals}
        self.session.data({"type": "job", **about})

    def _check_agreed(self, found: "Survey", usd: Decimal) -> None:
        from imgctl.ops.spend import agree

        if found.is_idle and self.asked.via is not Via.LIFECYCLE:
            return
        to, looks = self.order.policy.to, self.asked.dry_run or self.asked.plan is not None
        rule = self.asked.via is Via.LIFECYCLE
        what = f"a rule to {to}" if rule else f"moving {count_of(found.objects, 'original')} to {to}"
        agree(what, usd, self.who, yes=self.asked.yes, dry_run=looks)

    @contextmanager
    def _judges(self) -> "Iterator[Judges]":
        from imgctl.ops.transition.survey import judges

        with judges(self.order, parts=self.parts, cold=self.cold, stop=self.run.stop) as looking:
            yield looking


def _foreseen(found: "Survey") -> Tally:
    """A survey as the tally of a run that moved nothing."""
    from imgctl.ops.transition.order import Fate

    fates = Counter({Fate.PLANNED: found.objects, Fate.RECORDED: found.recorded})
    fates[Fate.LEFT_OUT] = sum(one.objects for one in found.left_out.values()) - found.recorded
    return Tally(fates=fates, left_out=found.left_out, size=found.size)
