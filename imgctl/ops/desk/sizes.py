"""How large each variant is, and which one serves a need; worked out from the original's size and the recipe."""

from dataclasses import dataclass

from imgctl.errors import ImgctlError
from imgctl.model import Image, Recipe, Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A variant that exists, and how wide and high it is in pixels; 0 where the original's size is unknown."""

    variant: Variant
    max_edge_px: int
    width: int = 0
    height: int = 0


def scaled(width: int, height: int, max_edge_px: int) -> tuple[int, int]:
    """The size of a picture whose longest edge is made `max_edge_px`; never upscaled, never less than a pixel."""
    longest = max(width, height)
    if longest <= max_edge_px:
        return width, height
    return max(1, round(width * max_edge_px / longest)), max(1, round(height * max_edge_px / longest))


def offers(image: Image, recipe: Recipe) -> list[Offer]:
    """The variants that the row knows to be safe, smallest first."""
    found = []
    for spec in sorted(recipe.variants, key=lambda one: one.max_edge_px):
        if image.variant_key(spec.variant) is None:
            continue
        width, height = scaled(image.width or 0, image.height or 0, spec.max_edge_px)
        found.append(Offer(variant=spec.variant, max_edge_px=spec.max_edge_px, width=width, height=height))
    return found


def serving(image: Image, recipe: Recipe, *, width: int | None) -> Variant:
    """The smallest variant at least `width` pixels wide, else the smallest of the widest; None wants the largest.

    Without the original's size a variant counts as wide as its longest edge. ImgctlError where there is no variant.
    """
    there = offers(image, recipe)
    if not there:
        raise ImgctlError(
            f"image {image.id} is {image.status} and has no variants yet", hint=f"imgctl show {image.id} says why"
        )
    if width is None:
        return there[-1].variant
    wide = [one for one in there if _width(one) >= width]
    return wide[0].variant if wide else max(there, key=_width).variant


def _width(offer: Offer) -> int:
    return offer.width or offer.max_edge_px
