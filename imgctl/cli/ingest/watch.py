"""`imgctl watch`: a directory whose photos are uploaded as they come."""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from imgctl.cli.base import Session, running, subcommand
from imgctl.cli.ingest.upload import conclude, show
from imgctl.cli.options import Options, argument, flag, option, order_of
from imgctl.cli.types import FORMATS, SIZE
from imgctl.errors import ExitCode
from imgctl.imaging.formats import Format
from imgctl.ops.ingest.outcome import Fate, FileTally, Reports
from imgctl.ops.upload.order import Selection, UploadedAt, UploadOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Options):
    directory: str = argument("DIR")
    user_id: UUID | None = option(None, "The owner of these images.", name="--user")
    user_from: str | None = option(None, "Take the owner from the path: '{user}/**'.", metavar="PATTERN")
    settle: float = option(2.0, "A file is whole when nothing wrote to it for: 2s.", text="2s")
    poll: bool = flag("Look again and again: for network file systems.")
    include: tuple[str, ...] = option((), "Only files that match; repeatable.", metavar="GLOB")
    exclude: tuple[str, ...] = option((), "Not what matches; wins over --include.", metavar="GLOB")
    min_size: int | None = option(None, "No smaller files: 10KiB.", kind=SIZE)
    max_size: int | None = option(None, "No larger files: 2GiB.", kind=SIZE)
    leave_out: frozenset[Format] = option(frozenset(), "Not these formats: raw,video,psd.", kind=FORMATS)
    uploaded_at: UploadedAt = option(UploadedAt.NOW, "The image's date.")
    max_duration: float | None = option(None, "Stop cleanly after: 6h; the next run goes on.")
    report: Path | None = option(None, "A line for each file, CSV or JSONL by its ending.")
    failed_out: Path | None = option(None, "The files that failed, for upload --files-from.")


@subcommand(
    Asked,
    examples="""
imgctl watch /srv/scans --user 0190b2b4-0000-7000-8000-000000000001
imgctl watch /srv/ftp --user-from '{user}/**' --exclude '*.part'
imgctl watch /mnt/nas --user-from '{user}/**' --poll --settle 30s
""",
    changes=lambda _: True,
    main="--user --user-from --settle --poll --exclude --report --failed-out",
    settings={
        "upload.bwlimit": "",
        "upload.concurrency": "Puts in flight; 0: found out.",
        "upload.memory": "",
        "upload.journal": "What was uploaded before; none: no journal.",
    },
)
def command(session: Session, asked: Asked) -> ExitCode:
    """Upload what lies below DIR, and whatever comes there, until stopped.

    A file is taken once it is whole: nothing wrote to it for --settle, and, where the system tells, nobody has it open for
    writing. Otherwise this is `imgctl upload`: the same journal, reports and exit codes. Files are left where they are.
    DIR is walked again every hour, for events that the system dropped. A first SIGTERM or SIGINT finishes
    what is in flight, a second ends at once. Needs the extra `imgctl[watch]`.
    """
    from imgctl.ops.upload.start import journal_file
    from imgctl.ops.upload.watch import WatchOrder, watching
    from imgctl.store.blobs.open import open_store

    settings, tally = session.settings, FileTally()
    selection = order_of(Selection, asked, paths=(asked.directory,), leave_out=(), users=session.users)
    store = open_store(settings.store)
    order, watch = order_of(UploadOrder, asked), order_of(WatchOrder, asked)
    journal = journal_file(settings.upload.journal)
    with (
        running(session, unit="files", max_seconds=asked.max_duration) as run,
        watching(
            settings, selection, order, watch, store=store, journal=journal, stop=run.stop, tell=run.say
        ) as outcomes,
        Reports(asked.report, asked.failed_out) as reports,
    ):
        for outcome in outcomes:
            tally.add(outcome)
            reports.add(outcome)
            show(run, outcome)
        conclude(session, tally, unit="file", named={}, verbs=("to put", "put"), put_if_absent=store.put_if_absent)
        return run.service_exit_code(partly=tally.tally.of(Fate.FAILED) > 0)
