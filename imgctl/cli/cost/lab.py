"""`imgctl cost lab`: writes an interactive page that shows the cost of each decision."""

from dataclasses import dataclass
from pathlib import Path

from imgctl.cli.common.options import flag, required
from imgctl.cli.common.render import card_record, say_unpriced, show_card
from imgctl.cli.common.session import Session, subcommand
from imgctl.cli.cost.model import PlanOptions
from imgctl.errors import ExitCode
from imgctl.ops.common.open import catalog_of
from imgctl.ops.common.spend import cards_offered
from imgctl.ops.cost.lab.page import lab_page, write_page
from imgctl.ops.cost.survey import Question, origin_of, plan_from, survey
from imgctl.pricing.model import model
from imgctl.pricing.plan import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(PlanOptions):
    out: Path = required(Path, "The file to write.")
    from_catalog: bool = flag("Start with the archive's own figures.")


@subcommand(
    Args,
    examples="""
imgctl cost lab --out lab.html
imgctl cost lab --out lab.html --from-catalog
imgctl cost lab --out lab.html --uploads-per-day 5000
""",
    main="--out --from-catalog --uploads-per-day --views-per-upload --originals --archive-after --months",
    settings={"cost.card": ""},
)
def command(session: Session, args: Args) -> ExitCode:
    """Write one self-contained page: sliders and decisions on one side, the bill and the architecture on the other.

    It uses the same cards and formulas as `imgctl cost model`, and shows the command that gives the same figures. It
    starts with the card in use; its provider switch selects any other card of imgctl, and shows what that provider
    lacks. The page loads nothing from a network.
    """
    cards = cards_offered(session.settings)
    card = next(iter(cards.values()))
    plan, origin, code = args.plan, "", ExitCode.DONE
    if args.from_catalog:
        with catalog_of(session.settings) as catalog:
            found = survey(catalog, card, Question(top=0))
        plan, origin = plan_from(found, plan), origin_of(found)
        code = ExitCode.PARTLY if say_unpriced(session, card, found.archive) else code
    # Raises UsageError for plans that the page could not compute.
    model(card, plan, profile=Profile(args.profile))
    write_page(args.out, lab_page(cards, plan, profile=Profile(args.profile), origin=origin))
    session.data({"type": "summary", "out": args.out, **card_record(card)})
    session.text(f"wrote {args.out}; open it in a browser")
    show_card(session, card)
    return code
