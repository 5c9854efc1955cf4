"""`imgctl stats`: counts images, bytes and failures, and shows how long the oldest image waits."""

from collections.abc import Iterator
from dataclasses import dataclass

import click

from imgctl.cli.common.options import RangeOptions, option
from imgctl.cli.common.render import show_table
from imgctl.cli.common.session import Session, subcommand
from imgctl.errors import ExitCode
from imgctl.model import Status
from imgctl.ops.common.lookup import grouped
from imgctl.ops.common.open import open_parts
from imgctl.store.catalog.queries.aggregates import By, Group
from imgctl.units import format_bytes, format_seconds

GROUPS = ("user", "day", "status", "class")
HEADERS = ("IMAGES", "BYTES", *(status.upper() for status in Status), "OLDEST UNFINISHED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(RangeOptions):
    by: str | None = option(
        None, "Print a line for each user, day (UTC), state or storage class.", kind=click.Choice(GROUPS)
    )


@subcommand(
    Args,
    examples="""
imgctl stats
imgctl stats --by day --since 30d
imgctl stats --by user --json
imgctl stats --by class --user 0190b2b4-0000-7000-8000-000000000001
""",
)
def command(session: Session, args: Args) -> ExitCode:
    """Count images by state, and the bytes of their originals: one query to the catalog, no request to the store."""
    by, total, size = args.by, 0, 0

    def rows() -> Iterator[tuple[str, ...]]:
        nonlocal total, size
        for one in found:
            total += one.images
            size += one.bytes
            age = None if one.backlog_seconds is None else round(one.backlog_seconds, 3)
            states = {status.value: one.states[status] for status in Status}
            about = {by or "group": one.group, "images": one.images, "bytes": one.bytes, **states}
            session.data({"type": "group", **about, "backlog_seconds": age})
            yield (one.group, *_cells(one)) if by else _cells(one)

    with (
        open_parts(session.settings) as parts,
        grouped(parts.catalog, args.scope, by=By(by) if by else None) as found,
    ):
        show_table(session, (by.upper(), *HEADERS) if by else HEADERS, rows())
    session.summary(images=total, bytes=size)
    return ExitCode.DONE


def _cells(one: Group) -> tuple[str, ...]:
    waited = "" if one.backlog_seconds is None else format_seconds(one.backlog_seconds)
    return (f"{one.images:,}", format_bytes(one.bytes), *(f"{one.states[status]:,}" for status in Status), waited)
