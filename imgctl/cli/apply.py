"""`imgctl apply`: do what a plan says."""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import click

from imgctl.cli.base import Session, subcommand
from imgctl.cli.running import Running, running
from imgctl.cli.types import Seconds
from imgctl.errors import ExitCode, UsageError
from imgctl.ops.plan.perform import Applied, Fate
from imgctl.pricing.lines import Json
from imgctl.units import count_of, counts_of

REQUESTS = 16


@subcommand(
    examples="""
imgctl apply moves.jsonl --dry-run
imgctl apply moves.jsonl --yes
imgctl apply restores.jsonl --yes --rate 500 --json
""",
    flags={"concurrency": "upload.concurrency"},
)
@click.argument("plan", type=click.Path(path_type=Path, dir_okay=False), metavar="PLAN")
@click.option("--yes", is_flag=True, help="Do it, and spend what the plan's estimate says.")
@click.option("--dry-run", is_flag=True, help="Do nothing; say of each action whether it still could be done.")
@click.option("--rate", type=click.IntRange(min=1), metavar="N", help="Requests a second at most.")
@click.option("--concurrency", metavar="N", help="Requests in flight; 0: 16. [upload] concurrency")
@click.option("--max-duration", metavar="TIME", type=Seconds(), help="Stop cleanly after: 6h; the same goes on.")
def command(
    session: Session, *, plan: Path, yes: bool, dry_run: bool, rate: int | None, max_duration: float | None
) -> ExitCode:
    """Do exactly what PLAN says, a file that --plan of another command wrote.

    An action whose original or row is no longer as the plan saw it is refused and named; exit code 3 says that there
    were such. What was done before is skipped: the same plan may be applied again after an interruption.
    """
    from imgctl.ops.parts import open_parts
    from imgctl.ops.plan.apply import apply, check
    from imgctl.ops.plan.file import read_plan
    from imgctl.ops.plan.perform import Site

    read = read_plan(plan)
    check(read)
    _show_estimate(
        session,
        read.summary,
        f"{read.command} of {read.created_at:%Y-%m-%d %H:%M}Z, {count_of(read.actions, 'action')}",
    )
    if not (yes or dry_run):
        raise UsageError(f"{plan} was not agreed to", hint="add --yes, or --dry-run to look first")
    fates: Counter[Fate] = Counter()
    with open_parts(session.settings) as parts, running(session, unit="actions", max_seconds=max_duration) as run:
        site = Site(
            parts=parts,
            cold=parts.store,
            stop=run.stop,
            concurrency=session.settings.upload.concurrency or REQUESTS,
            rate=rate,
            dry_run=dry_run,
        )
        run.progress.expect(read.actions)
        for applied in apply(read, site):
            fates[applied.fate] += 1
            _show(session, run, applied)
        _conclude(session, fates, actions=read.actions)
        return run.exit_code(partly=fates[Fate.REFUSED] + fates[Fate.FAILED] > 0)


def _show_estimate(session: Session, summary: Mapping[str, Json], what: str) -> None:
    estimate = summary.get("estimate")
    if not isinstance(estimate, dict) or estimate.get("billing") == "none":
        session.note(f"plan: {what}")
        return
    from imgctl.pricing.lines import dollars

    one_off, monthly = (dollars(Decimal(str(estimate.get(name) or 0))) for name in ("one_off", "monthly"))
    told = f"one-off {one_off}, then {monthly} a month, as planned"
    session.note(f"plan: {what}: {told}")


def _show(session: Session, run: Running, applied: Applied) -> None:
    wrong = applied.fate in (Fate.REFUSED, Fate.FAILED)
    run.step(failed=wrong)
    action = applied.action
    session.data(
        {
            "type": "action",
            "do": action.do,
            "id": str(action.id),
            "key": action.key,
            "fate": applied.fate.value,
            "detail": applied.detail,
        }
    )
    if wrong:
        run.say(f"{applied.fate} {action.do} {action.key}: {applied.detail}", always=True)


def _conclude(session: Session, fates: Counter[Fate], *, actions: int) -> None:
    counts = {fate.value: fates[fate] for fate in Fate}
    session.text(counts_of(counts, named={"planned": "would be done"}, none="nothing to do"))
    session.data({"type": "summary", **counts, "actions": actions})
