"""`imgctl upload`: uploads originals to the store and adds rows to the catalog."""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from imgctl.cli.common.options import Options, arguments, flag, option, order_of, switch
from imgctl.cli.common.session import Running, Session, running, subcommand
from imgctl.cli.common.types import FORMATS, SIZE
from imgctl.errors import ExitCode
from imgctl.imaging.formats import Format
from imgctl.ops.ingest.outcome import Fate, FileOutcome, FileTally, Reason, Reports, record
from imgctl.ops.upload.options import STDIN, Selection, UploadedAt, UploadOrder
from imgctl.store.blobs.traits import Kept
from imgctl.units import count_of, counts_of, format_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionOptions(Options):
    """Options that choose files and their owners."""

    paths: tuple[str, ...] = arguments("[SOURCE]...")
    user_id: UUID | None = option(None, "The owner of these images.", name="--user")
    user_from: str | None = option(None, "Take the owner from the path: '{user}/**'.", metavar="PATTERN")
    manifest: str | None = option(
        None, "CSV or JSONL: path, user_id, caption, name, uploaded_at, taken_at, sha256; - is stdin.", metavar="FILE"
    )
    files_from: str | None = option(None, "Paths or URLs from FILE, a line each; - is stdin.", metavar="FILE")
    include: tuple[str, ...] = option((), "Only matching files; repeatable.", metavar="GLOB")
    exclude: tuple[str, ...] = option((), "Leave out matching files, also included ones; repeatable.", metavar="GLOB")
    min_size: int | None = option(None, "Leave out smaller files: 10KiB.", kind=SIZE)
    max_size: int | None = option(None, "Leave out larger files: 2GiB.", kind=SIZE)
    since: datetime | None = option(None, "Modified at this time or later: 24h (ago), 2026-11-22.")
    until: datetime | None = option(None, "Modified before this time.")
    leave_out: frozenset[Format] = option(frozenset(), "Leave out these formats: raw,video,psd.", kind=FORMATS)
    takeout_trashed: bool = flag("Include photos from the bin of Google or Apple Photos.")
    takeout_archived: bool = switch(
        "--takeout-archived/--no-takeout-archived", "Include photos archived or hidden there (default)."
    )
    follow_links: bool = flag("Follow symbolic links; loops are detected.")
    junk_filter: bool = switch("--junk-filter/--no-junk-filter", "Leave out hidden and system files (default).")


def lists(selection: Selection) -> list[Path]:
    """Return the list and manifest files of a selection."""
    return [Path(name) for name in (selection.files_from, selection.manifest) if name not in (None, STDIN)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(SelectionOptions):
    uploaded_at: UploadedAt = option(UploadedAt.NOW, "The source of uploaded_at, if a manifest has none.")
    limit: int | None = option(None, "Upload at most N files.")
    max_duration: float | None = option(None, "Stop cleanly after: 6h; the next run continues.")
    report: Path | None = option(None, "Write a line per file: CSV or JSONL by extension.")
    failed_out: Path | None = option(None, "Write the files that failed, for --files-from.")
    dry_run: bool = flag("Upload nothing; show counts and cost (--json: each file).")


_NAMED = {Fate.PLANNED: "would be uploaded"}
# Left out by an option, or not a photo: counted and reported, listed on the screen only with -v.
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
        # Has its own line in the result.
        Reason.ARCHIVED,
    )
)


@subcommand(
    Args,
    changes=lambda args: not args.dry_run,
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
        "upload.concurrency": "Puts in flight; 0: adaptive.",
        "upload.memory": "",
        "upload.processes": "",
        "upload.journal": "Journal of uploaded files; none: no journal.",
    },
)
def command(session: Session, args: Args) -> ExitCode:
    """Upload every image at or below SOURCE: the original to the store, a row to the catalog.

    A SOURCE is a directory, a file, a ZIP or TAR archive, a bucket (s3://BUCKET/PREFIX, gs://, az://), or source:NAME, a
    bucket of the settings.

    Files whose content the user already has are not uploaded again, so the same command finishes a killed run; a journal
    on this machine makes a repeated run as cheap as a directory walk. Files are recognised by content; files that are not
    images are listed and skipped. A picture, camera raw or film of an unsupported format fails, and the exit code is 3,
    unless --leave-out names its format. A list for --files-from may also be NUL-separated. `imgctl work` builds the
    variants.
    """
    from imgctl.ops.upload.start import journal_file, uploading
    from imgctl.store.blobs.open import open_store

    settings, tally = session.settings, FileTally()
    selection, order = order_of(Selection, args, leave_out=(), users=session.users), order_of(UploadOrder, args)
    store = open_store(settings.store)
    journal = journal_file(settings.upload.journal)
    with running(session, unit="files", max_seconds=args.max_duration) as run:
        try:
            with (
                uploading(
                    settings, selection, order, store=store, journal=journal, stop=run.stop, report=run.say
                ) as outcomes,
                Reports(args.report, args.failed_out, inputs=lists(selection)) as reports,
            ):
                follow(run, outcomes, tally, reports)
        finally:
            # A run that could not begin prints only its error.
            if tally.tally.total or session.json or sys.exception() is None:
                _conclude(session, tally, put_if_absent=store.put_if_absent, dry_run=args.dry_run)
        return run.exit_code(partly=tally.tally.of(Fate.FAILED) > 0)


def follow(run: Running, outcomes: Iterable[FileOutcome], tally: FileTally, reports: Reports) -> None:
    """Count, report and print the outcomes as they arrive."""
    for outcome in outcomes:
        tally.add(outcome)
        reports.add(outcome)
        show(run, outcome, outcome.fate, lambda one: {"type": "file", **record(one)})


def show(
    run: Running, outcome: FileOutcome, word: str, as_record: Callable[[FileOutcome], Mapping[str, object]]
) -> None:
    """Print a file's record, and a line that begins with `word` if it failed or was skipped unexpectedly."""
    failed = outcome.fate is Fate.FAILED
    expected = outcome.reason in EXPECTED and run.session.verbosity < 1
    shown = (failed or outcome.fate is Fate.SKIPPED) and not expected
    line = f"{word} {outcome.path}: {outcome.detail}" if shown else ""
    about = as_record(outcome) if run.session.json else {}
    run.item(about, fate=word, failed=failed, size=outcome.bytes or 0, seconds=outcome.seconds, line=line)


def conclude(
    session: Session,
    counted: FileTally,
    *,
    unit: str,
    named: Mapping[Fate, str],
    verbs: tuple[str, str],
    **more: object,
) -> None:
    """Print the counts by fate and the warnings; `verbs` are for the bytes: that of a dry run, and that of a real one."""
    tally = counted.tally
    absent = more.get("put_if_absent") if tally.of(Fate.UPLOADED) else None
    reasons = dict(sorted(tally.reasons.counts.items()))
    because = f" ({counts_of(reasons)})" if reasons else ""
    size = format_bytes(tally.bytes_of(Fate.UPLOADED, Fate.PLANNED))
    verb = verbs[0] if tally.of(Fate.PLANNED) else verbs[1]
    session.text(f"{count_of(tally.total, unit)}: {counts_of(tally.fates, named=named)}{because}; {size} {verb}")
    for warning in filter(None, (counted.unlikely, _warning(absent))):
        session.text(warning)
    uploaded = {f"{unit}s": tally.total, "reasons": reasons, "bytes_uploaded": tally.bytes_of(Fate.UPLOADED)}
    session.summary(tally.fates, **uploaded, dates_unlikely=counted.dates_unlikely, **more)


def _conclude(session: Session, counted: FileTally, *, put_if_absent: Kept | None, dry_run: bool) -> None:
    more: dict[str, object] = {"put_if_absent": put_if_absent}
    if (archived := counted.tally.reasons.get(Reason.ARCHIVED)) is not None:
        # A line for each would fill the screen.
        found = f"{count_of(archived.objects, 'object')} of {format_bytes(archived.size)}"
        session.note(
            f"{found} in an archive class: restore them in the source, then run the same command again (-v lists them)"
        )
    sentence = ""
    if dry_run:
        from imgctl.pricing.estimate import upload_estimate

        terms, size = session.terms, counted.tally.bytes_of(Fate.PLANNED)
        estimate = upload_estimate(terms.card, files=counted.tally.of(Fate.PLANNED), size=size)
        sentence = f"nothing was changed; the upload would cost: {estimate.text(terms.bill)}"
        more |= {"bytes_planned": size, "estimate": estimate.record(terms.bill)}
    conclude(session, counted, unit="file", named=_NAMED, verbs=("to put", "put"), **more)
    if sentence:
        session.text(sentence)


def _warning(put_if_absent: object) -> str:
    if not isinstance(put_if_absent, Kept) or put_if_absent is Kept.YES:
        return ""
    from imgctl.store.blobs.traits import warning

    return warning(put_if_absent)
