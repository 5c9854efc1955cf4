"""`imgctl insert`: adds blobs that are already in the store to the catalog."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from imgctl.cli.common.options import Options, file_argument, flag, option
from imgctl.cli.common.session import Running, Session, running, subcommand
from imgctl.cli.common.types import FORMATS
from imgctl.cli.ingest.upload import conclude
from imgctl.errors import ExitCode
from imgctl.imaging.formats import Format
from imgctl.ops.common.open import open_parts
from imgctl.ops.common.spend import agree
from imgctl.ops.ingest.outcome import Fate, FileOutcome, FileTally, Reports, record
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.insert.entries import Manifest, estimate, survey
from imgctl.ops.insert.pipeline import insert
from imgctl.pricing.estimate import Billing
from imgctl.store.blobs.base import BlobStore
from imgctl.units import count_of

_NAMED = {Fate.UPLOADED: "inserted", Fate.PLANNED: "would be inserted"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(Options):
    manifest: Path = file_argument("MANIFEST")
    dry_run: bool = flag(
        "Change nothing; show what would be inserted. Checks each blob by its first bytes, billed ones only with --yes."
    )
    yes: bool = flag("Agree to the estimated cost.")
    leave_out: frozenset[Format] = option(frozenset(), "Leave out these formats: raw,video,psd.", kind=FORMATS)
    max_duration: float | None = option(None, "Stop cleanly after: 6h; the next run continues.")
    report: Path | None = option(None, "Write a line per blob: CSV or JSONL by extension.")


@subcommand(
    Args,
    changes=lambda args: not args.dry_run,
    examples="""
imgctl insert old-bucket.csv --dry-run
imgctl insert old-bucket.csv --yes --report inserted.csv
imgctl insert keys.jsonl --yes --store s3://photos --json
""",
    settings={"upload.concurrency": "Requests in flight; 0: 16.", "upload.memory": ""},
)
def command(session: Session, args: Args) -> ExitCode:
    """Insert the blobs in MANIFEST: copy each to one of imgctl's keys, and add a row to the catalog.

    MANIFEST is CSV with a header or JSON lines, with key and user_id, and optionally caption, name (default: the end of
    the key) and uploaded_at (default: the blob's own date). Keys are relative to the store's URL, or begin with it.
    This machine reads each blob once to recognise and hash it, and the server copies it; the source is not changed.
    Running the same manifest again inserts nothing twice. `imgctl work` builds the variants.
    """
    settings, store = session.settings, session.settings.store
    prefixes = tuple({store.originals_prefix, store.variants_prefix})
    source = Manifest(file=args.manifest, store_url=store.url, own_prefixes=prefixes, users=session.users)
    counted = FileTally()
    with (
        open_parts(settings, create=not args.dry_run) as parts,
        running(session, unit="blobs", max_seconds=args.max_duration) as run,
        Reports(args.report, None, inputs=[args.manifest]) as reports,
        closing(Recogniser(settings.work, leave_out=args.leave_out)) as recogniser,
    ):
        _show_cost(session, parts.store, source, run, args)
        entries, peeks = source.entries(), args.yes or session.terms.bill is Billing.NONE
        if args.dry_run and not peeks:
            run.say("the blobs are not read: their contents are not checked without --yes")
        for outcome in insert(entries, parts, recogniser=recogniser, stop=run.stop, dry_run=args.dry_run, peeks=peeks):
            counted.add(outcome)
            reports.add(outcome)
            _show(run, outcome)
        planned = {"bytes_planned": counted.tally.bytes_of(Fate.PLANNED)} if args.dry_run else {}
        absent, verbs = parts.store.put_if_absent, ("to copy", "copied")
        conclude(session, counted, unit="blob", named=_NAMED, verbs=verbs, put_if_absent=absent, **planned)
        return run.exit_code(partly=counted.tally.of(Fate.FAILED) > 0)


def _show_cost(session: Session, store: BlobStore, source: Manifest, run: Running, args: Args) -> None:
    """Show the cost of the whole manifest; raises UsageError if it is billed without --yes."""
    terms = session.terms
    if terms.bill is Billing.NONE:
        return
    found = survey(source.entries(), store)
    cost, what = estimate(terms.card, found), count_of(found.blobs, "blob")
    session.data({"type": "estimate", "blobs": found.blobs, **cost.record(terms.bill)})
    run.say(f"inserting {what} costs about: {cost.text(terms.bill)}")
    agree(f"inserting {what}", cost.one_off, terms, yes=args.yes, dry_run=args.dry_run)


def _show(run: Running, outcome: FileOutcome) -> None:
    failed = outcome.fate is Fate.FAILED
    line = f"{outcome.fate} {outcome.path}: {outcome.detail}" if failed or outcome.fate is Fate.SKIPPED else ""
    seconds = outcome.seconds
    run.item({"type": "blob", **record(outcome)}, failed=failed, size=outcome.bytes or 0, seconds=seconds, line=line)
