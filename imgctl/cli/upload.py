"""`imgctl upload`: directories to the store, rows to the catalog."""

import sys
from datetime import datetime
from pathlib import Path
from typing import TypedDict, Unpack
from uuid import UUID

import click

from imgctl.cli.base import Json, Session, subcommand
from imgctl.cli.running import Running, running
from imgctl.cli.types import Formats, Moment, Seconds, Size, UserId
from imgctl.errors import ExitCode
from imgctl.imaging.formats import Format
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason, Reports, Tally, record, unlikely_dates
from imgctl.ops.upload.order import STDIN, Selection, UploadedAt, UploadOrder
from imgctl.store.blobs.traits import Kept, warning
from imgctl.units import count_of, counts_of, format_bytes


class Chosen(TypedDict):
    """The options that choose files, named as the fields of Selection."""

    paths: tuple[str, ...]
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    min_size: int | None
    max_size: int | None
    since: datetime | None
    until: datetime | None
    files_from: str | None
    manifest: str | None
    follow_links: bool
    junk_filter: bool
    user_id: UUID | None
    user_from: str | None


# Left out because the user said so, or no photo of anybody's: counted and reported, named on the screen with -v only.
EXPECTED = frozenset(
    (
        Reason.FILTERED,
        Reason.TOO_SMALL,
        Reason.TOO_LARGE,
        Reason.OUTSIDE_DATES,
        Reason.JUNK,
        Reason.SIDECAR,
        Reason.LEFT_OUT,
        Reason.NOT_TRIED,
    )
)
FLAGS = {
    "concurrency": "upload.concurrency",
    "memory": "upload.memory",
    "bwlimit": "upload.bwlimit",
    "journal": "upload.journal",
}


@subcommand(
    examples="""
imgctl upload ~/Pictures --user 0190b2b4-0000-7000-8000-000000000001
imgctl upload /mnt/nas --user-from '{user}/**' --exclude '*.gif' --report nas.csv --failed-out again.txt
imgctl upload --files-from again.txt --user 0190b2b4-0000-7000-8000-000000000001
imgctl upload --manifest album.csv --uploaded-at taken --dry-run
imgctl upload /mnt/nas --user 0190b2b4-0000-7000-8000-000000000001 --bwlimit 50MiB --max-duration 6h
""",
    flags=FLAGS,
)
@click.argument("paths", nargs=-1, type=click.Path(path_type=str), metavar="[PATH]...")
@click.option("--user", "user_id", type=UserId(), help="Whose images these are.")
@click.option("--user-from", metavar="PATTERN", help="Take the user from the path: '{user}/**'.")
@click.option("--manifest", metavar="FILE", help="CSV or JSONL: path, user_id, caption, uploaded_at.")
@click.option("--files-from", metavar="FILE", help="Take paths from a list, a line each; - is stdin.")
@click.option("--include", metavar="GLOB", multiple=True, help="Only files that match; repeatable.")
@click.option("--exclude", metavar="GLOB", multiple=True, help="Not what matches; wins over --include.")
@click.option("--min-size", metavar="SIZE", type=Size(), help="No smaller files: 10KiB.")
@click.option("--max-size", metavar="SIZE", type=Size(), help="No larger files: 2GiB.")
@click.option("--since", metavar="TIME", type=Moment(), help="Modified at or after: 24h (ago), 2026-11-22.")
@click.option("--until", metavar="TIME", type=Moment(), help="Modified before.")
@click.option(
    "--leave-out", metavar="FORMAT,…", type=Formats(), default=frozenset(), help="Not these formats: raw,video,psd."
)
@click.option("--follow-links", is_flag=True, help="Follow symbolic links; loops are found.")
@click.option("--junk-filter/--no-junk-filter", default=True, help="Leave out hidden and system files (default).")
@click.option(
    "--uploaded-at", type=click.Choice([one.value for one in UploadedAt]), default="now", help="The image's date."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Upload at most so many.")
@click.option("--max-duration", metavar="TIME", type=Seconds(), help="Stop cleanly after: 6h; the next run goes on.")
@click.option("--bwlimit", metavar="SIZE", help="Bytes put a second. [upload] bwlimit")
@click.option("--concurrency", metavar="N", help="Puts in flight; 0: found out. [upload] concurrency")
@click.option("--memory", metavar="SIZE", help="Bytes of photos held at once. [upload] memory")
@click.option("--journal", metavar="FILE", help="What was uploaded before; none: no journal. [upload] journal")
@click.option("--report", metavar="FILE", type=Path, help="A line for each file, CSV or JSONL by its ending.")
@click.option("--failed-out", metavar="FILE", type=Path, help="The files that failed, for --files-from.")
@click.option("--dry-run", is_flag=True, help="Say what would be put and cost; upload nothing.")
def command(
    session: Session,
    *,
    uploaded_at: str,
    limit: int | None,
    max_duration: float | None,
    report: Path | None,
    failed_out: Path | None,
    dry_run: bool,
    leave_out: frozenset[Format],
    **chosen: Unpack[Chosen],
) -> ExitCode:
    """Upload every image at or below PATH: the original to the store, a row to the catalog.

    What the user already has (by content) is not put again, so the same command after a kill finishes the work, and a
    journal on this machine makes a repeated run cost no more than a walk. Files are recognised by content;
    what is no image is named and skipped. A picture, camera raw or film of a format that is not taken fails, and the
    run exits 3, unless --leave-out names its format. Variants are built by `imgctl work`.
    """
    from imgctl.ops.upload.start import journal_file, uploading
    from imgctl.store.blobs.open import open_store

    settings, selection, tally = session.settings, Selection(**chosen), Tally()
    store = open_store(settings.store)
    order = UploadOrder(limit=limit, uploaded_at=UploadedAt(uploaded_at), dry_run=dry_run, leave_out=leave_out)
    journal = journal_file(settings.upload.journal)
    with running(session, unit="files", max_seconds=max_duration) as run:
        try:
            with (
                uploading(
                    settings, selection, order, store=store, journal=journal, stop=run.stop, tell=run.say
                ) as outcomes,
                Reports(report, failed_out, inputs=_lists(selection)) as reports,
            ):
                for outcome in outcomes:
                    tally.add(outcome)
                    reports.add(outcome)
                    _show(session, run, outcome)
        finally:
            # To people, a run that could not begin says why and nothing else.
            if tally.fates or session.json or sys.exception() is None:
                _conclude(session, tally, put_if_absent=store.put_if_absent, dry_run=dry_run)
        return run.exit_code(partly=tally.fates[Fate.FAILED] > 0)


def _lists(selection: Selection) -> list[Path]:
    return [Path(name) for name in (selection.files_from, selection.manifest) if name not in (None, STDIN)]


def _show(session: Session, run: Running, outcome: FileOutcome) -> None:
    """A record for programs; a line for people where something was left out that they did not ask to leave out."""
    failed = outcome.fate is Fate.FAILED
    run.step(failed=failed, size=outcome.bytes or 0)
    if session.json:
        session.data({"type": "file", **record(outcome)})
    expected = outcome.reason in EXPECTED and session.verbosity < 1
    if (failed or outcome.fate is Fate.SKIPPED) and not expected:
        run.say(f"{outcome.fate} {outcome.path}: {outcome.detail}", always=failed)


def _conclude(session: Session, tally: Tally, *, put_if_absent: Kept | None, dry_run: bool) -> None:
    summary: dict[str, Json] = {fate.value: tally.fates[fate] for fate in Fate}
    summary |= {
        "files": tally.fates.total(),
        "reasons": {reason.value: count for reason, count in sorted(tally.reasons.items())},
        "bytes_uploaded": tally.bytes_uploaded,
        "dates_unlikely": tally.dates_unlikely,
        "put_if_absent": put_if_absent,
    }
    session.text(_sentence(tally))
    if told := unlikely_dates(tally):
        session.text(told)
    if told := warning(put_if_absent):
        session.text(told)
    if dry_run:
        from imgctl.ops.cost.cards import card_in_force
        from imgctl.pricing.estimate import billing, upload_estimate

        bill = billing(session.settings.store.url, session.endpoint_url)
        card = card_in_force(session.settings)
        estimate = upload_estimate(card, files=tally.fates[Fate.PLANNED], size=tally.bytes_planned)
        session.text(f"nothing was changed; to upload these would cost: {estimate.text(bill)}")
        summary |= {"bytes_planned": tally.bytes_planned, "estimate": estimate.record(bill)}
    session.data({"type": "summary", **summary})


def _sentence(tally: Tally) -> str:
    counts = counts_of({fate: tally.fates[fate] for fate in Fate}, named={Fate.PLANNED: "would be uploaded"})
    reasons = f" ({counts_of(dict(sorted(tally.reasons.items())))})" if tally.reasons else ""
    size = format_bytes(tally.bytes_uploaded + tally.bytes_planned)
    put = "to put" if tally.bytes_planned else "put"
    return f"{count_of(tally.fates.total(), 'file')}: {counts}{reasons}; {size} {put}"
