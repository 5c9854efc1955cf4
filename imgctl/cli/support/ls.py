"""`imgctl ls`: the newest images."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from imgctl.cli.base import Session, subcommand
from imgctl.cli.options import RangeOptions, option
from imgctl.cli.render import show_table
from imgctl.errors import ExitCode
from imgctl.model import Image, Status
from imgctl.ops.lookup import Listed, listed, page_mark, record
from imgctl.ops.parts import open_parts
from imgctl.units import format_bytes

HEADERS = ("ID", "UPLOADED", "STATUS", "SIZE", "PIXELS", "CLASS", "NAME", "ERROR")
USER_HEADERS = ("ID", "USER", *HEADERS[1:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(RangeOptions):
    status: Status | None = option(None, "Only images in this state.")
    name: str | None = option(None, "Only files of this name, in any case; * and ? stand for others.", metavar="GLOB")
    before: str | None = option(None, "Go on behind this image: the last one of the page before.", metavar="ID")
    limit: int | None = option(None, "At most N images.")


@subcommand(
    Asked,
    examples="""
imgctl ls --limit 20
imgctl ls --user 0190b2b4-0000-7000-8000-000000000001
imgctl ls --status failed --since 24h
imgctl ls --user 0190b2b4-0000-7000-8000-000000000001 --name 'IMG_47*'
imgctl ls --user 0190b2b4-0000-7000-8000-000000000001 --limit 100 --json
imgctl ls --limit 100 --before 0190b2b4-0000-7000-8000-000000000001
""",
)
def command(session: Session, asked: Asked) -> ExitCode:
    """List images, newest first: one user's, or everybody's.

    With --limit the next page is the same command with --before and the last id of this one.
    """
    count = 0
    last: UUID | None = None

    def rows() -> Iterator[tuple[str, ...]]:
        nonlocal count, last
        for image in listed(parts.catalog, wanted):
            count += 1
            last = image.id
            session.data({"type": "image", **record(image)})
            yield _cells(image) if asked.user else _with_user(image)

    with open_parts(session.settings) as parts:
        wanted = Listed(
            scope=asked.scope,
            status=asked.status,
            name=asked.name,
            before=page_mark(parts.catalog, asked.before) if asked.before else None,
            limit=asked.limit,
        )
        show_table(session, HEADERS if asked.user else USER_HEADERS, rows())
    full = str(last) if last and count == asked.limit else None
    session.summary(images=count, before=full)
    if full:
        session.note(f"there may be more: --before {full}")
    if not count:
        session.note(f"user {asked.user} has no images that match" if asked.user else "no images match")
    return ExitCode.DONE


def _cells(image: Image) -> tuple[str, ...]:
    return (
        str(image.id),
        f"{image.uploaded_at:%Y-%m-%d %H:%M}",
        image.status,
        format_bytes(image.bytes) if image.bytes is not None else "",
        f"{image.width}×{image.height}" if image.width else "",
        image.storage_class or "STANDARD",
        image.name or "",
        image.error or "",
    )


def _with_user(image: Image) -> tuple[str, ...]:
    first, *rest = _cells(image)
    return (first, str(image.user_id), *rest)
