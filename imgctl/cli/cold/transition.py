"""`imgctl transition`: originals to a colder storage class."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import click

from imgctl.cli.base import Running, Session, running, subcommand
from imgctl.cli.options import flag, option, order_of, required
from imgctl.cli.rows import ScopeOptions
from imgctl.cli.types import SIZE
from imgctl.errors import ExitCode, UsageError
from imgctl.ops.parts import open_parts
from imgctl.ops.spend import terms
from imgctl.ops.tally import Tally, Totals
from imgctl.ops.transition.eligibility import TARGETS, target_of
from imgctl.ops.transition.job import TransitionJob, Via
from imgctl.ops.transition.order import Fate, Outcome, Policy, TransitionOrder, older
from imgctl.ops.transition.survey import Bill
from imgctl.pricing.estimate import Billing
from imgctl.pricing.lines import dollars
from imgctl.units import DAY_SECONDS, count_of, counts_of, format_bytes

_NOT_CHECKED = (
    "a lifecycle rule does not look at variants: it also moves originals whose variants are missing, about a day after "
    "they are old enough; rows learn of it when `imgctl transition` runs again"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(ScopeOptions):
    to: str = required(
        str, "The class to move to; see above.", kind=click.Choice(TARGETS, case_sensitive=False), metavar="CLASS"
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
    changes=lambda asked: not (asked.dry_run or asked.plan),
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
    """Move originals of finished images to a colder storage class, where that pays.

    Only originals of ready rows whose variants all lie in the store are moved. Says first what would move, what that
    costs once and saves each month, and what is left out and why; where the store bills it, acts with --yes. A run that
    was stopped or killed is finished by the same command. Moved originals are read again after `imgctl restore`.

    \b
    s3://, file://   STANDARD_IA, GLACIER_IR, GLACIER, DEEP_ARCHIVE
    gs://            NEARLINE, COLDLINE, ARCHIVE, all read at once
    az://            COOL, COLD, ARCHIVE (read after a restore)

    \b
    --via copy       this machine asks for a copy in place, one original at a time
    --via lifecycle  the bucket gets a rule, which checks no variants; the next `transition` updates the rows.
                     az:// prints the account's policy, for its owner to set
    --via batch      S3 Batch Operations gets a job; `transition` a day later confirms the rows
    """
    asked.check()
    settings, at = session.settings, datetime.now(UTC)
    who = terms(settings, endpoint_url=session.endpoint_url)
    stay_days = max(1, round(asked.stay / DAY_SECONDS))
    policy = Policy(
        to=target_of(asked.to, settings.store.url), card=who.card, at=at, stay_days=stay_days, min_size=asked.min_size
    )
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
            concurrency=parts.requests,
            lease_seconds=settings.work.lease,
        )
        job = order_of(TransitionJob, asked, parts=parts, order=order, who=who, stop=run.stop)
        return _run(run, job, asked)


def _run(run: Running, job: TransitionJob, asked: Asked) -> ExitCode:
    """Survey, say what was found, and do what was asked."""
    session, found = run.session, job.found
    for outcome in job.survey():
        if not job.acts:
            session.data(_record(outcome))
    stopped = run.stop.is_set()
    if asked.plan and not stopped:
        actions = count_of(found.objects, "action")
        run.say(f"{actions} in {asked.plan}; to do them: imgctl apply {asked.plan} --yes")
    run.say_bad(job.bad)
    bill = job.bill
    session.data({"type": "estimate", **_estimate(job, bill)})
    for line in _survey_text(job, bill):
        run.say(line)
    if stopped:
        run.say("stopped before everything was looked at: nothing was done", always=True)
    elif job.via is Via.LIFECYCLE:
        _rule(session, job, asked.older_than or 0.0)
    elif job.via is Via.BATCH:
        _batch(session, job, asked.role_arn or "")
    elif job.acts and (session.json or not found.is_idle):
        return _move(run, job)
    moved = "would move" if stopped or not job.acts else "moved" if job.via is Via.COPY else "will move"
    _conclude(session, found.tally, to=asked.to, moved=moved)
    if not stopped:
        job.check_agreed()
    return run.exit_code(partly=bool(job.bad) and job.via is Via.COPY)


def _move(run: Running, job: TransitionJob) -> ExitCode:
    tally = Tally(Fate)
    for outcome in job.move():
        size, failed, moved = outcome.image.bytes or 0, outcome.fate is Fate.FAILED, outcome.fate is Fate.MOVED
        tally.count(outcome.fate, size=size, reason=outcome.reason if outcome.fate is Fate.LEFT_OUT else None)
        told = failed or (moved and outcome.detail)
        line = f"{outcome.fate} {outcome.image.original_key}: {outcome.detail}" if told else ""
        run.item(_record(outcome), failed=failed, size=size if moved else 0, line=line)
    if tally.reasons != job.found.tally.reasons:
        run.say(_left_out(tally.reasons) if tally.reasons else "nothing was left out in the end")
    _conclude(run.session, tally, to=job.order.policy.to, moved="moved")
    return run.exit_code(partly=bool(job.bad) or tally.fates[Fate.FAILED] > 0)


def _rule(session: Session, job: TransitionJob, older_than: float) -> None:
    plan = job.rule(older_than_seconds=older_than)
    for line in (_NOT_CHECKED, *plan.notes):
        session.note(line)
    for line in (plan.by_hand or plan.diff or "the bucket has this rule already").splitlines():
        session.text(line)
    written = job.acts and bool(plan.diff)
    session.data({"type": "lifecycle", "diff": plan.diff, "policy": plan.by_hand or None, "written": written})


def _batch(session: Session, job: TransitionJob, role_arn: str) -> None:
    if not (job.acts and job.found.objects):
        return
    made = job.batch(role_arn=role_arn)
    session.note(
        f"job {made.job_id} moves {count_of(made.originals, 'original')} once it is confirmed: "
        "aws s3control update-job-status; a day from now `imgctl transition` confirms the rows"
    )
    about = {"job_id": made.job_id, "manifest_key": made.manifest_key, "originals": made.originals}
    session.data({"type": "job", **about})


def _record(outcome: Outcome) -> dict[str, object]:
    image = outcome.image
    about = {"type": "image", "id": image.id, "original_key": image.original_key, "bytes": image.bytes}
    why = {"fate": outcome.fate, "reason": outcome.reason, "detail": outcome.detail}
    return {**about, "storage_class": outcome.storage_class or "STANDARD", **why}


def _estimate(job: TransitionJob, bill: Bill) -> dict[str, object]:
    found = job.found
    return {
        "originals": found.objects,
        "bytes": found.size,
        **bill.estimate.record(job.who.bill),
        "saving_per_month": bill.saving,
        "payback_months": None if bill.payback is None else bill.payback.quantize(Decimal("0.01")),
        "old_versions_per_month": bill.old_versions,
        "keeps_versions": found.keeps_versions,
        "recorded": found.tally.fates[Fate.RECORDED],
        "left_out": _reasons(found.tally),
    }


def _reasons(tally: Tally[Fate]) -> dict[str, object]:
    return {reason: {"originals": one.objects, "bytes": one.size} for reason, one in tally.reasons.items()}


def _survey_text(job: TransitionJob, bill: Bill) -> Iterator[str]:
    found, billing = job.found, job.who.bill
    moves = f"{'to move' if job.acts else 'would move'} to {job.order.policy.to}"
    yield f"{count_of(found.objects, 'original')}, {format_bytes(found.size)}, {moves}"
    if found.objects:
        yield bill.estimate.text(billing)
        if billing is not Billing.NONE:
            yield _saving(bill)
    if found.keeps_versions and not job.order.delete_noncurrent and found.objects:
        yield (
            f"the bucket keeps versions: what is copied from stays, and stays billed, {dollars(bill.old_versions)} a "
            "month (--delete-noncurrent deletes each once its copy is verified)"
        )
    if found.keeps_versions is None:
        yield "whether the bucket keeps old versions, which stay billed, could not be seen"
    if recorded := found.tally.fates[Fate.RECORDED]:
        yield f"{count_of(recorded, 'row names', 'rows name')} another class than the store does"
    if found.tally.reasons:
        yield _left_out(found.tally.reasons)


def _left_out(reasons: Totals[str]) -> str:
    told = (f"{counts_of({reason: one.objects})} ({format_bytes(one.size)})" for reason, one in reasons.items())
    return f"left out {reasons.whole.objects:,}: {', '.join(told)}"


def _conclude(session: Session, tally: Tally[Fate], *, to: str, moved: str) -> None:
    """`3 originals moved to GLACIER (4.1 MiB), 1 left out`; `moved` is how it is said: `would move`, `will move`."""
    size = tally.bytes_of(Fate.MOVED, Fate.PLANNED)
    first = f"{count_of(tally.of(Fate.MOVED, Fate.PLANNED), 'original')} {moved} to {to} ({format_bytes(size)})"
    named = {} if moved == "moved" else {Fate.RECORDED: "would be recorded"}
    rest = {one: tally.fates[one] for one in (Fate.RECORDED, Fate.LEFT_OUT, Fate.FAILED)}
    told = ", ".join(filter(None, (first, counts_of(rest, named=named, none=""))))
    session.summary(tally.fates, told, bytes=size, reasons=_reasons(tally))


def _saving(bill: Bill) -> str:
    if bill.payback is None:
        return f"saves nothing: each month costs {dollars(-bill.saving)} more"
    return f"saves {dollars(bill.saving)} a month, paid back after {bill.payback:.1f} months"
