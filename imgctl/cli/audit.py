"""`imgctl audit`: compares the catalog with the store, both ways; changes nothing."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from imgctl.cli.common.options import ScopeOptions, flag, option, order_of
from imgctl.cli.common.render import show_table
from imgctl.cli.common.session import Session, running, subcommand
from imgctl.cli.common.types import SIZE
from imgctl.errors import ExitCode, UsageError
from imgctl.ops.audit.findings import Code
from imgctl.ops.audit.options import AuditOrder, Tally
from imgctl.ops.audit.report import Subject, cost_of, csv_file, deep_price, html_file, look_price
from imgctl.ops.audit.start import audit
from imgctl.ops.common.open import Parts, open_parts
from imgctl.ops.common.rows import BadId, Chosen
from imgctl.pricing.estimate import Billing
from imgctl.run.telemetry.metrics import FINDINGS
from imgctl.store.catalog.queries.holds import in_force
from imgctl.units import count_of, format_bytes, format_seconds

HEADERS = ("CODE", "COUNT", "BYTES", "EXAMPLES")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(ScopeOptions):
    grace: float = option(3600.0, "Ignore blobs and rows younger than this: they are in flight.", text="1h")
    stuck_after: float = option(900.0, "Report rows as stuck that are uploading or processing for longer.", text="15m")
    storage_class: bool = flag("Also compare storage classes.")
    stale: bool = flag("Also find variants that were built with other settings than the current ones.")
    deep: bool = flag("Also compare checksums: the stored ones, or else those of the bytes, which are read.")
    budget: int | None = option(
        None,
        "With --deep: read at most this many bytes; the next audit of the whole archive continues there. A whole archive at a "
        "provider that bills needs it.",
        kind=SIZE,
    )
    look: int = option(
        0,
        "Also render N random ready images again, small, and compare their variants.",
        kind=click.IntRange(0, 100_000),
        metavar="N",
    )
    inventory: str | None = option(
        None, "Take the listing from an S3 Inventory report: its manifest.json, a path or s3://.", metavar="MANIFEST"
    )
    checkpoint: Path | None = option(
        None, "Keep the progress in this file; an interrupted audit resumes from it and reports all findings."
    )
    fail_on: str | None = option(None, "Exit with code 4 for these findings only.", metavar="CODE,…")
    csv: Path | None = option(None, "Write the findings as CSV.")
    html: Path | None = option(None, "Write the findings as an HTML page that can be forwarded.")

    def check(self) -> None:
        """Raise UsageError for options that exclude each other, or that would have no effect."""
        for name, given in (("--inventory", self.inventory), ("--checkpoint", self.checkpoint)):
            if given and (self.user or self.ids_from):
                raise UsageError(f"{name} works only without --user and --ids-from", hint="leave one of them out")
        files = [file.absolute() for file in (self.csv, self.html, self.checkpoint, self.ids_from) if file]
        if len(set(files)) < len(files):
            raise UsageError("--csv, --html, --checkpoint or --ids-from name the same file", hint="name another one")


@subcommand(
    Args,
    examples="""
imgctl audit
imgctl audit --json > findings.ndjson
imgctl audit --storage-class --stale --csv findings.csv
imgctl audit --user 0190b2b4-0000-7000-8000-000000000001
imgctl audit --since 24h --fail-on missing_original,size_mismatch
imgctl audit --deep --budget 20GiB
imgctl audit --look 200 --since 7d
""",
    main="--user --since --ids-from --deep --fail-on --csv --html",
    # An audit changes nothing, but `history` and `top` show when the last one ran and what it found.
    changes=lambda _: True,
)
def command(session: Session, args: Args) -> ExitCode:
    """Compare the catalog with the store, both ways, and report what is missing, damaged, stuck or orphaned.

    Nothing is changed. Each finding is checked twice; rows and blobs in flight are not reported. With --user or
    --ids-from the command sends a HEAD request per blob and does not list the bucket. Exit code 4: something was found
    (`imgctl help findings` lists the codes); 3: --ids-from names an image without a row; 0: all is well; 1: the listing
    of the store failed before its end, so the audit proves nothing.
    """
    args.check()
    wanted, tally, bad = _codes(args.fail_on), Tally(), list[BadId]()
    with (
        args.chosen() as chosen,
        open_parts(session.settings) as parts,
        running(session, unit="images") as run,
        ExitStack() as stack,
    ):
        order = _order(session, chosen, args)
        # A file gets its final name only when the audit is complete.
        sinks = [stack.enter_context(csv_file(args.csv, stop=run.stop))] if args.csv else []
        if args.html:
            subject = Subject(parts=parts, order=order, tally=tally, made_at=datetime.now(UTC), stop=run.stop)
            sinks.append(stack.enter_context(html_file(args.html, subject)))
        if order.look and (price := look_price(order.look, session.terms)):
            # Shown before the money is spent: N limits it.
            run.say(price, always=session.json)
        if order.deep and order.budget and (price := deep_price(order.budget, session.terms)):
            run.say(price, always=session.json)
        for finding in audit(parts, order, tally=tally, stop=run.stop, bad=bad):
            session.data(finding.record())
            for sink in sinks:
                sink(finding)
        run.say_bad(bad)
        if (meter := session.result.meter) is not None:
            for code in Code:
                meter.set(FINDINGS, tally.codes[code].count if code in tally.codes else 0, code.value)
        _conclude(session, parts, tally, grace=order.grace, bad=len(bad))
        if run.stop.is_set():
            unwritten = f", and {args.csv} not written" if args.csv else ""
            then = "; the same command goes on" if args.checkpoint else ""
            run.say(f"interrupted: the rest of the archive was not checked{unwritten}{then}", always=True)
            return ExitCode.INTERRUPTED
        if any(code in wanted for code in tally.codes):
            return ExitCode.FINDINGS
        return ExitCode.PARTLY if bad else ExitCode.DONE


def _conclude(session: Session, parts: Parts, tally: Tally, *, grace: timedelta, bad: int) -> None:
    cost = cost_of(tally, parts.settings)
    show_table(session, HEADERS, _cells(tally))
    looked = f"{count_of(tally.rows, 'image')} and {count_of(tally.blobs, 'listed blob')}"
    session.text(f"{count_of(tally.findings, 'finding')} in {looked}; {cost.brief}")
    if tally.young:
        age = format_seconds(grace.total_seconds())
        session.text(
            f"{count_of(tally.young, 'finding')} not reported: younger than {age}, perhaps in flight (--grace)"
        )
    if tally.checked:
        session.text(
            f"{count_of(tally.checked, 'original')} compared by checksum, {format_bytes(tally.hashed)} read; "
            f"unread in an archive class: {tally.unreadable:,}"
        )
    if tally.looked or tally.look_archived or tally.look_failed:
        session.text(
            f"{count_of(tally.looked, 'image')} rendered again and compared; "
            f"originals archived: {tally.look_archived:,}, unreadable: {tally.look_failed:,}"
        )
    with parts.catalog.read() as connection:
        holds = len(in_force(connection))
    if holds:
        session.text(f"{count_of(holds, 'hold')} in force: imgctl hold lists them")
    session.summary(
        findings=tally.findings,
        holds=holds,
        codes=tally.counts(),
        images=tally.rows,
        blobs=tally.blobs,
        requests={"LIST": cost.lists, "HEAD": cost.heads, "GET": cost.gets},
        cost=None if cost.amount is None else str(cost.amount),
        young=tally.young,
        checked=tally.checked,
        hashed_bytes=tally.hashed,
        unreadable=tally.unreadable,
        looked=tally.looked,
        look_archived=tally.look_archived,
        look_failed=tally.look_failed,
        bad_ids=bad,
    )


def _cells(tally: Tally) -> Iterator[tuple[str, ...]]:
    for code, one in sorted(tally.codes.items()):
        yield code.value, f"{one.count:,}", format_bytes(one.bytes), "  ".join(one.examples)


def _order(session: Session, chosen: Chosen, args: Args) -> AuditOrder:
    is_billed = args.deep and session.terms.bill not in (Billing.NONE, Billing.OTHER)
    if args.budget is not None and not args.deep:
        raise UsageError("--budget works only with --deep", hint="imgctl audit --deep --budget 20GiB")
    if args.deep and args.budget is None and is_billed and not chosen.is_few:
        raise UsageError("--deep may read the whole archive, which costs money", hint="set a limit: --budget 20GiB")
    return order_of(
        AuditOrder,
        args,
        chosen=chosen,
        grace=timedelta(seconds=args.grace),
        stuck_after=timedelta(seconds=args.stuck_after),
        classes=args.storage_class,
    )


def _codes(text: str | None) -> frozenset[Code]:
    if text is None:
        return frozenset(Code)
    known = {code.value: code for code in Code}
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        # An unset variable of a script: no finding would end in exit code 4.
        raise UsageError("--fail-on names no code", hint=f"one of {', '.join(known)}, or leave it out")
    for name in names:
        if name not in known:
            raise UsageError(f"--fail-on: {name!r} is not a code", hint=f"one of {', '.join(known)}")
    return frozenset(known[name] for name in names)
