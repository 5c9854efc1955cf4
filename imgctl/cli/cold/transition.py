"""`imgctl transition`: moves originals to a colder storage class."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import click

from imgctl.cli.common.options import ScopeOptions, flag, option, order_of, required
from imgctl.cli.common.session import Running, Session, running, subcommand
from imgctl.cli.common.types import SIZE
from imgctl.errors import ExitCode, UsageError
from imgctl.ops.common.open import open_parts
from imgctl.ops.common.retry import read
from imgctl.ops.common.tally import Tally, Totals
from imgctl.ops.transition.eligibility import TARGETS, target_of
from imgctl.ops.transition.job import TransitionJob, Via
from imgctl.ops.transition.options import Fate, Outcome, Policy, Reason, TransitionOrder, older
from imgctl.ops.transition.survey import Bill
from imgctl.pricing.estimate import Billing
from imgctl.pricing.lines import dollars
from imgctl.store.catalog.queries.lookups import clock
from imgctl.units import DAY_SECONDS, count_of, counts_of, format_bytes

_NOT_CHECKED = (
    "a lifecycle rule does not check variants: it also moves originals whose variants are missing, about a day after "
    "they are old enough; the next `imgctl transition` updates the rows"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(ScopeOptions):
    to: str = required(
        str, "The class to move to; see below.", kind=click.Choice(TARGETS, case_sensitive=False), metavar="CLASS"
    )
    older_than: float | None = option(None, "Only originals uploaded longer ago than this: 90d.")
    min_size: int | None = option(
        None, "Move all originals of at least this size, even if it saves nothing.", kind=SIZE
    )
    stay: float = option(
        365 * 86_400.0, "How long originals will stay in the class, to compute the saving.", text="365d"
    )
    yes: bool = flag("Move, and agree to the estimated cost.")
    dry_run: bool = flag("Move nothing; show the estimate, with --json also each original.")
    plan: Path | None = option(None, "Write the actions to FILE, for imgctl apply.")
    limit: int | None = option(None, "Move at most N originals.")
    rate: int | None = option(None, "Send at most N requests a second.")
    max_duration: float | None = option(None, "Stop cleanly after: 6h; the next run continues.")
    delete_noncurrent: bool = flag("Delete the old version of each original that was moved.")
    via: Via = option(Via.COPY, "How originals are moved; see above.")
    role_arn: str | None = option(None, "The role that S3 Batch Operations uses (--via batch).", metavar="ARN")

    def check(self) -> None:
        """Raise UsageError for options that exclude each other."""
        if self.older_than is None and not self.is_scoped:
            raise UsageError("no originals are chosen", hint="--older-than 90d, or --user, --since, --ids-from")
        if self.plan and (self.yes or self.dry_run):
            raise UsageError(
                "--plan excludes --yes and --dry-run", hint="use --plan alone, then imgctl apply FILE --yes"
            )
        if self.via is Via.BATCH and not self.role_arn:
            raise UsageError("--via batch needs --role-arn", hint="the role that S3 Batch Operations uses to copy")
        if self.via is not Via.BATCH and self.role_arn:
            raise UsageError("--role-arn belongs to --via batch", hint="leave it out, or add --via batch")
        if self.via is not Via.COPY and self.delete_noncurrent:
            raise UsageError("--delete-noncurrent works only with --via copy", hint="leave one of them out")
        if self.via is not Via.COPY and self.plan:
            raise UsageError("--plan works only with --via copy", hint="leave one of them out")
        if self.via is Via.LIFECYCLE and (self.is_scoped or self.limit or self.older_than is None):
            raise UsageError("a lifecycle rule chooses by age and size only", hint="--older-than 90d, and --min-size")


@subcommand(
    Args,
    changes=lambda args: not (args.dry_run or args.plan),
    examples="""
imgctl transition --older-than 90d --to GLACIER --dry-run
imgctl transition --older-than 90d --to DEEP_ARCHIVE --yes
imgctl transition --older-than 90d --to GLACIER --plan moves.jsonl
imgctl transition --older-than 90d --to GLACIER --via lifecycle --yes
""",
    main="--to --older-than --dry-run --yes --plan --user --max-duration",
    settings={"upload.concurrency": "Requests in flight; 0: 16.", "cost.card": ""},
)
def command(session: Session, args: Args) -> ExitCode:
    """Move originals of finished images to a colder storage class, if that saves money.

    Only originals of ready rows whose variants are all in the store are moved. Shows first how many would move, the
    one-off cost, the saving per month, and how many are left out and why; if the store bills the move, it needs --yes. The
    same command finishes a stopped or killed run. Originals in GLACIER, DEEP_ARCHIVE and Azure's ARCHIVE can be read only
    after `imgctl restore`.

    \b
    s3://, file://   STANDARD_IA, GLACIER_IR, GLACIER, DEEP_ARCHIVE
    gs://            NEARLINE, COLDLINE, ARCHIVE, all readable at once
    az://            COOL, COLD, ARCHIVE (readable after a restore)

    \b
    --via copy       this machine requests a copy in place for each original
    --via lifecycle  sets a rule on the bucket, which checks no variants; the next `transition` updates the rows.
                     az:// prints the account's policy, for its owner to set
    --via batch      creates a job of S3 Batch Operations; a `transition` a day later confirms the rows. Originals
                     above 5 GiB are left out and named, with exit code 3
    """
    args.check()
    settings = session.settings
    terms = session.terms
    target = target_of(args.to, settings.store.url)
    with (
        args.chosen() as chosen,
        open_parts(settings) as parts,
        running(session, unit="originals", max_seconds=args.max_duration) as run,
    ):
        at = read(parts.catalog, clock, stop=run.stop)
        stay_days = max(1, round(args.stay / DAY_SECONDS))
        policy = Policy(to=target, card=terms.card, at=at, stay_days=stay_days, min_size=args.min_size)
        order = order_of(
            TransitionOrder,
            args,
            policy=policy,
            chosen=older(chosen, args.older_than, at),
            concurrency=parts.requests,
            lease_seconds=settings.work.lease,
        )
        job = order_of(TransitionJob, args, parts=parts, order=order, terms=terms, stop=run.stop)
        return _run(run, job, args)


def _run(run: Running, job: TransitionJob, args: Args) -> ExitCode:
    """Survey the originals, print the estimate, and move them as the options say."""
    session, found = run.session, job.found
    _survey(run, job)
    stopped = run.stop.is_set()
    if args.plan and not stopped:
        actions = count_of(found.objects, "action")
        run.say(f"{actions} in {args.plan}; to run them: imgctl apply {args.plan} --yes")
    run.say_bad(job.bad)
    bill = job.bill
    session.data({"type": "estimate", **_estimate(job, bill)})
    for line in _survey_text(job, bill):
        run.say(line)
    if stopped:
        run.say("stopped before everything was checked: nothing was done", always=True)
    elif job.via is Via.LIFECYCLE:
        _rule(session, job, args.older_than or 0.0)
    elif job.via is Via.BATCH:
        _batch(session, job, args.role_arn or "")
    elif job.acts and (session.json or not found.is_idle):
        return _move(run, job)
    moved = "would move" if stopped or not job.acts else "moved" if job.via is Via.COPY else "will move"
    _conclude(session, found.tally, to=args.to, moved=moved)
    if not stopped:
        job.check_agreed()
    too_large = Reason.ABOVE_BATCH_SIZE in found.tally.reasons
    return run.exit_code(partly=too_large or (bool(job.bad) and job.via is Via.COPY))


def _survey(run: Running, job: TransitionJob) -> None:
    for outcome in job.survey():
        if not job.acts:
            run.session.data(_record(outcome))
        if outcome.reason is Reason.ABOVE_BATCH_SIZE:
            run.say(f"left out {outcome.image.original_key}: {outcome.detail}", always=True)


def _move(run: Running, job: TransitionJob) -> ExitCode:
    tally = Tally(Fate)
    for outcome in job.move():
        size, failed, moved = outcome.image.bytes or 0, outcome.fate is Fate.FAILED, outcome.fate is Fate.MOVED
        tally.count(outcome.fate, size=size, reason=outcome.reason if outcome.fate is Fate.LEFT_OUT else None)
        shown = failed or (moved and outcome.detail)
        line = f"{outcome.fate} {outcome.image.original_key}: {outcome.detail}" if shown else ""
        run.item(_record(outcome), failed=failed, size=size if moved else 0, line=line)
    if tally.reasons != job.found.tally.reasons:
        run.say(_left_out(tally.reasons) if tally.reasons else "nothing was left out")
    _conclude(run.session, tally, to=job.order.policy.to, moved="moved")
    return run.exit_code(partly=bool(job.bad) or tally.fates[Fate.FAILED] > 0)


def _rule(session: Session, job: TransitionJob, older_than: float) -> None:
    plan = job.rule(older_than_seconds=older_than)
    for line in (_NOT_CHECKED, *plan.notes):
        session.note(line)
    for line in (plan.by_hand or plan.diff or "the bucket has this rule already").splitlines():
        session.text(line)
    written = job.write_rule(plan)
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
        **bill.estimate.record(job.terms.bill),
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
    found, billing = job.found, job.terms.bill
    moves = f"{'to move' if job.acts else 'would move'} to {job.order.policy.to}"
    yield f"{count_of(found.objects, 'original')}, {format_bytes(found.size)}, {moves}"
    if found.objects:
        yield bill.estimate.text(billing)
        if billing is not Billing.NONE:
            yield _saving(bill)
    if bill.old_versions:
        yield (
            f"the bucket keeps versions: the old version of each original stays and costs {dollars(bill.old_versions)} a "
            "month in total (--delete-noncurrent deletes each once its copy is verified)"
        )
    if found.interrupted and job.order.delete_noncurrent:
        yield (
            f"{count_of(found.interrupted, 'original')} of interrupted runs: an old version with the same content is "
            "deleted, if there is one"
        )
    if found.keeps_versions is None and job.via is not Via.LIFECYCLE:
        yield "could not check whether the bucket keeps old versions, which would still be billed"
    if recorded := found.tally.fates[Fate.RECORDED]:
        yield f"{count_of(recorded, 'row names', 'rows name')} another class than the store does"
    if found.tally.reasons:
        yield _left_out(found.tally.reasons)


def _left_out(reasons: Totals[str]) -> str:
    sentence = (f"{counts_of({reason: one.objects})} ({format_bytes(one.size)})" for reason, one in reasons.items())
    return f"left out {reasons.whole.objects:,}: {', '.join(sentence)}"


def _conclude(session: Session, tally: Tally[Fate], *, to: str, moved: str) -> None:
    """Print `3 originals moved to GLACIER (4.1 MiB), 1 left out`; `moved` is the verb: `would move`, `will move`."""
    size = tally.bytes_of(Fate.MOVED, Fate.PLANNED)
    first = f"{count_of(tally.of(Fate.MOVED, Fate.PLANNED), 'original')} {moved} to {to} ({format_bytes(size)})"
    named = {} if moved == "moved" else {Fate.RECORDED: "would be recorded"}
    rest = {one: tally.fates[one] for one in (Fate.RECORDED, Fate.LEFT_OUT, Fate.FAILED)}
    sentence = ", ".join(filter(None, (first, counts_of(rest, named=named, none=""))))
    session.summary(tally.fates, sentence, bytes=size, reasons=_reasons(tally))


def _saving(bill: Bill) -> str:
    if bill.payback is None:
        return f"saves nothing: each month costs {dollars(-bill.saving)} more"
    return f"saves {dollars(bill.saving)} a month, paid back after {bill.payback:.1f} months"
