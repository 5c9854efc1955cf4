"""`imgctl verify`: verifies that every file of a source is safe in the archive."""

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from imgctl.cli.common.options import flag, option, order_of
from imgctl.cli.common.session import Session, running, subcommand
from imgctl.cli.ingest.upload import SelectionOptions, lists, show
from imgctl.errors import ExitCode
from imgctl.ops.ingest.outcome import Fate, FileOutcome, FileTally, Reports, check_apart, record
from imgctl.ops.upload.options import Selection, UploadOrder
from imgctl.ops.verify.check import UNSAFE, Against
from imgctl.units import count_of, counts_of, format_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(SelectionOptions):
    against: Against = option(Against.STORE, "Check the original in the store and the row, or only the row.")
    trust_journal: bool = flag("Do not read files that are unchanged since their upload.")
    list_safe: Path | None = option(None, "Write the files that are safe to delete, one per line.")
    null: bool = flag("End each path of --list-safe with a NUL, for xargs -0.")
    failed_out: Path | None = option(None, "Write the unsafe files, for upload --files-from.")
    report: Path | None = option(
        None, "Write a report: each file that is not safe, and the counts (JSONL). [serve] secret signs it."
    )


@subcommand(
    Args,
    examples="""
imgctl verify ~/Pictures --user 0190b2b4-0000-7000-8000-000000000001
imgctl verify /mnt/nas --user-from '{user}/**' --report verified.jsonl
imgctl verify /mnt/nas --user-from '{user}/**' --list-safe may-go --null
imgctl verify --manifest album.csv --against catalog --json
""",
    main="--user --user-from --manifest --files-from --against --list-safe --failed-out --report",
    settings={"upload.memory": "", "upload.journal": "Journal of uploaded files; none: no journal."},
)
def command(session: Session, args: Args) -> ExitCode:
    """Verify for every file of a SOURCE that the archive holds its content, for its owner.

    Files are chosen as by `imgctl upload`, and hashed; objects of a bucket whose ETag is in the journal are not read
    again. A file is safe if its owner has a confirmed row with its content and the store holds the original with the
    same size and the same content, by the MD5 in the bucket's listing; an original in a directory, or whose MD5
    differs, is read. Of originals put in parts, under SSE-KMS or archived, and of objects that are not read again, only
    the size is compared. The result counts these apart. Nothing is deleted: --list-safe writes the files that are safe
    to delete, these too. Exit code 4: a file is not safe; 3: a file could not be read or has an unsupported format; 0:
    all files are safe.
    """
    from imgctl.ops.common.signed_reports import signed_report
    from imgctl.ops.sources.open import is_archive
    from imgctl.ops.verify.safe_list import safe_list
    from imgctl.ops.verify.start import VerifyOrder, verifying

    settings, selection, tally = (
        session.settings,
        order_of(Selection, args, leave_out=(), users=session.users),
        FileTally(),
    )
    outputs = {"--report": args.report, "--failed-out": args.failed_out, "--list-safe": args.list_safe}
    check_apart(outputs, lists(selection))
    order = order_of(VerifyOrder, args, upload=order_of(UploadOrder, args))
    started_at = datetime.now(UTC)
    with running(session, unit="files") as run, ExitStack() as stack:
        found = stack.enter_context(verifying(settings, selection, order, stop=run.stop, report=run.say))
        failed = stack.enter_context(Reports(None, args.failed_out, inputs=lists(selection)))
        archives = tuple(filter(is_archive, args.paths))
        listing = args.list_safe and safe_list(args.list_safe, null=args.null, archives=archives)
        safe = stack.enter_context(listing) if listing else None
        report = stack.enter_context(signed_report(args.report, settings.serve.secret)) if args.report else None
        for outcome in found.outcomes:
            tally.add(outcome)
            failed.add(outcome)
            show(run, outcome, _word(outcome), _record)
            if safe:
                safe.add(outcome)
            if report and outcome.fate is Fate.FAILED:
                report.add(_record(outcome))
        if safe and not run.stop.is_set():
            safe.finish()
        if safe and safe.left_out:
            run.say(f"{count_of(safe.left_out, 'path')} left out of --list-safe: use --null", always=True)
        summary = _summary(tally) | {"against": args.against, "complete": not run.stop.is_set()}
        if report:
            subject = {"sources": [*args.paths, *map(str, lists(selection))], **found.places}
            times = {"started_at": started_at, "ended_at": datetime.now(UTC)}
            report.add({"type": "summary", **summary, **subject, **times})
            session.note(f"{args.report}: sha256 {report.sign()}")
        session.summary(None, _sentence(tally), **summary)
        if not run.stop.is_set() and _unsafe(tally):
            return ExitCode.FINDINGS
        return run.exit_code(partly=tally.tally.of(Fate.FAILED) > 0)


def _record(outcome: FileOutcome) -> dict[str, object]:
    about = record(outcome)
    return {
        "type": "file",
        "path": outcome.path,
        "fate": _word(outcome),
        **{name: about[name] for name in ("reason", "detail", "id", "sha256", "bytes")},
    }


def _word(outcome: FileOutcome) -> str:
    return "unsafe" if outcome.reason in UNSAFE else "safe" if outcome.fate is Fate.PRESENT else outcome.fate.value


def _unsafe(counted: FileTally) -> int:
    return sum(one.objects for reason, one in counted.tally.reasons.items() if reason in UNSAFE)


def _summary(counted: FileTally) -> dict[str, object]:
    tally, unsafe = counted.tally, _unsafe(counted)
    return {
        "files": tally.total,
        "safe": tally.of(Fate.PRESENT),
        "unsafe": unsafe,
        "skipped": tally.of(Fate.SKIPPED),
        "failed": tally.of(Fate.FAILED) - unsafe,
        "bytes": tally.bytes_of(*Fate),
        "bytes_safe": tally.bytes_of(Fate.PRESENT),
        "reasons": dict(sorted(tally.reasons.counts.items())),
    }


def _sentence(counted: FileTally) -> str:
    tally, unsafe = counted.tally, _unsafe(counted)
    fates = {"safe": tally.of(Fate.PRESENT), "not safe": unsafe, "skipped": tally.of(Fate.SKIPPED)}
    fates["failed"] = tally.of(Fate.FAILED) - unsafe
    because = counts_of(dict(sorted(tally.reasons.counts.items())), none="")
    size = format_bytes(tally.bytes_of(Fate.PRESENT))
    return f"{count_of(tally.total, 'file')}: {counts_of(fates, none='')} ({because}); {size} safe"
