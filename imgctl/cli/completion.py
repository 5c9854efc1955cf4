"""`imgctl completion`: the shell script that completes command lines, and the values it offers."""

import inspect
import os
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click
from click.shell_completion import CompletionItem, get_completion_class

from imgctl.cli.layout import Command
from imgctl.cli.stdout import to_stdout

if TYPE_CHECKING:
    from imgctl.config.settings import Settings

EXAMPLES = """
imgctl completion bash > ~/.local/share/bash-completion/completions/imgctl
imgctl completion zsh > "${fpath[1]}/_imgctl"
imgctl completion fish > ~/.config/fish/completions/imgctl.fish
"""
SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_IMGCTL_COMPLETE"
MOST = 20
_ZERO = "00000000-0000-0000-0000-000000000000"


def show(shell: str) -> int:
    """Print the script that completes imgctl's command lines in a shell.

    It completes commands, options and files; for an ID the newest images whose id begins so, for a USER the owners of
    images, for a SOURCE the [source.NAME] tables. IDs and users come from the catalog; when it does not respond within
    a second, none are offered.
    """
    complete = get_completion_class(shell)
    assert complete is not None
    root = click.get_current_context().find_root()
    with to_stdout():
        click.echo(complete(root.command, {}, "imgctl", VARIABLE).source())
    return 0


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
    from imgctl.store.catalog.lookups import some_ids, some_users

    url = make_url(settings.catalog.url)
    if url.get_backend_name() != "sqlite":
        url = url.update_query_dict({"connect_timeout": "1", "options": "-c statement_timeout=1000"})
    elif not Path(url.database or "").exists():
        return
    first, last = (UUID(incomplete.lower() + _ZERO.replace("0", digit)[len(incomplete) :]) for digit in "0f")
    with closing(open_catalog(url.render_as_string(hide_password=False))) as catalog, catalog.read() as connection:
        yield from (some_users if users else some_ids)(connection, first, last, limit=MOST)


command = Command(
    callback=show,
    params=[click.Argument(["shell"], type=click.Choice(SHELLS))],
    text=inspect.cleandoc(show.__doc__ or ""),
    examples=EXAMPLES,
    main=(),
    common=(),
)
