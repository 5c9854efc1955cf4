import re
from dataclasses import replace

import pytest

from imgctl.imaging import recipe_digest as recipes
from imgctl.imaging.recipe_digest import digest
from imgctl.model import Recipe, VariantFormat

SPEC = Recipe().variants[0]


def with_first(**change: object) -> Recipe:
    return Recipe(variants=(replace(SPEC, **change), *Recipe().variants[1:]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changed",
    [
        with_first(max_edge_px=321),
        with_first(quality=81),
        with_first(format=VariantFormat.WEBP),
        Recipe(variants=Recipe().variants[:2]),
        Recipe(background="#fffffe"),
        Recipe(keep=("copyright",)),
    ],
)
def test_a_changed_setting_changes_the_recipe(changed: Recipe) -> None:
    assert digest(changed) != digest(Recipe())


def test_a_changed_pipeline_changes_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(Recipe())
    monkeypatch.setattr(recipes, "PIPELINE_VERSION", recipes.PIPELINE_VERSION + 1)

    assert digest(Recipe()) != before


def test_order_and_letter_case_do_not_change_the_recipe() -> None:
    same = Recipe(variants=Recipe().variants[::-1], background="#FFFFFF")

    assert digest(same) == digest(Recipe())
    assert re.fullmatch("[0-9a-f]{8}", digest(same))
