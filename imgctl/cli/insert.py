"""`imgctl insert`: rows for blobs that already lie in the store."""

from contextlib import closing
from pathlib import Path

import click

from imgctl.cli.base import Json, Session, subcommand
from imgctl.cli.running import Running, running
from imgctl.cli.types import Formats, Seconds
from imgctl.errors import ExitCode, UsageError
from imgctl.imaging.formats import Format
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reports, Tally, record, unlikely_dates
from imgctl.ops.insert.entries import Manifest
from imgctl.pricing.estimate import Billing, billing
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.traits import Kept, warning
from imgctl.units import count_of, counts_of, format_bytes

_NAMED = {Fate.UPLOADED: "inserted", Fate.PLANNED: "would be inserted"}


@subcommand(
    examples="""
imgctl insert old-bucket.csv --dry-run
imgctl insert old-bucket.csv --yes --report inserted.csv
imgctl insert keys.jsonl --yes --store s3://photos --concurrency 64 --json
""",
    flags={"concurrency": "upload.concurrency", "memory": "upload.memory"},
)
@click.argument("manifest", type=Path)
@click.option("--dry-run", is_flag=True, help="Change nothing; look at each blob and say what would be inserted.")
@click.option("--yes", is_flag=True, help="Spend what the estimate says.")
@click.option(
    "--leave-out", metavar="FORMAT,…", type=Formats(), default=frozenset(), help="Not these formats: raw,video,psd."
)
@click.option("--max-duration", metavar="TIME", type=Seconds(), help="Stop cleanly after: 6h; the next run goes on.")
@click.option("--concurrency", metavar="N", help="Requests in flight; 0: 16. [upload] concurrency")
@click.option("--memory", metavar="SIZE", help="Bytes of photos held at once. [upload] memory")
@click.option("--report", metavar="FILE", type=Path, help="A line for each blob, CSV or JSONL by its ending.")
def command(
    session: Session,
    *,
    manifest: Path,
    dry_run: bool,
    yes: bool,
    leave_out: frozenset[Format],
    max_duration: float | None,
    report: Path | None,
) -> ExitCode:
    """Insert the blobs that MANIFEST names: a copy under a key of imgctl's, and a row to the catalog.

    MANIFEST is CSV with a header or JSON lines, with key and user_id, and where known caption and uploaded_at (else the
    blob's own date). Keys are as the store names them, below its url. Each blob is read once, on this machine, to
    recognise and hash it, and then copied by the server; the source is left alone. The same manifest again inserts
    nothing twice. Variants are built by `imgctl work`.
    """
    from imgctl.ops.ingest.recognise import Recogniser
    from imgctl.ops.insert.pipeline import insert
    from imgctl.ops.parts import open_parts

    settings, store = session.settings, session.settings.store
    prefixes = tuple({store.originals_prefix, store.variants_prefix})
    source = Manifest(file=manifest, store_url=store.url, own_prefixes=prefixes)
    tally = Tally()
    with (
        open_parts(settings) as parts,
        running(session, unit="blobs", max_seconds=max_duration) as run,
        Reports(report, None, inputs=[manifest]) as reports,
        closing(Recogniser(settings.work, leave_out=leave_out)) as recogniser,
    ):
        _show_cost(session, parts.store, source, run, agreed=yes or dry_run)
        for outcome in insert(source.entries(), parts, recogniser=recogniser, stop=run.stop, dry_run=dry_run):
            tally.add(outcome)
            reports.add(outcome)
            _show(session, run, outcome)
        _conclude(session, tally, put_if_absent=parts.store.put_if_absent, dry_run=dry_run)
        return run.exit_code(partly=tally.fates[Fate.FAILED] > 0)


def _show_cost(session: Session, store: BlobStore, source: Manifest, run: Running, *, agreed: bool) -> None:
    """Say what the whole manifest would cost; UsageError where somebody bills and nobody agreed."""
    from imgctl.ops.cost.cards import card_in_force
    from imgctl.ops.insert.entries import estimate, survey

    bill = billing(session.settings.store.url, session.endpoint_url)
    if bill is Billing.NONE:
        return
    found = survey(source.entries(), store)
    cost = estimate(card_in_force(session.settings), found)
    session.data({"type": "estimate", "blobs": found.blobs, **cost.record(bill)})
    run.say(f"to insert {count_of(found.blobs, 'blob')} costs at most: {cost.text(bill)}")
    if not agreed:
        raise UsageError(
            f"inserting {count_of(found.blobs, 'blob')} is billed", hint="add --yes, or --dry-run to look first"
        )


def _show(session: Session, run: Running, outcome: FileOutcome) -> None:
    failed = outcome.fate is Fate.FAILED
    run.step(failed=failed, size=outcome.bytes or 0)
    session.data({"type": "blob", **record(outcome)})
    if failed or outcome.fate is Fate.SKIPPED:
        run.say(f"{outcome.fate} {outcome.path}: {outcome.detail}", always=failed)


def _conclude(session: Session, tally: Tally, *, put_if_absent: Kept | None, dry_run: bool) -> None:
    reasons = {reason.value: count for reason, count in sorted(tally.reasons.items())}
    summary: dict[str, Json] = {fate.value: tally.fates[fate] for fate in Fate}
    summary |= {"blobs": tally.fates.total(), "reasons": dict(reasons), "bytes_uploaded": tally.bytes_uploaded}
    summary |= {"dates_unlikely": tally.dates_unlikely, "put_if_absent": put_if_absent}
    fates = counts_of({fate: tally.fates[fate] for fate in Fate}, named=_NAMED)
    because = f" ({counts_of(reasons)})" if reasons else ""
    size = f"{format_bytes(tally.bytes_planned)} to copy" if dry_run else f"{format_bytes(tally.bytes_uploaded)} copied"
    if dry_run:
        summary |= {"bytes_planned": tally.bytes_planned}
    session.text(f"{count_of(tally.fates.total(), 'blob')}: {fates}{because}; {size}")
    if told := unlikely_dates(tally):
        session.text(told)
    if told := warning(put_if_absent):
        session.text(told)
    session.data({"type": "summary", **summary})
