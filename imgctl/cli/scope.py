"""The options that say which rows a command is about, the same for every command."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import click

from imgctl.cli.types import Moment, UserId

if TYPE_CHECKING:
    from imgctl.ops.rows import Chosen

F = TypeVar("F", bound=Callable[..., object])


def range_options(function: F) -> F:
    """Add --user, --since and --until."""
    options = (
        click.option("--user", type=UserId(), metavar="UUID", help="Only this user's images."),
        click.option("--since", type=Moment(), metavar="TIME", help="Uploaded then or later: 24h, 2026-11-22."),
        click.option("--until", type=Moment(), metavar="TIME", help="Uploaded before: 90d, 2026-11-22."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def scope_options(function: F) -> F:
    """Add --user, --since, --until and --ids-from; `chosen` makes of them what ops understand."""
    ids_from = click.option(
        "--ids-from",
        type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
        metavar="FILE|-",
        help="Only the images named here: an id, a key or a JSON object with an id a line.",
    )
    return range_options(ids_from(function))


@contextmanager
def chosen(
    *, user: UUID | None, since: datetime | None, until: datetime | None, ids_from: Path | None
) -> "Iterator[Chosen]":
    """What the options say; standard input is kept in a temporary file, because it is read more than once."""
    from imgctl.ops.rows import Chosen
    from imgctl.store.catalog.lookups import Scope

    scope = Scope(user_id=user, since=since, until=until)
    if ids_from is None or str(ids_from) != "-":
        yield Chosen(scope=scope, ids_from=ids_from)
        return
    from imgctl.run.scratch import Scratch

    with Scratch("ids") as scratch:
        file = scratch.path / "stdin"
        with file.open("wb") as kept:
            shutil.copyfileobj(sys.stdin.buffer, kept)
        yield Chosen(scope=scope, ids_from=file)
