"""`imgctl apply`: runs the actions of a plan."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from imgctl.cli.common.options import Options, file_argument, flag, option
from imgctl.cli.common.session import Running, Session, running, subcommand
from imgctl.errors import ExitCode, UsageError
from imgctl.ops.apply import apply, check
from imgctl.ops.common.open import open_parts
from imgctl.ops.common.tally import Tally
from imgctl.ops.plan import Applied, Fate, Site, read_plan
from imgctl.pricing.estimate import Billing
from imgctl.pricing.lines import Json, dollars
from imgctl.units import count_of, counts_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(Options):
    plan: Path = file_argument("PLAN")
    yes: bool = flag(
        "Run the actions, and agree to the cost in the plan's estimate. Moves and restores in a directory run without."
    )
    dry_run: bool = flag("Do nothing; show the actions that are no longer possible, with --json all.")
    rate: int | None = option(None, "Send at most N requests a second; restores: restore requests, 500 by default.")
    max_duration: float | None = option(None, "Stop cleanly after: 6h; the same command continues.")


@subcommand(
    Args,
    changes=lambda args: not args.dry_run,
    examples="""
imgctl apply moves.jsonl --dry-run
imgctl apply moves.jsonl --yes
imgctl apply restores.jsonl --yes --rate 500 --json
""",
    settings={"upload.concurrency": "Requests in flight; 0: 16."},
)
def command(session: Session, args: Args) -> ExitCode:
    """Run exactly the actions in PLAN, a file that another command wrote with --plan.

    An action is refused and reported if its original or row changed after the plan was written; the exit code is then
    3. Actions that are already done are skipped: the same plan may be applied again after an interruption.
    """
    read = read_plan(args.plan)
    check(read)
    _show_estimate(
        session,
        read.summary,
        f"{read.command} of {read.created_at:%Y-%m-%d %H:%M}Z, {count_of(read.actions, 'action')}",
    )
    # The plan may be of another store, or edited.
    free = _is_free(read.summary) and session.terms.bill is Billing.NONE
    if not (args.yes or args.dry_run or free):
        raise UsageError(f"{args.plan} needs --yes", hint="add --yes, or check first with --dry-run")
    tally = Tally(Fate)
    with open_parts(session.settings) as parts, running(session, unit="actions", max_seconds=args.max_duration) as run:
        site = Site(
            parts=parts,
            stop=run.stop,
            concurrency=parts.requests,
            rate=args.rate,
            dry_run=args.dry_run,
        )
        run.progress.expect(read.actions)
        for applied in apply(read, site):
            tally.count(applied.fate)
            _show(run, applied)
        sentence = counts_of(tally.fates, named={Fate.PLANNED: "would be done"}, none="nothing to do")
        session.summary(tally.fates, sentence, actions=read.actions)
        return run.exit_code(partly=tally.of(Fate.REFUSED, Fate.FAILED) > 0)


def _show_estimate(session: Session, summary: Mapping[str, Json], what: str) -> None:
    estimate = summary.get("estimate")
    if not isinstance(estimate, dict) or _is_free(summary):
        session.note(f"plan: {what}")
        return
    one_off, monthly = (dollars(Decimal(str(estimate.get(name) or 0))) for name in ("one_off", "monthly"))
    session.note(f"plan: {what}: one-off {one_off}, then {monthly} a month, as planned")


def _is_free(summary: Mapping[str, Json]) -> bool:
    """Whether the plan's own estimate is free."""
    estimate = summary.get("estimate")
    return isinstance(estimate, dict) and estimate.get("billing") == "none"


def _show(run: Running, applied: Applied) -> None:
    action, wrong = applied.action, applied.fate in (Fate.REFUSED, Fate.FAILED)
    about = {"do": action.do, "id": action.id, "key": action.key, "fate": applied.fate, "detail": applied.detail}
    line = f"{applied.fate} {action.do} {action.key}: {applied.detail}" if wrong else ""
    run.item({"type": "action", **about}, failed=wrong, line=line)
