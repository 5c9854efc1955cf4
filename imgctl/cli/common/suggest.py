"""The values that a shell's completion offers."""

import os
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from imgctl.config.settings import Settings

MOST = 20
_ZERO = "00000000-0000-0000-0000-000000000000"


def suggest(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return completions for the beginning of an ID, a USER or a SOURCE; none on any error."""
    metavar = str(param.make_metavar(ctx))
    with suppress(Exception):
        settings = _settings(ctx)
        if "SOURCE" in metavar:
            named = [
                CompletionItem(f"source:{name}") for name in settings.sources if f"source:{name}".startswith(incomplete)
            ]
            # Files first: bash drops the completions before them.
            return [CompletionItem(incomplete, type="file"), *named]
        return [CompletionItem(str(one)) for one in _from_catalog(settings, incomplete, users="USER" in metavar)]
    return []


def _settings(ctx: click.Context) -> "Settings":
    from imgctl.config.load import load_settings

    file = ctx.params.get("config_file")
    return load_settings(file=file if isinstance(file, Path) else None, environ=os.environ)


def _from_catalog(settings: "Settings", incomplete: str, *, users: bool) -> Iterator[UUID]:
    from sqlalchemy import make_url

    from imgctl.store.catalog.engine import open_catalog
    from imgctl.store.catalog.queries.lookups import some_ids, some_users

    url = make_url(settings.catalog.url)
    if url.get_backend_name() != "sqlite":
        url = url.update_query_dict({"connect_timeout": "1", "options": "-c statement_timeout=1000"})
    elif not Path(url.database or "").exists():
        return
    first, last = (UUID(incomplete.lower() + _ZERO.replace("0", digit)[len(incomplete) :]) for digit in "0f")
    with closing(open_catalog(url.render_as_string(hide_password=False))) as catalog, catalog.read() as connection:
        yield from (some_users if users else some_ids)(connection, first, last, limit=MOST)
