"""`imgctl top`: a live view of the archive."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from imgctl.cli.common.options import Options, flag, option
from imgctl.cli.common.screen import Screen
from imgctl.cli.common.session import Session, interruptible, stopped_code, subcommand
from imgctl.errors import CatalogError, ExitCode
from imgctl.ops.common.open import catalog_of
from imgctl.ops.support.history import counts_in
from imgctl.ops.support.top import Looker, Snapshot, record
from imgctl.run.logs import redact
from imgctl.run.stop import Stop
from imgctl.store.catalog.queries.claims import HEAD_ROWS
from imgctl.store.catalog.queries.operations import Operation
from imgctl.units import count_of, counts_of, format_seconds

PRINTED_ROWS = 40
SHORTEST_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(Options):
    once: bool = flag("Print one snapshot and exit; the default if stdout is not a terminal.")
    interval: float = option(2.0, "Refresh after this time, at least 100ms.", text="2s")
    spend: bool = flag("Also compute the bill of a large archive, which reads every row once.")


@subcommand(
    Args,
    examples="""
imgctl top
imgctl top --interval 10s --spend
imgctl top --once
imgctl top --once --json
""",
    settings={"cost.card": ""},
)
def command(session: Session, args: Args) -> ExitCode:
    """Show the backlog, rates, workers, leases, stuck rows, the last audit and the bill, live; q quits.

    With --json it prints a line per interval until stopped; with --once a single one. For any size of the archive, each
    query of a refresh reads at most 10,000 images, by an index. The bill reads every row, once: up to a million rows by
    default, for more with --spend; the live view shows it when it is computed, --json and --once wait for it.
    """
    place = redact(session.settings.catalog.url)
    live = not session.json and not args.once and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    interval = max(args.interval, SHORTEST_SECONDS)
    looks = 0
    with (
        Stop() as stop,
        interruptible(stop, lambda: stopped_code(stop)),
        catalog_of(session.settings) as catalog,
        ExitStack() as stack,
    ):
        looker = Looker(catalog=catalog, settings=session.settings, with_spend=args.spend, later=live)
        screen = stack.enter_context(Screen()) if live else None
        while True:
            try:
                seen = looker.look()
            except CatalogError as error:
                if screen is None:
                    raise
                screen.draw([place, "", error.line, "trying again"])
            else:
                looks += 1
                session.data({"type": "snapshot", **record(seen)})
                if screen is not None:
                    screen.draw(list(shown(seen, place, rows=screen.rows)))
                elif not session.json:
                    for line in shown(seen, place, rows=PRINTED_ROWS):
                        session.text(line)
            if args.once or (screen is None and not session.json):
                break
            if stop.wait(interval) if screen is None else screen.wait(interval, stop.requested):
                break
    session.summary(looks=looks)
    return stopped_code(stop)


def shown(seen: Snapshot, place: str, *, rows: int) -> Iterator[str]:
    """Yield a snapshot as up to `rows` lines: numbers, then running operations, then ended ones."""
    lines = [f"{place}  {seen.at:%Y-%m-%d %H:%M:%S} UTC", "", *_numbers(seen), ""]
    lines += _table(f"RUNNING ({len(seen.running)})", seen.running, seen)
    if seen.ended and len(lines) + 3 <= rows:
        lines += ["", *_table("ENDED", seen.ended, seen)]
    yield from lines[: max(rows, 1)]


def _numbers(seen: Snapshot) -> Iterator[str]:
    head, last = seen.head, seen.newest
    queue = {"waiting": head.processing - head.leased - head.archived, "leased": head.leased}
    least = "at least " if head.processing >= HEAD_ROWS else ""
    waiting = f"{least}{counts_of(queue, none='nothing waiting')}"
    oldest = f", oldest {format_seconds(head.oldest_seconds)}" if head.oldest_seconds else ""
    free = f", next lease ends in {format_seconds(head.next_free_seconds)}" if head.next_free_seconds else ""
    yield f"BACKLOG  {waiting}{oldest}{free}"
    done = "–" if seen.done_a_second is None else f"{seen.done_a_second:,.1f}"
    yield f"RATE     {last.a_second:,.1f}/s uploaded, {done}/s finished"
    workers = sum(one.command in {"work", "backfill"} for one in seen.running)
    yield f"WORKERS  {workers:,}"
    stuck = counts_of({"processing": head.stuck, "uploading": last.stuck})
    yield f"STUCK    {stuck} for more than 15 minutes"
    later = {"to retry": head.retried, "waiting for a restore": head.archived}
    yield f"LATER    {counts_of(later)}"
    yield f"AUDIT    {_audit(seen)}"
    if seen.billing:
        yield "SPEND    being computed: it reads every row"
    elif seen.unpriced:
        yield f"SPEND    not computed: {seen.unpriced}"
    elif seen.spend is None:
        yield f"SPEND    not computed for about {count_of(seen.images_about, 'image')} (--spend reads every row)"
    else:
        yield f"SPEND    ${seen.spend.monthly:,.2f} a month, and ${seen.spend.requests:,.2f} of requests in 30 days"


def _audit(seen: Snapshot) -> str:
    one = seen.audit
    if one is None or one.ended_at is None:
        return "none in the last 90 days"
    ago = format_seconds((seen.at - one.ended_at).total_seconds())
    found = counts_in(one).get("findings", 0)
    return f"{ago} ago, exit code {one.exit_code}, {count_of(found, 'finding')}"


def _table(title: str, some: tuple[Operation, ...], seen: Snapshot) -> Iterator[str]:
    yield title
    for one in some:
        if one.ended_at is None:
            ending = f"for {format_seconds((seen.at - one.started_at).total_seconds())}"
        else:
            ago = format_seconds((seen.at - one.ended_at).total_seconds())
            ending = f"{ago} ago, exit code {one.exit_code}  {counts_of(counts_in(one), none='')}"
        yield f"  {one.command:<12} {one.who:<10} {one.host}:{one.pid}  {ending}".rstrip()
