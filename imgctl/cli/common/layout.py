"""Layout of `--help`: a summary, examples and the main options fit on one screen of 24 × 80; the rest follows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from inspect import cleandoc
from typing import Final

import click

from imgctl.cli.common.stdout import printing

CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
EXIT_CODES: Final = """\b
Exit codes:
  0  done
  1  error
  2  usage or configuration
  3  partly done (some items failed)
  4  audit or verify found something
  5  no catalog, or schema not current (imgctl init)
  130  interrupted
  141  the reader of its output exited (| head)"""


class _Guarded(click.Command):
    """A command whose --help reports errors of stdout."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        if self._help_option is None and (option := super().get_help_option(ctx)):
            printing(option)
        return self._help_option


class Command(_Guarded):
    """A command whose help shows the options of `main`, as typed, first, and those of `common` last.

    If `is_recorded` is set, runs that may change something are recorded in `operations`.
    """

    def __init__(
        self,
        *,
        callback: Callable[..., object],
        params: Sequence[click.Parameter],
        text: str,
        examples: str,
        main: Sequence[str],
        common: Sequence[str],
        is_recorded: bool = False,
    ) -> None:
        super().__init__(
            None, callback=callback, params=list(params), help=text, epilog=EXIT_CODES, context_settings=dict(CONTEXT)
        )
        self.examples, self.is_recorded = examples, is_recorded
        self._main, self._common = main, common

    def sections(self, ctx: click.Context) -> dict[str, list[click.Option]]:
        """Return the options by heading, in the order shown."""
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        by_name = {name: one for one in options for name in one.opts}
        main = [by_name[name] for name in self._main]
        common = [by_name[name] for name in (*self._common, "--help")]
        more = [one for one in options if one not in main and one not in common]
        return {"Options": main, "More options": more, "Options of every command": common}

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _open(self.help, self.examples, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        (heading, main), *rest = self.sections(ctx).items()
        _list(heading, main, ctx, formatter)
        _describe(self.help, formatter)
        for heading, options in rest:
            _list(heading, options, ctx, formatter)


class Group(_Guarded, click.Group):
    """Commands by name, each with a line of help; a command's module is imported when it runs.

    `parts` has every name, `main` the names shown first. A command's module has its name and is in the package
    `module`, or in the subpackage that `folders` gives; `aliases` maps other names to commands.
    """

    def __init__(
        self,
        *,
        parts: Mapping[str, str],
        module: str,
        examples: str,
        folders: Mapping[str, Sequence[str]] | None = None,
        main: Sequence[str] = (),
        aliases: Mapping[str, str] | None = None,
        **rest: object,
    ) -> None:
        super().__init__(epilog=EXIT_CODES, context_settings=dict(CONTEXT), **rest)  # type: ignore[arg-type]
        for one in self.params:
            # Such an option prints and exits: --version.
            if isinstance(one, click.Option) and one.is_eager:
                printing(one)
        self.examples = examples
        self.parts, self._main, self._aliases = parts, main or tuple(parts), aliases or {}
        self._packages = dict.fromkeys(parts, module)
        self._packages |= {name: f"{module}.{folder}" for folder, names in (folders or {}).items() for name in names}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.parts)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        cmd_name = self._aliases.get(cmd_name, cmd_name)
        if cmd_name not in self.parts:
            from difflib import get_close_matches

            near = get_close_matches(cmd_name, self.parts, n=1)
            ctx.fail(f"No such command {cmd_name!r}." + (f" Did you mean {near[0]}?" if near else ""))
        found = import_module(f"{self._packages[cmd_name]}.{cmd_name.replace('-', '_')}").command
        assert isinstance(found, click.Command)
        return found

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _open(self.help, self.examples, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        more = [name for name in self.parts if name not in self._main]
        for heading, names in (("Commands", self._main), ("More commands", more)):
            if names:
                with formatter.section(heading):
                    formatter.write_dl([(name, self.parts[name]) for name in names])
        _describe(self.help, formatter)
        _list("Options", [one for one in self.get_params(ctx) if isinstance(one, click.Option)], ctx, formatter)


def _open(text: str | None, examples: str, formatter: click.HelpFormatter) -> None:
    """Write the summary and the examples."""
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(cleandoc(text or "").partition("\n\n")[0])
    with formatter.section("Examples"):
        formatter.write("".join(f"  {line}\n" for line in examples.strip().splitlines()))


def _describe(text: str | None, formatter: click.HelpFormatter) -> None:
    """Write the description: the help's text after its first paragraph."""
    if rest := cleandoc(text or "").partition("\n\n")[2]:
        with formatter.section("Description"):
            formatter.write_text(rest)


def _list(heading: str, options: Iterable[click.Option], ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write a heading and its options; nothing without options."""
    records = [record for one in options if (record := one.get_help_record(ctx))]
    if records:
        with formatter.section(heading):
            formatter.write_dl(records)
