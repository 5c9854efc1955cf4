"""The largest variant's pixels: the first decode that succeeds, shrunk, coloured, turned and held in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from imgctl.errors import ImageRejected
from imgctl.imaging.colour import ProfileUnusable, has_alpha, on_background, to_srgb, without_profile
from imgctl.imaging.decode import Decoded, Limits, can_libvips, with_libvips, with_pillow
from imgctl.imaging.exif import Exif
from imgctl.imaging.flat import is_flat, is_hidden, look_edge
from imgctl.imaging.formats import Format
from imgctl.imaging.memory import MemoryNeeded
from imgctl.imaging.plain_words import explain, is_harmless
from imgctl.imaging.raster import Raster, computed
from imgctl.imaging.source import Data
from imgctl.imaging.vips import pyvips
from imgctl.model import Recipe

HINT = "the original is safe in the store; look at it, and upload a whole copy if there is one"
"""The next step for a picture that will not render as it is."""

PROFILE_LEFT_OUT = "its colour profile is damaged or not made for it, and is left out"

# Less CPU than lanczos3 for an RMS difference of 0.8 of 255 (measured on an 8-megapixel photo).
_KERNEL = "cubic"
_TURNS: dict[int, Callable[[pyvips.Image], pyvips.Image]] = {
    2: lambda image: image.fliphor(),
    3: lambda image: image.rot180(),
    4: lambda image: image.flipver(),
    5: lambda image: image.rot90().fliphor(),
    6: lambda image: image.rot90(),
    7: lambda image: image.rot270().fliphor(),
    8: lambda image: image.rot270(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Master:
    """The largest variant's pixels in memory, upright sRGB, and the facts of its original as seen."""

    raster: Raster
    width: int
    height: int
    exif: Exif
    see_through: bool = False
    damage: str | None = None


def master_of(data: Data, kind: Format, recipe: Recipe, limits: Limits) -> Master:
    """The first decode that succeeds, strict ones before lenient ones; ImageRejected when none does."""
    edge = max(spec.max_edge_px for spec in recipe.variants)
    complaints: list[Exception] = []
    for lenient, decode in _decodes(data, kind, edge, limits):
        try:
            master = _finished(decode(), recipe.background, edge)
        except MemoryNeeded as error:
            complaints.append(error)
            continue
        except ImageRejected:
            raise
        except Exception as error:  # Pillow's plugins raise what they like; libvips raises pyvips.Error.
            complaints.append(error)
            continue
        if lenient and is_flat(master.raster) and not is_harmless(complaints[0]):
            continue
        if is_flat(master.raster) and _is_hidden(data, kind, master.raster, limits):
            raise _hidden(master, recipe.background)
        if not lenient or is_harmless(complaints[0]):
            return master
        damage = explain(*complaints, otherwise="a part of the file cannot be decoded")
        return replace(master, damage="; ".join(filter(None, (damage, master.damage))))
    if isinstance(complaints[0], MemoryNeeded):
        # What others said of it then, they said for want of memory too.
        raise complaints[0]
    reason = explain(*complaints, otherwise="no decoder here can read it")
    raise ImageRejected(f"the picture cannot be decoded: {reason}", hint=HINT) from complaints[0]


def _decodes(data: Data, kind: Format, edge: int, limits: Limits) -> Iterator[tuple[bool, Callable[[], Decoded]]]:
    """The ways to decode, in the order to try them, each with whether it overlooks damage."""

    def libvips(*, lenient: bool) -> Callable[[], Decoded]:
        return lambda: with_libvips(data, kind, max_edge_px=edge, limits=limits, lenient=lenient)

    def second(*, lenient: bool) -> Callable[[], Decoded]:
        return lambda: with_pillow(data, kind, limits=limits, lenient=lenient)

    first = can_libvips(data, kind)
    if first:
        yield False, libvips(lenient=False)
    # Pillow overlooks corrupt JPEG data, so its strict decode would hide what libvips saw.
    if kind is not Format.JPEG:
        yield False, second(lenient=False)
    if first:
        yield True, libvips(lenient=True)
    yield True, second(lenient=True)


def _is_hidden(data: Data, kind: Format, raster: Raster, limits: Limits) -> bool:
    """Whether the original, decoded once more in every way and small, is not flat."""
    edge = look_edge(raster)
    return is_hidden((decode for _, decode in _decodes(data, kind, edge, limits)), edge)


def _hidden(master: Master, background: str) -> ImageRejected:
    if master.see_through:
        return ImageRejected(
            f"its variants would be one flat colour: its transparency hides it on the background {background}",
            hint="set another [variants] background, or upload it without transparency",
        )
    return ImageRejected("its variants would be one flat colour, and the picture is not", hint=HINT)


def _finished(decoded: Decoded, background: str, edge: int) -> Master:
    """Run the decode; pixels are worth more than the profile that comes with them."""
    try:
        return _computed(decoded, background, edge)
    except ProfileUnusable:
        plain = replace(decoded, image=without_profile(decoded.image))
        return replace(_computed(plain, background, edge), damage=PROFILE_LEFT_OUT)


def _computed(decoded: Decoded, background: str, edge: int) -> Master:
    """Shrink, colour, turn, and hold the result in memory."""
    image, points = decoded.image, decoded.points
    # Transparency first: shrinking before flattening would bleed the colour of invisible pixels.
    see_through = has_alpha(image)
    if see_through:
        image, points = on_background(image, background, points), None
    width, height = fit(decoded.width, decoded.height, edge)
    raster = computed(to_srgb(resized(image, width, height), points))
    turn = _TURNS.get(decoded.orientation)
    upright = computed(turn(raster.image)) if turn else raster
    swapped = decoded.orientation >= 5
    seen = (decoded.height, decoded.width) if swapped else (decoded.width, decoded.height)
    return Master(raster=upright, width=seen[0], height=seen[1], exif=decoded.exif, see_through=see_through)


def fit(width: int, height: int, edge: int) -> tuple[int, int]:
    """The size that fits into a square of `edge` pixels: never larger than it was, never below one pixel."""
    scale = min(1.0, edge / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def resized(image: pyvips.Image, width: int, height: int) -> pyvips.Image:
    if (image.width, image.height) == (width, height):
        return image
    return image.resize(width / image.width, vscale=height / image.height, kernel=_KERNEL)
