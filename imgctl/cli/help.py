"""`imgctl help`: shows the manual's pages and the commands' help, offline."""

import inspect
import shutil
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import groupby

import click

from imgctl.cli.common.layout import Command, Group
from imgctl.cli.common.stdout import to_stdout
from imgctl.cli.manual import ALIASES, ROOT, pages, rendered, title
from imgctl.errors import UsageError

EXAMPLES = """
imgctl help
imgctl help settings
imgctl help runbooks
imgctl help transition
imgctl help cost model
"""
MAX_COLUMNS = 100


def show(topic: tuple[str, ...]) -> int:
    """Show a page of the manual or a command's help; without a name, list both.

    The pages are those of docs/: guides, reference, operations, design. When a command and a page share a name, both are
    shown. On a terminal the text goes through $PAGER.
    """
    root = click.get_current_context().find_root()
    if not topic:
        return _page_through(_listed(root))
    parts = [*_command(root, topic), *_pages(" ".join(topic))]
    if not parts:
        raise _unknown(" ".join(topic), root)
    return _page_through(line for part in parts for line in part)


def _pages(name: str) -> Iterator[Iterator[str]]:
    columns = min(shutil.get_terminal_size().columns, MAX_COLUMNS)
    for page in pages().get(ALIASES.get(name, name), ()):
        yield rendered(page.read_text(encoding="utf-8"), columns=columns)


def _command(root: click.Context, names: tuple[str, ...]) -> Iterator[Iterator[str]]:
    """Yield the help of a command, or of a group's subcommand by two names; nothing for unknown names."""
    context = root
    for name in names:
        group = context.command
        if not isinstance(group, click.Group) or name not in group.list_commands(context):
            return
        command = group.get_command(context, name)
        assert command is not None
        context = click.Context(command, parent=context, info_name=name, **command.context_settings)
    yield iter([*context.get_help().splitlines(), ""])


def _listed(root: click.Context) -> Iterator[str]:
    """Yield every page with its title, by folder, then the commands."""
    found = [path for paths in pages().values() for path in paths]
    width = max(len(path.stem) for path in found)
    yield "Usage: imgctl help PAGE | COMMAND"
    for folder, below in groupby(sorted(found, key=lambda path: (path.parent != ROOT, path)), lambda path: path.parent):
        yield from ("", f"{'Pages' if folder == ROOT else folder.name.capitalize()}:")
        yield from (f"  {path.stem:{width}}  {title(path)}" for path in below)
    names = " ".join(root.command.list_commands(root)) if isinstance(root.command, Group) else ""
    yield from ("", "Commands:", *(f"  {line}" for line in click.wrap_text(names, 76).splitlines()))


def _unknown(name: str, root: click.Context) -> UsageError:
    known = [*pages(), *ALIASES, *(root.command.list_commands(root) if isinstance(root.command, Group) else ())]
    near = get_close_matches(name, known, n=3)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    return UsageError(f"no page or command is called {name!r}", hint=f"{hint}imgctl help lists them")


def _page_through(lines: Iterator[str]) -> int:
    with to_stdout():
        click.echo_via_pager(f"{line}\n" for line in lines)
    return 0


command = Command(
    callback=show,
    params=[click.Argument(["topic"], nargs=-1, metavar="[PAGE|COMMAND]...")],
    text=inspect.cleandoc(show.__doc__ or ""),
    examples=EXAMPLES,
    main=(),
    common=(),
)
