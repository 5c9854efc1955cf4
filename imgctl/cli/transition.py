"""`imgctl transition`: originals to a colder storage class."""

from datetime import datetime
from pathlib import Path
from uuid import UUID

import click

from imgctl.cli.base import Session, subcommand
from imgctl.cli.running import running
from imgctl.cli.scope import chosen, scope_options
from imgctl.cli.types import Seconds, Size
from imgctl.errors import ExitCode, UsageError
from imgctl.model import StorageClass

CLASSES = tuple(one.value for one in StorageClass if one is not StorageClass.STANDARD)
VIAS = ("copy", "lifecycle", "batch")


@subcommand(
    examples="""
imgctl transition --older-than 90d --to GLACIER --dry-run
imgctl transition --older-than 90d --to DEEP_ARCHIVE --yes
imgctl transition --older-than 30d --to GLACIER_IR --min-size 1MiB --rate 300 --yes --json
imgctl transition --user 0190b2b4-0000-7000-8000-000000000001 --to GLACIER --plan moves.jsonl
imgctl transition --older-than 90d --to GLACIER --via lifecycle --yes
""",
    flags={"concurrency": "upload.concurrency", "card": "cost.card"},
)
@click.option(
    "--to",
    type=click.Choice(CLASSES, case_sensitive=False),
    metavar="|".join(CLASSES),
    required=True,
    help="The class to move to.",
)
@click.option("--older-than", metavar="TIME", type=Seconds(), help="Only originals uploaded longer ago: 90d.")
@scope_options
@click.option("--min-size", metavar="SIZE", type=Size(), help="Move from this size on, whether it pays or not.")
@click.option("--stay", metavar="TIME", type=Seconds(), help="How long they will stay, for what pays.  [default: 365d]")
@click.option("--yes", is_flag=True, help="Move, and spend what the estimate says.")
@click.option("--dry-run", is_flag=True, help="Move nothing; show the estimate and each original.")
@click.option("--plan", type=click.Path(path_type=Path), metavar="FILE", help="Write what would be done to FILE.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Move at most so many.")
@click.option("--rate", type=click.IntRange(min=1), metavar="N", help="Requests a second at most.")
@click.option("--concurrency", metavar="N", help="Requests in flight; 0: 16. [upload] concurrency")
@click.option("--max-duration", metavar="TIME", type=Seconds(), help="Stop cleanly after: 6h; the next run goes on.")
@click.option("--delete-noncurrent", is_flag=True, help="Delete the old version of each original that was moved.")
@click.option("--via", type=click.Choice(VIAS), default="copy", show_default=True, help="Who moves; see above.")
@click.option("--role-arn", metavar="ARN", help="The role that S3 Batch Operations takes (--via batch).")
@click.option("--card", metavar="FILE", help="The price card. [cost] card")
def command(
    session: Session,
    *,
    to: str,
    older_than: float | None,
    user: UUID | None,
    since: datetime | None,
    until: datetime | None,
    ids_from: Path | None,
    min_size: int | None,
    stay: float | None,
    yes: bool,
    dry_run: bool,
    plan: Path | None,
    limit: int | None,
    rate: int | None,
    max_duration: float | None,
    delete_noncurrent: bool,
    via: str,
    role_arn: str | None,
) -> ExitCode:
    """Move originals to a colder storage class, those that nobody misses there and for which it pays.

    Only originals of ready rows whose variants all lie in the store are moved. Says first what would move, what that
    costs once and saves each month, and what is left out and why; acts with --yes. A run that was stopped or killed is
    finished by the same command. Moved originals are read again after `imgctl restore`.

    \b
    --via copy       this machine asks for a copy in place, one original at a time
    --via lifecycle  the bucket gets a rule, which knows no gate; the next `transition` tells the rows
    --via batch      S3 Batch Operations gets a job; `transition` a day later confirms the rows
    """
    from imgctl.cli.transition_job import TransitionJob, Way
    from imgctl.ops.parts import open_parts
    from imgctl.ops.transition.order import STAY_DAYS
    from imgctl.ops.transition.start import DAY_SECONDS, Request, order_of

    is_chosen = bool(user or since or until or ids_from)
    if older_than is None and not is_chosen:
        raise UsageError("nothing says which originals", hint="--older-than 90d, or --user, --since, --ids-from")
    way = Way(via=via, yes=yes, dry_run=dry_run, plan=plan, role_arn=role_arn, older_than=older_than)
    way.check(scoped=is_chosen or limit is not None)
    with (
        chosen(user=user, since=since, until=until, ids_from=ids_from) as choice,
        open_parts(session.settings) as parts,
        running(session, unit="originals", max_seconds=max_duration) as run,
    ):
        request = Request(
            to=StorageClass(to),
            chosen=choice,
            older_than_seconds=older_than,
            stay_seconds=float(STAY_DAYS * DAY_SECONDS) if stay is None else stay,
            min_size=min_size,
            limit=limit,
            rate=rate,
            delete_noncurrent=delete_noncurrent,
        )
        order, cold = order_of(session.settings, request), parts.store
        return TransitionJob(session=session, run=run, parts=parts, cold=cold, order=order, way=way).go()
