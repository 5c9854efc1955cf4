"""`imgctl listen`: photos that a bucket reports through a queue."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imgctl.cli.base import Session, running, subcommand
from imgctl.cli.ingest.upload import conclude, show
from imgctl.cli.options import Options, flag, option, order_of
from imgctl.cli.types import FORMATS
from imgctl.errors import ExitCode, UsageError
from imgctl.imaging.formats import Format
from imgctl.ops.ingest.outcome import Fate, FileTally, Reports
from imgctl.ops.upload.order import UploadedAt, UploadOrder
from imgctl.store.blobs.traits import Kept
from imgctl.units import count_of, counts_of

if TYPE_CHECKING:
    from imgctl.ops.events.listen import Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Options):
    drain: bool = flag("End when the queue has no message any more.")
    max_duration: float | None = option(None, "Stop cleanly after: 6h; the next run goes on.")
    uploaded_at: UploadedAt = option(UploadedAt.NOW, "The image's date.")
    leave_out: frozenset[Format] = option(frozenset(), "Not these formats: raw,video,psd.", kind=FORMATS)
    report: Path | None = option(None, "A line for each object, CSV or JSONL by its ending.")
    failed_out: Path | None = option(None, "The objects that failed, for upload --files-from.")


@subcommand(
    Asked,
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
        "upload.concurrency": "Puts in flight; 0: found out.",
        "upload.memory": "",
    },
)
def command(session: Session, asked: Asked) -> ExitCode:
    """Take in what a bucket reports through an SQS queue, until stopped.

    S3 events are read as they are, by SNS, and by EventBridge. An original that an application put through a signed URL
    is looked at and its row confirmed. An object in the inbox is taken in as `imgctl upload` takes files: a copy under a
    key of imgctl's, and a row; the object itself is left alone. Events of variants and of other keys are counted.

    A message is deleted once the rows of its objects are confirmed. What cannot be taken in goes to the dead-letter queue
    with the reason; what may yet succeed comes again. Any number may listen to one queue. A first SIGTERM or SIGINT ends
    what is in flight and gives the rest back, a second ends at once.
    """
    from imgctl.ops.events.listen import Counts, listening
    from imgctl.ops.parts import open_parts
    from imgctl.store.aws.queue import Queue

    settings, tally, counts = session.settings, FileTally(), Counts()
    if not settings.listen.sqs:
        raise UsageError("no queue is named", hint="--sqs URL, or [listen] sqs")
    queue = Queue(settings.store, settings.listen.sqs, hold_seconds=round(settings.listen.hold))
    order = order_of(UploadOrder, asked)
    with (
        open_parts(settings) as parts,
        running(session, unit="objects", max_seconds=asked.max_duration) as run,
        Reports(asked.report, asked.failed_out) as reports,
    ):
        try:
            with listening(parts, queue, order, counts=counts, stop=run.stop, drain=asked.drain) as outcomes:
                for outcome in outcomes:
                    tally.add(outcome)
                    reports.add(outcome)
                    show(run, outcome)
        finally:
            _conclude(session, tally, counts, requests=queue.requests, put_if_absent=parts.store.put_if_absent)
        return run.service_exit_code(partly=tally.tally.of(Fate.FAILED) > 0)


def _conclude(
    session: Session, tally: FileTally, counts: "Counts", *, requests: int, put_if_absent: Kept | None
) -> None:
    foreign = {kind.value: count for kind, count in sorted(counts.foreign.items())}
    parts = {
        "deleted": counts.deleted,
        "returned": counts.returned,
        "dead-lettered": counts.dead_lettered,
    }
    none_of_ours = f"; none of ours: {counts_of(foreign)}" if foreign else ""
    repeated = f"; {counts.repeated} repeated" if counts.repeated else ""
    session.text(
        f"{count_of(counts.messages, 'message')}: {counts_of(parts, none='none')}{none_of_ours}{repeated}; "
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
