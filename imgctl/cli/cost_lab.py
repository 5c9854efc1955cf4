"""`imgctl cost lab`: an interactive page to feel the weight of each decision."""

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from imgctl.cli.base import Session, subcommand
from imgctl.cli.cost_render import card_record, show_card
from imgctl.cli.cost_types import PlanOptions, plan_of, plan_options
from imgctl.errors import ExitCode

if TYPE_CHECKING:
    from imgctl.pricing.plan import Plan
    from imgctl.pricing.prices import Card


@subcommand(
    examples="""
imgctl cost lab --out lab.html
imgctl cost lab --out lab.html --from-catalog
imgctl cost lab --out lab.html --uploads-per-day 5000 --views-per-upload 40
""",
    flags={"card": "cost.card"},
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file to write.")
@click.option("--from-catalog", is_flag=True, help="Start from the archive's own figures.")
@plan_options
@click.option(
    "--profile", type=click.Choice(["aws", "lesson"]), default="aws", show_default=True, help="Whose arithmetic."
)
@click.option("--card", metavar="FILE", help="The price card. [cost] card")
def command(
    session: Session, *, out: Path, from_catalog: bool, profile: str, **options: Unpack[PlanOptions]
) -> ExitCode:
    """Write one self-contained page: sliders and decisions on one side, the bill and the architecture on the other.

    It computes with the same card and the same formulas as `imgctl cost model`, and shows the command that gives the
    same figures. Nothing in it is loaded from a network.
    """
    from imgctl.ops.cost.cards import card_in_force
    from imgctl.ops.cost.lab.page import lab_page, write_page
    from imgctl.pricing.model import model
    from imgctl.pricing.plan import Profile

    card = card_in_force(session.settings)
    plan, origin = plan_of(**options), ""
    if from_catalog:
        plan, origin = _from_catalog(session, card, plan)
    # The model refuses what the page could not compute.
    model(card, plan, profile=Profile(profile))
    write_page(out, lab_page(card, plan, profile=Profile(profile), origin=origin))
    session.data({"type": "summary", "out": str(out), **card_record(card)})
    session.text(f"{out} is written; open it in a browser")
    show_card(session, card)
    return ExitCode.DONE


def _from_catalog(session: Session, card: "Card", plan: "Plan") -> "tuple[Plan, str]":
    from imgctl.ops.cost.catalog import catalog_of
    from imgctl.ops.cost.start import origin_of, plan_from
    from imgctl.ops.cost.survey import Question, survey

    with catalog_of(session.settings) as catalog:
        found = survey(catalog, card, Question(top=0))
    return plan_from(found, plan), origin_of(found)
