"""`imgctl find`: finds images by their metadata, or lists the newest."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

import click

from imgctl.cli.common.options import RangeOptions, flag, option, optional
from imgctl.cli.common.render import show_table
from imgctl.cli.common.session import Session, subcommand
from imgctl.errors import ExitCode, ImgctlError, UsageError, usable
from imgctl.model import Image, Status
from imgctl.ops.common.lookup import Listed, check_indexed, listed, page_mark, record, sought_by
from imgctl.ops.common.open import Parts, open_parts
from imgctl.store.catalog.queries.find import Sought
from imgctl.units import format_bytes

HEADERS = ("ID", "UPLOADED", "STATUS", "SIZE", "PIXELS", "CLASS", "NAME", "ERROR")
USER_HEADERS = ("ID", "USER", *HEADERS[1:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(RangeOptions):
    what: str | None = optional("[NAME|ID|KEY|URL|SHA256]")
    name: str | None = option(None, "Only files of this name, in any case; * and ? are wildcards.", metavar="GLOB")
    like: Path | None = option(None, "Only images of the same content as this file.")
    near: Path | None = option(None, "Only images that look like this file ([find] near = true).")
    distance: int = option(10, "With --near: the most of 64 bits that may differ.", kind=click.IntRange(0, 64))
    caption: tuple[str, ...] = option((), "Only captions with this word (repeatable).", metavar="WORD")
    taken_since: datetime | None = option(None, "Taken at this time or later: 2026-05-01.")
    taken_until: datetime | None = option(None, "Taken before this time: 2026-06-01.")
    status: Status | None = option(None, "Only images in this state.")
    all_users: bool = flag("Allow reading every row of every user if no index helps.")
    before: str | None = option(None, "Continue after this image, the last of the previous page.", metavar="ID")
    limit: int | None = option(None, "At most N images.")

    def sought(self, parts: Parts) -> Sought:
        """Return the options as a query of the catalog."""
        by = Sought() if self.what is None else sought_by(parts.catalog, self.what)
        if (self.name and by.name) or (self.like and by.sha256):
            raise UsageError(f"{self.what} repeats --name or --like", hint="use one of them")
        return replace(
            by,
            name=self.name or by.name,
            sha256=_digest(self.like) if self.like else by.sha256,
            words=self.caption,
            taken_since=self.taken_since,
            taken_until=self.taken_until,
            status=self.status,
            among=tuple(_near(parts, self, self.near)) if self.near else None,
        )


@subcommand(
    Args,
    examples="""
imgctl find --limit 20
imgctl find IMG_4711 --taken-since 2026-05-01 --taken-until 2026-06-01
imgctl find '*beach*' --user 0190b2b4-0000-7000-8000-000000000001
imgctl find --like photo.jpg --user 0190b2b4-0000-7000-8000-000000000001
imgctl find --near photo.jpg --user 0190b2b4-0000-7000-8000-000000000001
imgctl find --caption sunset --caption hamburg --all-users
imgctl find --status failed --since 24h --json
""",
    main="--user --like --near --caption --taken-since --taken-until --status --limit",
)
def command(session: Session, args: Args) -> ExitCode:
    """Find images by name, content, caption or date, or list them all; newest first.

    A NAME matches files that begin with it, in any case, unless it has wildcards. Upload times and one user's contents have
    an index; for names, captions and capture times the command reads every row of the user, and prints that.
    [find] index = true and `imgctl init` build indexes of names, capture times and all users' contents. With --limit, the
    next page is the same command with --before and the last id. `imgctl ls` is an alias.
    """
    count = 0
    last: UUID | None = None

    def rows() -> Iterator[tuple[str, ...]]:
        nonlocal count, last
        for image in listed(parts.catalog, wanted):
            count += 1
            last = image.id
            session.data({"type": "image", **record(image)})
            yield _cells(image) if args.user else _with_user(image)

    with open_parts(session.settings) as parts:
        sought = args.sought(parts)
        if args.near:
            session.note(f"every image of {'the user' if args.user else 'all users'} is compared")
        if what := check_indexed(parts.catalog, sought, args.scope, agreed=args.all_users):
            session.note(f"no index covers {what}: every row of {'the user' if args.user else 'the scope'} is read")
        before = page_mark(parts.catalog, args.before) if args.before else None
        wanted = Listed(scope=args.scope, sought=sought, before=before, limit=args.limit)
        show_table(session, HEADERS if args.user else USER_HEADERS, rows())
    full = str(last) if last and count == args.limit else None
    session.summary(images=count, before=full)
    if full:
        session.note(f"there may be more: --before {full}")
    if not count:
        session.note(f"user {args.user} has no images that match" if args.user else "no images match")
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


def _near(parts: Parts, args: Args, file: Path) -> Iterable[UUID]:
    """Return the images that look like a file.

    Raises UsageError if [find] near is off, or if all users are meant without --all-users.
    """
    if not parts.settings.find.near:
        hint = "[find] near = true, then `imgctl work`; for images that are ready `imgctl backfill --force --variant thumb`"
        raise UsageError("[find] near is off: the catalog has no fingerprints", hint=hint)
    if args.user is None and not args.all_users:
        raise UsageError("every image of every user would be compared", hint="--user, or --all-users")
    from imgctl.imaging.render import render
    from imgctl.model import Variant
    from imgctl.store.catalog.queries.fingerprints import nearest

    recipe = parts.settings.variants.recipe()
    small = replace(recipe, variants=tuple(one for one in recipe.variants if one.variant is Variant.THUMB))
    with usable(file, "check --near"):
        data = file.read_bytes()
    try:
        looks = render(data, small, looks=True).looks
    except ImgctlError as error:
        raise UsageError(f"{file}: {error.message}", hint=error.hint) from None
    with parts.catalog.read() as connection:
        return nearest(connection, args.user, looks or 0, distance=args.distance)


def _digest(file: Path) -> bytes:
    with usable(file, "check --like"), file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()
