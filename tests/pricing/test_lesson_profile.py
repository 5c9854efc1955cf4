"""Tests of the profile `lesson`: exact figures, and the explanations of its errors."""

from dataclasses import replace
from decimal import Decimal

import pytest

from imgctl.pricing.card_files import card_names, load_card
from imgctl.pricing.lesson_profile import terabytes
from imgctl.pricing.model import model, wrong_words
from imgctl.pricing.plan import Group, Modelled, Plan, Profile

CARD = load_card()


def lesson(plan: Plan) -> Modelled:
    return model(CARD, plan, profile=Profile.LESSON)


def test_the_lessons_figures_are_exact() -> None:
    found = lesson(Plan())

    # 100,000 × 4.25 MB × 365; 1,000,000 × 250 KB × 30.
    assert terabytes(found.figures.year_bytes) == "155.125 TB"
    assert terabytes(found.figures.view_bytes) == "7.5 TB"
    # 7,500 × .09; 750 × .085 + 30,000 × .0004; 12,750 × .023 + 9,000 × .005 + 75.75.
    assert found.figures.without_cdn == Decimal(675)
    assert found.figures.with_cdn == Decimal("75.75")
    assert found.months[0].total == Decimal(414)


def test_egress_is_billed_without_the_cdn() -> None:
    # 293.25 + 45 + 675.
    assert lesson(Plan(cdn=False)).months[0].total == Decimal("1013.25")


def test_originals_in_glacier_are_billed_at_the_glacier_price() -> None:
    month = lesson(Plan(originals="GLACIER")).months[0]

    # 3,750 × .023 + 9,000 × .0036.
    assert month.of(Group.STORAGE) == Decimal("118.65")


def test_each_month_adds_its_storage() -> None:
    found = lesson(Plan(months=3))

    assert [month.total for month in found.months] == [Decimal(414), Decimal("707.25"), Decimal("1000.5")]


@pytest.mark.parametrize(
    "words",
    [
        # 155,125 GB × .023 is a month's bill at the end of the year.
        "is $3,567.88 a month, not a year",
        "$19,572.64",
        # 3 / 4.25, and 1 − .0036 / .023 of that.
        "originals are 70.6 % of the bytes, but moving them to GLACIER saves 59.5 %",
        "each further month adds $293.25",
        "12,000,000 PUT cost $60.00, not 9,000,000 and $45.00",
        "$559.08 on CloudFront",
    ],
)
def test_errors_of_the_lesson_are_listed_with_the_arithmetic(words: str) -> None:
    assert words in "\n".join(wrong_words(lesson(Plan())))


def test_the_aws_profile_needs_no_correction() -> None:
    assert wrong_words(model(CARD, Plan())) == ()


def test_a_product_without_photos_is_corrected_without_a_division() -> None:
    empty = replace(Plan(), uploads_per_day=0, sizes={"original": 0})

    assert len(wrong_words(lesson(empty))) == 5


@pytest.mark.parametrize("name", [name for name in card_names() if not name.startswith("aws-")])
def test_a_provider_without_glacier_has_all_other_corrections(name: str) -> None:
    found = wrong_words(model(load_card(name), Plan(), profile=Profile.LESSON))

    assert len(found) == 4
    assert "GLACIER" not in "\n".join(found)
