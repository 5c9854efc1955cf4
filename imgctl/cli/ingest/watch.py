"""`imgctl watch`: uploads photos as they appear in a directory."""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from imgctl.cli.common.options import Options, argument, flag, option, order_of
from imgctl.cli.common.session import Session, running, subcommand
from imgctl.cli.common.types import FORMATS, SIZE
from imgctl.cli.ingest.upload import conclude, follow
from imgctl.errors import ExitCode
from imgctl.imaging.formats import Format
from imgctl.ops.ingest.outcome import Fate, FileTally, Reports
from imgctl.ops.upload.options import Selection, UploadedAt, UploadOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(Options):
    directory: str = argument("DIR")
    user_id: UUID | None = option(None, "The owner of these images.", name="--user")
    user_from: str | None = option(None, "Take the owner from the path: '{user}/**'.", metavar="PATTERN")
    settle: float = option(2.0, "Upload a file once nothing has written to it for this long.", text="2s")
    poll: bool = flag("Scan the directory repeatedly, for network file systems.")
    include: tuple[str, ...] = option((), "Only matching files; repeatable.", metavar="GLOB")
    exclude: tuple[str, ...] = option((), "Leave out matching files, also included ones; repeatable.", metavar="GLOB")
    min_size: int | None = option(None, "Leave out smaller files: 10KiB.", kind=SIZE)
    max_size: int | None = option(None, "Leave out larger files: 2GiB.", kind=SIZE)
    leave_out: frozenset[Format] = option(frozenset(), "Leave out these formats: raw,video,psd.", kind=FORMATS)
    uploaded_at: UploadedAt = option(UploadedAt.NOW, "The source of uploaded_at.")
    max_duration: float | None = option(None, "Stop cleanly after: 6h; the next run continues.")
    report: Path | None = option(None, "Write a line per file: CSV or JSONL by extension.")
    failed_out: Path | None = option(None, "Write the files that failed, for upload --files-from.")


@subcommand(
    Args,
    examples="""
imgctl watch /srv/scans --user 0190b2b4-0000-7000-8000-000000000001
imgctl watch /srv/ftp --user-from '{user}/**' --exclude '*.part'
imgctl watch /mnt/nas --user-from '{user}/**' --poll --settle 30s
""",
    changes=lambda _: True,
    main="--user --user-from --settle --poll --exclude --report --failed-out",
    settings={
        "upload.bwlimit": "",
        "upload.concurrency": "Puts in flight; 0: adaptive.",
        "upload.memory": "",
        "upload.journal": "Journal of uploaded files; none: no journal.",
    },
)
def command(session: Session, args: Args) -> ExitCode:
    """Upload the files below DIR, and every new one, until stopped.

    A file is uploaded once it is complete: nothing has written to it for --settle, and, if the system can report it, no
    process has it open for writing. Otherwise it works as `imgctl upload`, with the same journal and reports.
    Files stay where they are. DIR is walked again every hour, in case the system dropped events; a skipped or present
    file is reported once, until it changes. A first SIGTERM or SIGINT finishes the files in flight; a second ends the
    command at once. The exit code after SIGTERM is 0, or 3 if files failed. Needs the extra `imgctl[watch]`.
    """
    from imgctl.ops.upload.start import journal_file
    from imgctl.ops.upload.watch import WatchOrder, watching
    from imgctl.store.blobs.open import open_store

    settings, tally = session.settings, FileTally()
    selection = order_of(Selection, args, paths=(args.directory,), leave_out=(), users=session.users)
    store = open_store(settings.store)
    order, watch = order_of(UploadOrder, args), order_of(WatchOrder, args)
    journal = journal_file(settings.upload.journal)
    with (
        running(session, unit="files", max_seconds=args.max_duration, is_service=True) as run,
        watching(
            settings, selection, order, watch, store=store, journal=journal, stop=run.stop, report=run.say
        ) as outcomes,
        Reports(args.report, args.failed_out) as reports,
    ):
        run.ready()
        follow(run, outcomes, tally, reports)
        conclude(session, tally, unit="file", named={}, verbs=("to put", "put"), put_if_absent=store.put_if_absent)
        return run.service_exit_code(partly=tally.tally.of(Fate.FAILED) > 0)
