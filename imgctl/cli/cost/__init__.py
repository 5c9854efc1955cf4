"""`imgctl cost`: a group whose commands are loaded when they run."""

from typing import Final

import click

from imgctl.cli.common.layout import Group

PARTS: Final = {
    "model": "Show the bill of a planned product, month by month.",
    "actual": "Show the monthly bill of the archive as it is now.",
    "what-if": "Show how a change would alter the bill, once and every month.",
    "lab": "Write an interactive page that shows the cost of each decision.",
    "cards": "Show the price card in force, or refresh it.",
}


EXAMPLES: Final = """
imgctl cost model --uploads-per-day 100000 --originals GLACIER
imgctl cost model --profile lesson --explain
imgctl cost actual --by user
imgctl cost what-if --transition 'older-than=90d,to=GLACIER'
imgctl cost lab --out lab.html
"""


@click.command(cls=Group, parts=PARTS, module="imgctl.cli.cost", examples=EXAMPLES)
def command() -> None:
    """Show the monthly bill: modelled, actual, and after a change.

    Every figure comes from a dated price card, whose name is printed with it. These commands send no request to the
    store and change nothing.
    """
