"""`imgctl restore`: archived originals brought back."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import click

from imgctl.cli.base import Session, subcommand
from imgctl.cli.cost_types import Amount
from imgctl.cli.running import running
from imgctl.cli.scope import chosen, scope_options
from imgctl.cli.types import Seconds
from imgctl.errors import ExitCode, UsageError

TIERS = ("bulk", "standard", "expedited")


@subcommand(
    examples="""
imgctl restore 0190b2b4-0000-7000-8000-000000000001 --tier standard --yes
imgctl restore --user 0190b2b4-0000-7000-8000-000000000001 --dry-run
imgctl restore --since 2026-01-01 --until 2026-02-01 --days 14 --max-usd 20 --wait
imgctl restore --ids-from wanted.txt --permanent --yes
imgctl restore --since 30d --status --json
""",
    flags={"concurrency": "upload.concurrency"},
)
@click.argument("images", metavar="[ID|KEY|URL]...", nargs=-1)
@scope_options
@click.option("--tier", type=click.Choice(TIERS), default="bulk", show_default=True, help="How fast, and how dear.")
@click.option("--days", type=click.IntRange(1, 3650), default=7, show_default=True, help="How long it stays readable.")
@click.option("--max-usd", type=Amount(), metavar="N", help="Spend that much at most; agrees to it without --yes.")
@click.option("--yes", is_flag=True, help="Spend what the estimate says.")
@click.option("--permanent", is_flag=True, help="Move back to STANDARD what is restored.")
@click.option("--wait", is_flag=True, help="Look again until nothing is restoring any more.")
@click.option("--status", is_flag=True, help="Only show what is archived, restoring, restored; note it in the rows.")
@click.option("--plan", type=click.Path(path_type=Path), metavar="FILE", help="Write what would be done to FILE.")
@click.option("--dry-run", is_flag=True, help="Ask for nothing; show the estimate and each original.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many originals that cost something.")
@click.option("--max-duration", metavar="TIME", type=Seconds(), help="Stop cleanly after: 6h; the next run goes on.")
@click.option("--concurrency", metavar="N", help="Requests in flight; 0: 16. [upload] concurrency")
@click.option("--rate", type=click.IntRange(1, 1000), default=500, show_default=True, help="Restores asked a second.")
def command(
    session: Session,
    *,
    images: tuple[str, ...],
    user: UUID | None,
    since: datetime | None,
    until: datetime | None,
    ids_from: Path | None,
    tier: str,
    days: int,
    max_usd: Decimal | None,
    yes: bool,
    permanent: bool,
    wait: bool,
    status: bool,
    plan: Path | None,
    dry_run: bool,
    limit: int | None,
    max_duration: float | None,
    rate: int,
) -> ExitCode:
    """Make archived originals readable again, for some days or for good.

    Says first what it would cost, and acts with --yes or within --max-usd. What is restoring, or restored for --days or
    longer, is not asked for again; what is restored for less is kept longer, which costs no retrieval. Expedited takes
    minutes, standard 3 to 12 hours, bulk 5 to 48. --permanent moves back to STANDARD what is restored by now; with
    --wait all of it.
    """
    from imgctl.cli.restore_job import RestoreJob
    from imgctl.ops.parts import open_parts
    from imgctl.ops.restore.start import Request, order_of, terms, wanted_of
    from imgctl.store.blobs.base import Tier

    _check(images, (user, since, until), ids_from, status=status, acting=(wait or permanent), plan=plan)
    asked = Request(
        tier=Tier(tier.upper()),
        days=days,
        permanent=permanent,
        max_usd=max_usd,
        limit=limit,
        rate=rate,
        dry_run=dry_run or plan is not None,
    )
    with (
        chosen(user=user, since=since, until=until, ids_from=ids_from) as which,
        open_parts(session.settings) as parts,
        running(session, unit="originals", max_seconds=max_duration) as run,
    ):
        found = terms(session.settings, endpoint_url=session.endpoint_url)
        job = RestoreJob(
            session=session,
            run=run,
            parts=parts,
            cold=parts.store,
            wanted=wanted_of(parts.catalog, images, which),
            order=order_of(asked, session.settings, found),
            terms=found,
        )
        return job.status() if status else job.restore(agreed=yes, max_usd=max_usd, waits=wait, plan=plan)


def _check(
    images: tuple[str, ...],
    scope: tuple[object, ...],
    ids_from: Path | None,
    *,
    status: bool,
    acting: bool,
    plan: Path | None,
) -> None:
    if images and (ids_from or any(scope)):
        raise UsageError("images are named, and chosen by options too", hint="one or the other")
    if status and (acting or plan):
        raise UsageError("--status only looks", hint="leave out --wait, --permanent and --plan")
    if not status and not images and not ids_from and not any(scope):
        hint = "name images, or choose by --user, --since, --until or --ids-from; --status shows all"
        raise UsageError("nothing says which originals to restore", hint=hint)
