"""`imgctl cost lab`: an interactive page to feel the weight of each decision."""

from dataclasses import dataclass
from pathlib import Path

from imgctl.cli.base import Session, subcommand
from imgctl.cli.cost.model import PlanOptions
from imgctl.cli.options import flag, required
from imgctl.cli.render import card_record, show_card
from imgctl.errors import ExitCode
from imgctl.ops.cost.lab.page import lab_page, write_page
from imgctl.ops.cost.survey import Question, origin_of, plan_from, survey
from imgctl.ops.parts import catalog_of
from imgctl.ops.spend import cards_offered
from imgctl.pricing.model import model
from imgctl.pricing.plan import Plan, Profile
from imgctl.pricing.prices import Card


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(PlanOptions):
    out: Path = required(Path, "The file to write.")
    from_catalog: bool = flag("Start from the archive's own figures.")


@subcommand(
    Asked,
    examples="""
imgctl cost lab --out lab.html
imgctl cost lab --out lab.html --from-catalog
imgctl cost lab --out lab.html --uploads-per-day 5000
""",
    main="--out --from-catalog --uploads-per-day --views-per-upload --originals --archive-after --months",
    settings={"cost.card": ""},
)
def command(session: Session, asked: Asked) -> ExitCode:
    """Write one self-contained page: sliders and decisions on one side, the bill and the architecture on the other.

    It computes with the same cards and the same formulas as `imgctl cost model`, and shows the command that gives the
    same figures. It begins with the card in force; its provider switch takes any other that comes with imgctl, and says
    what that provider lacks. Nothing in it is loaded from a network.
    """
    cards = cards_offered(session.settings)
    card = next(iter(cards.values()))
    plan, origin = asked.plan, ""
    if asked.from_catalog:
        plan, origin = _from_catalog(session, card, plan)
    # The model refuses what the page could not compute.
    model(card, plan, profile=Profile(asked.profile))
    write_page(asked.out, lab_page(cards, plan, profile=Profile(asked.profile), origin=origin))
    session.data({"type": "summary", "out": asked.out, **card_record(card)})
    session.text(f"{asked.out} is written; open it in a browser")
    show_card(session, card)
    return ExitCode.DONE


def _from_catalog(session: Session, card: "Card", plan: "Plan") -> "tuple[Plan, str]":
    with catalog_of(session.settings) as catalog:
        found = survey(catalog, card, Question(top=0))
    return plan_from(found, plan), origin_of(found)
