"""The run of `imgctl transition`: survey, say, then plan, act, or hand over."""

from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from imgctl.cli.base import Session
from imgctl.cli.running import Running
from imgctl.cli.transition_words import (
    estimate_record,
    left_out_record,
    left_out_text,
    record,
    summary_text,
    survey_text,
)
from imgctl.errors import ExitCode, UsageError
from imgctl.ops.parts import Parts
from imgctl.ops.plan.file import PlanWriter
from imgctl.ops.transition.act import transition
from imgctl.ops.transition.look import Judges, judges
from imgctl.ops.transition.order import Fate, Outcome, Reason, TransitionOrder
from imgctl.ops.transition.planned import DO, action_of
from imgctl.ops.transition.survey import Survey, bill_of, survey
from imgctl.pricing.costs import Sized
from imgctl.pricing.estimate import Billing, billing
from imgctl.store.blobs.base import BlobStore
from imgctl.units import count_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How to go about it: who moves, whether at all, or only into a plan."""

    via: str = "copy"
    yes: bool = False
    dry_run: bool = False
    plan: Path | None = None
    role_arn: str | None = None
    older_than: float | None = None

    @property
    def acts(self) -> bool:
        """Whether anything is to be changed."""
        return self.yes and not self.dry_run

    def check(self, *, scoped: bool) -> None:
        """UsageError for what does not fit together."""
        if self.plan and (self.yes or self.dry_run):
            raise UsageError(
                "--plan writes what --yes would do", hint="take --plan alone, then imgctl apply FILE --yes"
            )
        if self.via == "batch" and not self.role_arn:
            raise UsageError("--via batch needs --role-arn", hint="the role that S3 Batch Operations takes to copy")
        if self.via != "batch" and self.role_arn:
            raise UsageError("--role-arn belongs to --via batch", hint="leave it out, or add --via batch")
        if self.via != "copy" and self.plan:
            raise UsageError("--plan is for --via copy", hint="leave one of them out")
        if self.via == "lifecycle" and (scoped or self.older_than is None):
            raise UsageError("a lifecycle rule chooses by age and size only", hint="--older-than 90d, and --min-size")


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the originals; `size` is the bytes of those that moved, or would."""

    fates: Counter[Fate] = field(default_factory=Counter)
    left_out: dict[Reason, Sized] = field(default_factory=dict)
    size: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one."""
        size = outcome.image.bytes or 0
        self.fates[outcome.fate] += 1
        self.size += size if outcome.fate is Fate.MOVED else 0
        if outcome.fate is Fate.LEFT_OUT and outcome.reason is not None:
            before = self.left_out.get(outcome.reason, Sized(objects=0, size=0))
            self.left_out[outcome.reason] = Sized(objects=before.objects + 1, size=before.size + size)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionJob:
    """One run of `imgctl transition`: what it works on, for whom, and by which order."""

    session: Session
    run: Running
    parts: Parts
    cold: BlobStore
    order: TransitionOrder
    way: Way

    def go(self) -> ExitCode:
        """Survey, say what was found, and do what was asked."""
        found, bad = self._survey()
        bill, who = bill_of(found, self.order), self._billing
        self.session.data({"type": "estimate", **estimate_record(found, bill, who)})
        for line in survey_text(found, self.order, who, bill, acts=self.way.acts):
            self.run.say(line)
        if self.run.stop.is_set():
            self.run.say("stopped before everything was looked at: nothing was done", always=True)
        elif self.way.via != "copy":
            return self._hand_over(found)
        elif self.way.acts and (self.session.json or not found.is_idle):
            return self._act(found)
        self._conclude(_foreseen(found), moved="moved" if self.way.acts else "would move")
        self._check_agreed(found)
        return self.run.exit_code(partly=bad)

    def _survey(self) -> tuple[Survey, bool]:
        """Look at every row, write the plan where one is wanted; whether an ids file named what is not there."""
        found, way = Survey(), self.way
        with self._looking() as looking, PlanWriter(way.plan, command=DO) if way.plan else nullcontext() as plan:
            for verdict, outcome in survey(looking, self.order, self.cold, found):
                if not way.acts:
                    self.session.data(record(outcome))
                if plan is not None and verdict.refusal is None:
                    deletes = self.order.delete_noncurrent
                    plan.add(action_of(verdict, to=self.order.policy.to, delete_noncurrent=deletes))
            if plan is not None:
                self._conclude_plan(plan, found)
        for one in looking.bad:
            self.run.say(f"{one.where}: {one.detail}", always=True)
        return found, bool(looking.bad)

    def _conclude_plan(self, plan: PlanWriter, found: Survey) -> None:
        if self.run.stop.is_set():
            plan.abandon()
            return
        bill = bill_of(found, self.order)
        plan.conclude({"bytes": found.size, "estimate": bill.estimate.record(self._billing)})
        self.run.say(
            f"{count_of(plan.actions, 'action')} in {self.way.plan}; imgctl apply {self.way.plan} --yes does them"
        )

    def _act(self, found: Survey) -> ExitCode:
        """Judge every row again, and move what passes."""
        tally = Tally()
        with self._looking() as looking:
            for outcome in transition(looking, self.order, parts=self.parts, cold=self.cold, stop=self.run.stop):
                tally.add(outcome)
                failed = outcome.fate is Fate.FAILED
                self.run.step(failed=failed, size=(outcome.image.bytes or 0) if outcome.fate is Fate.MOVED else 0)
                self.session.data(record(outcome))
                if failed:
                    self.run.say(f"failed {outcome.image.original_key}: {outcome.detail}", always=True)
        if tally.left_out != found.left_out:
            self.run.say(left_out_text(tally.left_out) if tally.left_out else "nothing was left out in the end")
        self._conclude(tally, moved="moved")
        return self.run.exit_code(partly=bool(looking.bad) or tally.fates[Fate.FAILED] > 0)

    def _conclude(self, tally: Tally, *, moved: str = "would move") -> None:
        self.session.text(summary_text(tally.fates, tally.size, to=self.order.policy.to, moved=moved))
        fates = {fate.value: tally.fates[fate] for fate in Fate}
        left_out = left_out_record(tally.left_out)
        self.session.data({"type": "summary", **fates, "bytes": tally.size, "reasons": left_out})

    def _hand_over(self, found: Survey) -> ExitCode:
        """Leave the moves to a rule or a job; both show what they would do before."""
        from imgctl.cli.transition_hand_over import give_job, write_rule

        if self.way.via == "lifecycle":
            write_rule(self.session, self.order, older_than=self.way.older_than or 0.0, acts=self.way.acts)
        elif self.way.acts and found.objects:
            with self._looking() as looking:
                give_job(
                    self.session,
                    looking,
                    self.order,
                    parts=self.parts,
                    role_arn=self.way.role_arn or "",
                    stop=self.run.stop,
                )
        self._conclude(_foreseen(found), moved="will move" if self.way.acts else "would move")
        self._check_agreed(found)
        return self.run.exit_code(partly=False)

    def _check_agreed(self, found: Survey) -> None:
        way = self.way
        if way.dry_run or way.plan or way.yes or self.run.stop.is_set():
            return
        if found.is_idle and way.via != "lifecycle":
            return
        to = self.order.policy.to
        what = f"a rule to {to}" if way.via == "lifecycle" else f"moving {count_of(found.objects, 'original')} to {to}"
        raise UsageError(f"{what} was not agreed to", hint="add --yes, or --dry-run to see each")

    @property
    def _billing(self) -> Billing:
        return billing(self.session.settings.store.url, self.session.endpoint_url)

    def _looking(self) -> AbstractContextManager[Judges]:
        return judges(self.order, parts=self.parts, cold=self.cold, stop=self.run.stop)


def _foreseen(found: Survey) -> Tally:
    """A survey as the tally of a run that moved nothing."""
    fates = Counter({Fate.PLANNED: found.objects, Fate.RECORDED: found.recorded})
    fates[Fate.LEFT_OUT] = sum(one.objects for one in found.left_out.values()) - found.recorded
    return Tally(fates=fates, left_out=found.left_out, size=found.size)
