"""Options that choose rows: by user, by time, or by a file of ids."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from imgctl.cli.common.options import Options, option, stdin_file

if TYPE_CHECKING:
    from imgctl.ops.common.rows import Chosen
    from imgctl.store.catalog.queries.lookups import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeOptions(Options):
    """Options that choose rows by user and by time."""

    user: UUID | None = option(None, "Only this user's images.")
    since: datetime | None = option(None, "Uploaded at this time or later: 24h, 2026-11-22.")
    until: datetime | None = option(None, "Uploaded before this time: 90d, 2026-11-22.")

    @property
    def scope(self) -> "Scope":
        """The options as a scope of the catalog."""
        from imgctl.store.catalog.queries.lookups import Scope

        return Scope(user_id=self.user, since=self.since, until=self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeOptions(RangeOptions):
    """Options that choose rows by user, by time, or by a file of ids."""

    ids_from: Path | None = option(
        None,
        "Only the images in this file: on each line an id, a key or a JSON object with an id.",
        kind=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
        metavar="FILE|-",
    )

    @property
    def is_scoped(self) -> bool:
        """Whether the options choose rows."""
        return bool(self.user or self.since or self.until or self.ids_from)

    @contextmanager
    def chosen(self) -> "Iterator[Chosen]":
        """Yield the options as operations take them."""
        from imgctl.ops.common.rows import Chosen

        if self.ids_from is None or str(self.ids_from) != "-":
            yield Chosen(scope=self.scope, ids_from=self.ids_from)
            return
        with stdin_file("--ids-from") as file:
            yield Chosen(scope=self.scope, ids_from=file)
