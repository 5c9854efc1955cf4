"""`imgctl ls`: one user's images."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

import click

from imgctl.cli.base import Session, subcommand
from imgctl.cli.table import table
from imgctl.cli.types import Moment, UserId
from imgctl.errors import ExitCode
from imgctl.model import Image
from imgctl.units import format_bytes

HEADERS = ("ID", "UPLOADED", "STATUS", "SIZE", "PIXELS", "CLASS", "ERROR")


@subcommand(
    examples="""
imgctl ls --user 0190b2b4-0000-7000-8000-000000000001
imgctl ls --user 0190b2b4-0000-7000-8000-000000000001 --since 24h --limit 20
imgctl ls --user 0190b2b4-0000-7000-8000-000000000001 --json
""",
)
@click.option("--user", required=True, type=UserId(), help="Whose images.")
@click.option("--since", type=Moment(), metavar="TIME", help="Not older than: 24h, 2026-11-22.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many.")
def command(session: Session, user: UUID, since: datetime | None, limit: int | None) -> ExitCode:
    """List a user's images, newest first."""
    from imgctl.ops.lookup import images_of, record
    from imgctl.ops.parts import open_parts

    count = 0

    def rows() -> Iterator[tuple[str, ...]]:
        nonlocal count
        for image in images_of(parts.catalog, user, since=since, limit=limit):
            count += 1
            session.data({"type": "image", **record(image)})
            yield _cells(image)

    with open_parts(session.settings) as parts:
        for line in table(HEADERS, rows()):
            session.text(line)
    session.data({"type": "summary", "images": count})
    if not count:
        session.note(f"user {user} has no images here")
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
