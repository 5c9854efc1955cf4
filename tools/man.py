"""Man pages of imgctl and its commands, from the commands themselves: python -m tools.man DIRECTORY.

The pages of section 1 go to DIRECTORY/man1, one a command: `man imgctl-cost-model`.
"""

import argparse
import re
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click

from imgctl import __version__
from imgctl.cli.common.layout import EXIT_CODES, Command, Group
from imgctl.cli.main import COMMANDS, cli
from tools.docs import commands


def page(name: str, command: Command | Group) -> str:
    """The page of a command in roff; `name` is empty for imgctl itself."""
    title = f"imgctl {name}".strip()
    context = click.Context(command, info_name=title, **command.context_settings)
    first, _, rest = cleandoc(command.help or "").partition("\n\n")
    lines = [
        f'.TH {_page_name(name).upper()} 1 "" "imgctl {__version__}" "imgctl"',
        *_section("NAME", f"{_page_name(name)} \\- {_escaped(' '.join(first.split()).rstrip('.'))}"),
        *_section("SYNOPSIS", f".B {_escaped(title)}", _escaped(" ".join(command.collect_usage_pieces(context)))),
        *_section("EXAMPLES", *_verbatim(command.examples.strip())),
    ]
    if isinstance(command, Command):
        for heading, options in command.sections(context).items():
            if options:
                lines += _section(heading.upper(), *_records(options, context))
    else:
        lines += _section("COMMANDS", *(line for entry in command.parts.items() for line in _entry(*entry)))
        options = [one for one in command.get_params(context) if isinstance(one, click.Option)]
        lines += _section("OPTIONS", *_records(options, context))
    if rest:
        lines += _section("DESCRIPTION", *_paragraphs(rest))
    codes = re.findall(r"^ +(\d+)  (.+)$", EXIT_CODES, re.MULTILINE)
    lines += _section("EXIT STATUS", *(line for code, meaning in codes for line in _entry(code, meaning)))
    others = [_page_name(one) for one in ["", *COMMANDS] if one != name]
    lines += _section("SEE ALSO", ", ".join(f"\\fB{one}\\fR(1)" for one in others), ".PP", "imgctl help")
    return "\n".join(lines) + "\n"


def _page_name(name: str) -> str:
    return "-".join(["imgctl", *name.split()]).replace("-", "\\-")


def _section(heading: str, *lines: str) -> list[str]:
    return [f'.SH "{heading}"', *lines]


def _records(options: list[click.Option], context: click.Context) -> Iterator[str]:
    for option in options:
        if record := option.get_help_record(context):
            yield from _entry(*record)


def _entry(term: str, text: str) -> list[str]:
    return [".TP", f".B {_escaped(term)}", _escaped(text)]


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield ".PP"
        kept = paragraph.startswith("\b")
        yield from _verbatim(paragraph.removeprefix("\b\n")) if kept else [_escaped(" ".join(paragraph.split()))]


def _verbatim(text: str) -> list[str]:
    return [".nf", *map(_escaped, text.splitlines()), ".fi"]


def _escaped(text: str) -> str:
    """Return the text escaped for roff."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="the man directory: /usr/local/share/man")
    folder = parser.parse_args().directory / "man1"
    folder.mkdir(parents=True, exist_ok=True)
    for name, command in {"": cli, **commands()}.items():
        (folder / f"{'-'.join(['imgctl', *name.split()])}.1").write_text(page(name, command), encoding="utf-8")


if __name__ == "__main__":
    main()
