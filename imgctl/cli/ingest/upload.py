"""`imgctl upload`: directories to the store, rows to the catalog."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imgctl.cli.base import Running, Session, running, subcommand
from imgctl.cli.ingest.selection import SelectionOptions, lists
from imgctl.cli.options import flag, option, order_of
from imgctl.errors import ExitCode
from imgctl.ops.ingest.outcome import Fate, FileOutcome, FileTally, Reason, Reports, record
from imgctl.ops.upload.order import Selection, UploadedAt, UploadOrder
from imgctl.store.blobs.traits import Kept
from imgctl.units import count_of, counts_of, format_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(SelectionOptions):
    uploaded_at: UploadedAt = option(UploadedAt.NOW, "The image's date.")
    limit: int | None = option(None, "Upload at most N files.")
    max_duration: float | None = option(None, "Stop cleanly after: 6h; the next run goes on.")
    report: Path | None = option(None, "A line for each file, CSV or JSONL by its ending.")
    failed_out: Path | None = option(None, "The files that failed, for --files-from.")
    dry_run: bool = flag("Say what would be put and cost; upload nothing.")


_NAMED = {Fate.PLANNED: "would be uploaded"}
# Left out because the user said so, or no photo of anybody's: counted and reported, named on the screen with -v only.
EXPECTED = frozenset(
    (
        Reason.FILTERED,
        Reason.TOO_SMALL,
        Reason.TOO_LARGE,
        Reason.OUTSIDE_DATES,
        Reason.JUNK,
        Reason.SIDECAR,
        Reason.TRASHED,
        Reason.HIDDEN,
        Reason.LEFT_OUT,
        Reason.NOT_TRIED,
        # Counted in a line of its own.
        Reason.ARCHIVED,
    )
)


@subcommand(
    Asked,
    changes=lambda asked: not asked.dry_run,
    examples="""
imgctl upload ~/Pictures --user 0190b2b4-0000-7000-8000-000000000001
imgctl upload /mnt/nas --user-from '{user}/**' --failed-out again
imgctl upload --files-from again --user 0190b2b4-0000-7000-8000-000000000001
imgctl upload takeout-*.zip --user 0190b2b4-0000-7000-8000-000000000001
imgctl upload s3://old-photos/2019 --user-from '{user}/**' --dry-run
imgctl upload --manifest album.csv --uploaded-at taken --dry-run
imgctl upload /mnt/nas --user-from '{user}/**' --bwlimit 50MiB
""",
    main="--user --user-from --manifest --files-from --exclude --dry-run --report --failed-out",
    settings={
        "upload.bwlimit": "",
        "upload.concurrency": "Puts in flight; 0: found out.",
        "upload.memory": "",
        "upload.journal": "What was uploaded before; none: no journal.",
    },
)
def command(session: Session, asked: Asked) -> ExitCode:
    """Upload every image at or below SOURCE: the original to the store, a row to the catalog.

    A SOURCE is a directory, a file, a ZIP or TAR archive, a bucket (s3://BUCKET/PREFIX, gs://, az://), or source:NAME, a
    bucket of the settings.

    What the user already has (by content) is not put again, so the same command after a kill finishes the work, and a
    journal on this machine makes a repeated run cost no more than a walk. Files are recognised by content;
    what is not an image is named and skipped. A picture, camera raw or film of a format that is not taken fails, and the
    run exits 3, unless --leave-out names its format. Variants are built by `imgctl work`.
    """
    from imgctl.ops.upload.start import journal_file, uploading
    from imgctl.store.blobs.open import open_store

    settings, selection, tally = (
        session.settings,
        order_of(Selection, asked, leave_out=(), users=session.users),
        FileTally(),
    )
    store = open_store(settings.store)
    order = order_of(UploadOrder, asked)
    journal = journal_file(settings.upload.journal)
    with running(session, unit="files", max_seconds=asked.max_duration) as run:
        try:
            with (
                uploading(
                    settings, selection, order, store=store, journal=journal, stop=run.stop, tell=run.say
                ) as outcomes,
                Reports(asked.report, asked.failed_out, inputs=lists(selection)) as reports,
            ):
                for outcome in outcomes:
                    tally.add(outcome)
                    reports.add(outcome)
                    show(run, outcome)
        finally:
            # To people, a run that could not begin says why and nothing else.
            if tally.tally.total or session.json or sys.exception() is None:
                _conclude(session, tally, put_if_absent=store.put_if_absent, dry_run=asked.dry_run)
        return run.exit_code(partly=tally.tally.of(Fate.FAILED) > 0)


def show(run: Running, outcome: FileOutcome) -> None:
    """A record for programs; a line for people where something was left out that they did not ask to leave out."""
    failed = outcome.fate is Fate.FAILED
    expected = outcome.reason in EXPECTED and run.session.verbosity < 1
    told = (failed or outcome.fate is Fate.SKIPPED) and not expected
    line = f"{outcome.fate} {outcome.path}: {outcome.detail}" if told else ""
    about = {"type": "file", **record(outcome)} if run.session.json else {}
    run.item(about, fate=outcome.fate, failed=failed, size=outcome.bytes or 0, seconds=outcome.seconds, line=line)


def conclude(
    session: Session,
    counted: FileTally,
    *,
    unit: str,
    named: Mapping[Fate, str],
    verbs: tuple[str, str],
    **more: object,
) -> None:
    """How many ended how, and what warns; `verbs` say what a dry run would do with the bytes, and what was done."""
    tally, absent = counted.tally, more.get("put_if_absent")
    reasons = dict(sorted(tally.reasons.counts.items()))
    because = f" ({counts_of(reasons)})" if reasons else ""
    size = format_bytes(tally.bytes_of(Fate.UPLOADED, Fate.PLANNED))
    verb = verbs[0] if tally.of(Fate.PLANNED) else verbs[1]
    session.text(f"{count_of(tally.total, unit)}: {counts_of(tally.fates, named=named)}{because}; {size} {verb}")
    for told in (counted.unlikely, _warning(absent)):
        if told:
            session.text(told)
    uploaded = {f"{unit}s": tally.total, "reasons": reasons, "bytes_uploaded": tally.bytes_of(Fate.UPLOADED)}
    session.summary(tally.fates, **uploaded, dates_unlikely=counted.dates_unlikely, **more)


def _conclude(session: Session, counted: FileTally, *, put_if_absent: Kept | None, dry_run: bool) -> None:
    more: dict[str, object] = {"put_if_absent": put_if_absent}
    if (archived := counted.tally.reasons.get(Reason.ARCHIVED)) is not None:
        # One by one they would be a screen of the same.
        found = f"{count_of(archived.objects, 'object')} of {format_bytes(archived.size)}"
        session.note(f"{found} in an archive class: restore them there, then run the same again (-v names each)")
    told = ""
    if dry_run:
        from imgctl.ops.spend import terms
        from imgctl.pricing.estimate import upload_estimate

        who, size = terms(session.settings, endpoint_url=session.endpoint_url), counted.tally.bytes_of(Fate.PLANNED)
        estimate = upload_estimate(who.card, files=counted.tally.of(Fate.PLANNED), size=size)
        told = f"nothing was changed; to upload these would cost: {estimate.text(who.bill)}"
        more |= {"bytes_planned": size, "estimate": estimate.record(who.bill)}
    conclude(session, counted, unit="file", named=_NAMED, verbs=("to put", "put"), **more)
    if told:
        session.text(told)


def _warning(put_if_absent: object) -> str:
    if not isinstance(put_if_absent, Kept) or put_if_absent is Kept.YES:
        return ""
    from imgctl.store.blobs.verdicts import warning

    return warning(put_if_absent)
