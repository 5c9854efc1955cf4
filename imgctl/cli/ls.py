"""`imgctl ls`: the newest images."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

import click

from imgctl.cli.base import Session, subcommand
from imgctl.cli.table import table
from imgctl.cli.types import Moment, UserId
from imgctl.errors import ExitCode
from imgctl.model import Image, Status
from imgctl.units import format_bytes

HEADERS = ("ID", "UPLOADED", "STATUS", "SIZE", "PIXELS", "CLASS", "ERROR")
USER_HEADERS = ("ID", "USER", *HEADERS[1:])


@subcommand(
    examples="""
imgctl ls --limit 20
imgctl ls --user 0190b2b4-0000-7000-8000-000000000001
imgctl ls --status failed --since 24h
imgctl ls --user 0190b2b4-0000-7000-8000-000000000001 --limit 100 --json
imgctl ls --limit 100 --before 0190b2b4-0000-7000-8000-000000000001
""",
)
@click.option("--user", type=UserId(), metavar="UUID", help="Only this user's images.")
@click.option("--status", type=click.Choice([one.value for one in Status]), help="Only images in this state.")
@click.option("--since", type=Moment(), metavar="TIME", help="Uploaded then or later: 24h, 2026-11-22.")
@click.option("--until", type=Moment(), metavar="TIME", help="Uploaded before: 90d, 2026-11-22.")
@click.option("--before", metavar="ID", help="Go on behind this image: the last one of the page before.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many.")
def command(
    session: Session,
    *,
    user: UUID | None,
    status: str | None,
    since: datetime | None,
    until: datetime | None,
    before: str | None,
    limit: int | None,
) -> ExitCode:
    """List images, newest first: one user's, or everybody's.

    With --limit the next page is the same command with --before and the last id of this one.
    """
    from imgctl.ops.lookup import Listed, listed, page_mark, record
    from imgctl.ops.parts import open_parts
    from imgctl.store.catalog.lookups import Scope

    count = 0
    last: UUID | None = None

    def rows() -> Iterator[tuple[str, ...]]:
        nonlocal count, last
        for image in listed(parts.catalog, wanted):
            count += 1
            last = image.id
            session.data({"type": "image", **record(image)})
            yield _cells(image) if user else _with_user(image)

    with open_parts(session.settings) as parts:
        wanted = Listed(
            scope=Scope(user_id=user, since=since, until=until),
            status=Status(status) if status else None,
            before=page_mark(parts.catalog, before) if before else None,
            limit=limit,
        )
        for line in table(HEADERS if user else USER_HEADERS, rows()):
            session.text(line)
    full = str(last) if last and count == limit else None
    session.data({"type": "summary", "images": count, "before": full})
    if full:
        session.note(f"there may be more: --before {full}")
    if not count:
        session.note(f"user {user} has no such images here" if user else "there are no such images here")
    return ExitCode.DONE


def _cells(image: Image) -> tuple[str, ...]:
    return (
        str(image.id),
        f"{image.uploaded_at:%Y-%m-%d %H:%M}",
        image.status,
        format_bytes(image.bytes) if image.bytes is not None else "",
        f"{image.width}×{image.height}" if image.width else "",
        image.storage_class or "STANDARD",
        image.error or "",
    )


def _with_user(image: Image) -> tuple[str, ...]:
    first, *rest = _cells(image)
    return (first, str(image.user_id), *rest)
