"""The choice of the variant for a requested size."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.errors import ImgctlError
from imgctl.keys import key_of, new_id
from imgctl.model import Image, Recipe, Status, Variant, VariantSpec, fit
from imgctl.ops.support.links import offers, serving

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EDGES = st.integers(1, 20_000)


def image_of(width: int | None, height: int | None, variants: list[Variant]) -> Image:
    one = new_id(NOON)
    keys = {variant: key_of(one, variant, "jpg") for variant in variants}
    return Image(
        id=one,
        user_id=UUID(int=1),
        uploaded_at=NOON,
        promised_at=NOON,
        status=Status.READY,
        width=width,
        height=height,
        thumb_key=keys.get(Variant.THUMB),
        medium_key=keys.get(Variant.MEDIUM),
        full_key=keys.get(Variant.FULL),
    )


def recipe_of(edges: list[int]) -> Recipe:
    specs = zip(Variant, edges, strict=True)
    return Recipe(variants=tuple(VariantSpec(variant=one, max_edge_px=edge, quality=80) for one, edge in specs))


@given(
    width=EDGES,
    height=EDGES,
    edges=st.lists(st.integers(16, 4096), min_size=3, max_size=3),
    there=st.sets(st.sampled_from(Variant), min_size=1),
    need=EDGES,
)
def test_the_smallest_variant_that_is_wide_enough_is_chosen(
    width: int, height: int, edges: list[int], there: set[Variant], need: int
) -> None:
    image, recipe = image_of(width, height, sorted(there)), recipe_of(edges)
    widths = {one.variant: one.width for one in offers(image, recipe)}

    chosen = serving(image, recipe, width=need)

    assert set(widths) == there
    wide = [size for size in widths.values() if size >= need]
    assert widths[chosen] == (min(wide) if wide else max(widths.values()))


@given(width=EDGES, height=EDGES, edge=st.integers(1, 4096))
def test_a_scaled_picture_fits_its_edge_and_is_never_larger(width: int, height: int, edge: int) -> None:
    wide, high = fit(width, height, edge)

    assert 1 <= wide <= width
    assert 1 <= high <= height
    assert max(wide, high) == min(edge, max(width, height))


@pytest.mark.parametrize(
    ("size", "need", "expected"),
    [
        ((4000, 3000), 300, Variant.THUMB),
        # Upright: the thumb is 240 wide and no more.
        ((3000, 4000), 300, Variant.MEDIUM),
        ((4000, 3000), 400, Variant.MEDIUM),
        ((4000, 3000), 9000, Variant.FULL),
        # Smaller than a thumb: all three are the same picture.
        ((200, 100), 400, Variant.THUMB),
        ((None, None), 400, Variant.MEDIUM),
    ],
)
def test_the_originals_size_decides_how_wide_a_variant_is(
    size: tuple[int | None, int | None], need: int, expected: Variant
) -> None:
    assert serving(image_of(*size, list(Variant)), Recipe(), width=need) is expected


def test_an_image_without_variants_is_an_error_with_a_hint() -> None:
    with pytest.raises(ImgctlError) as caught:
        serving(image_of(100, 100, []), Recipe(), width=10)

    assert "imgctl show" in caught.value.line


def test_the_largest_variant_is_chosen_by_default() -> None:
    assert serving(image_of(100, 100, list(Variant)), Recipe(), width=None) is Variant.FULL
