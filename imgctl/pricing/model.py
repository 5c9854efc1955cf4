"""The bill of a product that does not exist yet."""

from imgctl.pricing import aws_model, lesson
from imgctl.pricing.modelled import Modelled
from imgctl.pricing.plan import VIEWED, Plan, Profile
from imgctl.pricing.prices import Card


def model(card: Card, plan: Plan, *, profile: Profile = Profile.AWS) -> Modelled:
    """The plan's bill by a profile; ConfigError where the card lacks the class of its originals or a price."""
    card.of(plan.originals)
    if profile is Profile.LESSON:
        months, figures, words = lesson.lesson_months, lesson.lesson_figures, lesson.ASSUMPTIONS
    else:
        months, figures, words = aws_model.aws_months, aws_model.aws_figures, aws_model.ASSUMPTIONS
    return Modelled(
        plan=plan,
        profile=profile,
        card=card,
        months=tuple(months(card, plan)),
        figures=figures(card, plan),
        assumptions=(_view(plan), *words),
    )


def _view(plan: Plan) -> str:
    if not plan.viewed:
        return "nothing is viewed: there is no variant"
    told = f"a view loads {' and '.join(plan.viewed)}"
    missing = [name for name in VIEWED if name not in plan.variants]
    return f"{told} ({', '.join(missing)} is not built, the next size stands in)" if missing else told
