"""`imgctl cost`: a group whose parts are loaded when they run."""

from typing import Final

import click

from imgctl.cli.layout import Group

PARTS: Final = {
    "model": "The bill of a product that does not exist yet, month by month.",
    "actual": "The monthly bill of the archive as it stands.",
    "what-if": "What a change would do to the bill, once and every month.",
    "lab": "Write an interactive page to feel the weight of each decision.",
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
    """Show the monthly bill: modelled, actual, and what a change would do to it.

    Every figure comes from a dated price card, which is named with it; nothing here asks the store, and nothing is
    changed.
    """
