"""`imgctl cost`: a group whose parts are loaded when they run."""

from importlib import import_module
from typing import Final

import click

from imgctl.cli.main import EXIT_CODES

PARTS: Final = {
    "model": "The bill of a product that does not exist yet, month by month.",
    "actual": "The monthly bill of the archive as it stands.",
    "what-if": "What a change would do to the bill, once and every month.",
    "lab": "Write an interactive page to feel the weight of each decision.",
    "cards": "Show the price card in force, or refresh it.",
}


class Parts(click.Group):
    """A group that imports a part's module only when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(PARTS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in PARTS:
            ctx.fail(f"No such part {cmd_name!r}; there are {', '.join(PARTS)}.")
        found = import_module(f"imgctl.cli.cost_{cmd_name.replace('-', '_')}").command
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(PARTS.items()))


@click.command(
    cls=Parts,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"""\b
Examples:
  imgctl cost model --uploads-per-day 100000 --originals GLACIER
  imgctl cost model --profile lesson --explain
  imgctl cost actual --by user
  imgctl cost what-if --transition 'older-than=90d,to=GLACIER'
  imgctl cost lab --out lab.html

{EXIT_CODES}""",
)
def command() -> None:
    """Show the monthly bill: modelled, actual, and what a change would do to it.

    Every figure comes from a dated price card, which is named with it; nothing here asks the store, and nothing is
    changed.
    """
