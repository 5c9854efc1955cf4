"""`imgctl listen`: imports photos that a bucket reports through a queue."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imgctl.cli.common.options import Options, flag, option, order_of
from imgctl.cli.common.session import Session, running, subcommand
from imgctl.cli.common.types import FORMATS
from imgctl.cli.ingest.upload import conclude, follow
from imgctl.errors import ExitCode, UsageError
from imgctl.imaging.formats import Format
from imgctl.ops.ingest.outcome import Fate, FileTally, Reports
from imgctl.ops.upload.options import UploadedAt, UploadOrder
from imgctl.store.blobs.traits import Kept
from imgctl.units import count_of, counts_of

if TYPE_CHECKING:
    from imgctl.ops.events.listen import Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(Options):
    drain: bool = flag("Exit when the queue is empty.")
    max_duration: float | None = option(None, "Stop cleanly after: 6h; the next run continues.")
    uploaded_at: UploadedAt = option(UploadedAt.NOW, "The source of uploaded_at.")
    leave_out: frozenset[Format] = option(frozenset(), "Leave out these formats: raw,video,psd.", kind=FORMATS)
    report: Path | None = option(None, "Write a line per object: CSV or JSONL by extension.")
    failed_out: Path | None = option(None, "Write failed objects, for upload --files-from.")


@subcommand(
    Args,
    changes=lambda _: True,
    examples="""
imgctl listen --sqs https://sqs.us-east-1.amazonaws.com/123456789012/photos
imgctl listen --inbox inbox/ --report taken.csv
imgctl listen --drain --json
""",
    main="--sqs --inbox --dead-letter --drain --max-duration --report --failed-out",
    settings={
        "listen.sqs": "",
        "listen.inbox": "",
        "listen.dead_letter": "",
        "upload.bwlimit": "",
        "upload.concurrency": "Puts in flight; 0: adaptive.",
        "upload.memory": "",
    },
)
def command(session: Session, args: Args) -> ExitCode:
    """Import the photos that a bucket reports through an SQS queue, until stopped.

    S3 events are accepted directly, through SNS, and through EventBridge. An original that an application put through a
    signed URL is checked and its row confirmed. An object in the inbox is imported as `imgctl upload` imports files: a
    copy under one of imgctl's keys, and a row; the object itself is not changed. Events of variants and of other keys are
    only counted.

    A message is deleted once the rows of its objects are confirmed. Messages that cannot be imported go to the
    dead-letter queue with the reason (without one, back to the queue for 15 minutes); those that may succeed later return
    to the queue. Any number of processes may listen to one queue. A first SIGTERM or SIGINT finishes open objects and
    returns the other messages, a second ends the command at once. The exit code after SIGTERM is 0, or 3 if objects
    failed.
    """
    from imgctl.ops.common.open import open_parts
    from imgctl.ops.events.listen import Counts, listening
    from imgctl.store.aws.queue import Queue

    settings, tally, counts = session.settings, FileTally(), Counts()
    if not settings.listen.sqs:
        raise UsageError("no queue is set", hint="use --sqs URL, or set [listen] sqs")
    queue = Queue(settings.store, settings.listen.sqs, hold_seconds=round(settings.listen.hold))
    order = order_of(UploadOrder, args)
    with (
        running(session, unit="objects", max_seconds=args.max_duration, is_service=True) as run,
        open_parts(settings, stop=run.stop) as parts,
        Reports(args.report, args.failed_out) as reports,
    ):
        try:
            with listening(parts, queue, order, counts=counts, stop=run.stop, drain=args.drain) as outcomes:
                run.ready()
                follow(run, outcomes, tally, reports)
        finally:
            _conclude(session, tally, counts, requests=queue.requests, put_if_absent=parts.store.put_if_absent)
        return run.service_exit_code(partly=tally.tally.of(Fate.FAILED) > 0, drain=args.drain)


def _conclude(
    session: Session, tally: FileTally, counts: "Counts", *, requests: int, put_if_absent: Kept | None
) -> None:
    foreign = {kind.value: count for kind, count in sorted(counts.foreign.items())}
    parts = {"deleted": counts.deleted, "returned": counts.returned, "dead-lettered": counts.dead_lettered}
    other = f"; other events: {counts_of(foreign)}" if foreign else ""
    repeated = f"; {counts.repeated} repeated" if counts.repeated else ""
    session.text(
        f"{count_of(counts.messages, 'message')}: {counts_of(parts, none='none')}{other}{repeated}; "
        f"{count_of(requests, 'request')} to SQS"
    )
    messages: dict[str, object] = {
        "put_if_absent": put_if_absent,
        "messages": counts.messages,
        "events": counts.events,
        "deleted": counts.deleted,
        "returned": counts.returned,
        "dead_lettered": counts.dead_lettered,
        "repeated": counts.repeated,
        "foreign": foreign,
        "requests": requests,
    }
    conclude(session, tally, unit="object", named={}, verbs=("to put", "put"), **messages)
