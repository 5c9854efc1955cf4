"""`imgctl transition --via lifecycle` and `--via batch`: what is shown of a rule and of a job."""

from imgctl.cli.base import Session
from imgctl.errors import UsageError
from imgctl.ops.parts import Parts
from imgctl.ops.retry import StopSignal
from imgctl.ops.transition.hand_over import by_batch, rule_of
from imgctl.ops.transition.look import Judges
from imgctl.ops.transition.order import TransitionOrder
from imgctl.pricing.estimate import Billing, billing
from imgctl.store.aws.lifecycle import put
from imgctl.units import count_of

_NO_GATE = (
    "a lifecycle rule knows no gate: it also moves originals whose variants are missing, about a day after they are old "
    "enough; rows learn of it when `imgctl transition` runs again"
)


def write_rule(session: Session, order: TransitionOrder, *, older_than: float, acts: bool) -> None:
    """Show the rule as a diff, and write it where that was agreed to."""
    if not session.settings.store.url.startswith("s3://"):
        raise UsageError("a directory has no lifecycle rules", hint="leave --via out")
    plan = rule_of(session.settings, order, older_than_seconds=older_than)
    session.note(_NO_GATE)
    for line in (plan.diff or "the bucket has this rule already").splitlines():
        session.text(line)
    if acts:
        put(session.settings.store, plan)
    session.data({"type": "lifecycle", "diff": plan.diff, "written": acts and bool(plan.diff)})


def give_job(
    session: Session, looking: Judges, order: TransitionOrder, *, parts: Parts, role_arn: str, stop: StopSignal
) -> None:
    """Create the job; UsageError where nobody runs such."""
    # Before any row promises what nobody will do.
    if billing(session.settings.store.url, session.endpoint_url) is not Billing.AWS:
        raise UsageError("S3 Batch Operations are AWS's own", hint="leave --via out")
    job = by_batch(looking, order, parts=parts, role_arn=role_arn, stop=stop)
    session.note(
        f"job {job.job_id} moves {count_of(job.originals, 'original')} once it is confirmed: aws s3control update-job-status; "
        "a day from now `imgctl transition` confirms the rows"
    )
    session.data({"type": "job", "job_id": job.job_id, "manifest_key": job.manifest_key, "originals": job.originals})
