"""From an original's bytes to its variants: one decode, the largest first, each smaller one from it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from imgctl.errors import ImageRejected
from imgctl.imaging import pillow
from imgctl.imaging.colour import has_alpha, on_background, to_srgb
from imgctl.imaging.decode import Decoded, can_libvips, with_libvips, with_pillow
from imgctl.imaging.encode import encode
from imgctl.imaging.exif import Exif, is_raw, ownership_block
from imgctl.imaging.formats import Format, sniff, stranger
from imgctl.imaging.plain_words import explain, is_harmless
from imgctl.imaging.vips import pyvips
from imgctl.model import Recipe, Variant, VariantSpec

_HINT = "look at the original; `imgctl repair` tries again once it is mended"
# A tenth less CPU a photo than lanczos3 and no halo at hard edges; what differs needs a magnifier.
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
class RenderedVariant:
    """One variant, ready to store."""

    variant: Variant
    data: bytes
    width: int
    height: int
    content_type: str
    extension: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """All variants in the recipe's order, the original's size as seen, and what was wrong with it, if anything."""

    variants: tuple[RenderedVariant, ...]
    width: int
    height: int
    damage: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Master:
    """The largest variant's pixels in memory, upright sRGB, and the facts of its original as seen."""

    image: pyvips.Image
    width: int
    height: int
    exif: Exif
    damage: str | None = None


def configure() -> None:
    """Settings for a process that does nothing but render: one thread, no cache, no unproven loader."""
    pyvips.concurrency_set(1)
    pyvips.cache_set_max(0)
    pyvips.block_untrusted_set(state=True)


def render(data: bytes, recipe: Recipe, *, max_pixels: int = 500_000_000) -> Rendered:
    """Build every variant of the recipe; raises NotAnImage, or ImageRejected for what will never render."""
    kind = sniff(data)
    if kind is None or (kind is Format.BMP and pillow.header_of(data, kind) is None):
        raise stranger(data)
    if kind is Format.TIFF and is_raw(data):
        raise ImageRejected("this is a camera's raw file, not a finished picture", hint="export it as JPEG or TIFF")
    master = _master(data, kind, recipe, max_pixels)
    exif = ownership_block(master.exif) if "copyright" in recipe.keep else b""
    try:
        built = {variant.variant: variant for variant in _variants(master, recipe, exif)}
    except pyvips.Error as error:
        raise ImageRejected(
            f"the picture cannot be encoded: {explain(error, otherwise='the encoder failed')}", hint=_HINT
        ) from error
    ordered = tuple(built[spec.variant] for spec in recipe.variants)
    return Rendered(variants=ordered, width=master.width, height=master.height, damage=master.damage)


def _variants(master: _Master, recipe: Recipe, exif: bytes) -> Iterator[RenderedVariant]:
    image = master.image
    for spec in sorted(recipe.variants, key=lambda spec: -spec.max_edge_px):
        width, height = _fit(master.width, master.height, spec.max_edge_px)
        if (width, height) != (image.width, image.height):
            image = _in_memory(_resized(image, width, height))
        yield _variant(image, spec, exif)


def _variant(image: pyvips.Image, spec: VariantSpec, exif: bytes) -> RenderedVariant:
    return RenderedVariant(
        variant=spec.variant,
        data=encode(image, spec, exif=exif),
        width=image.width,
        height=image.height,
        content_type=spec.format.content_type,
        extension=spec.format.extension,
    )


def _master(data: bytes, kind: Format, recipe: Recipe, max_pixels: int) -> _Master:
    """The first decode that succeeds, strict ones before lenient ones; ImageRejected when none does."""
    edge = max(spec.max_edge_px for spec in recipe.variants)
    complaints: list[Exception] = []
    for lenient, decode in _decodes(data, kind, edge, max_pixels):
        try:
            master = _finished(decode(), recipe.background, edge)
        except ImageRejected:
            raise
        except Exception as error:  # Pillow's plugins raise what they like; libvips raises pyvips.Error.
            complaints.append(error)
            continue
        if not lenient or is_harmless(complaints[0]):
            return master
        if _is_blank(master.image):
            continue
        return replace(master, damage=explain(*complaints, otherwise="a part of the file cannot be decoded"))
    reason = explain(*complaints, otherwise="no decoder here can read it")
    raise ImageRejected(f"the picture cannot be decoded: {reason}", hint=_HINT) from complaints[0]


def _decodes(data: bytes, kind: Format, edge: int, max_pixels: int) -> Iterator[tuple[bool, Callable[[], Decoded]]]:
    """The ways to decode, in the order to try them, each with whether it overlooks damage."""

    def libvips(*, lenient: bool) -> Callable[[], Decoded]:
        return lambda: with_libvips(data, kind, max_edge_px=edge, max_pixels=max_pixels, lenient=lenient)

    def second(*, lenient: bool) -> Callable[[], Decoded]:
        return lambda: with_pillow(data, kind, max_pixels=max_pixels, lenient=lenient)

    if can_libvips(kind):
        yield False, libvips(lenient=False)
    # Pillow overlooks corrupt JPEG data, so its strict decode would hide what libvips saw.
    if kind is not Format.JPEG:
        yield False, second(lenient=False)
    if can_libvips(kind):
        yield True, libvips(lenient=True)
    yield True, second(lenient=True)


def _finished(decoded: Decoded, background: str, edge: int) -> _Master:
    """Run the decode: shrink, colour, turn, and hold the result in memory."""
    image = decoded.image
    # Transparency first: shrinking before flattening would bleed the colour of invisible pixels.
    if has_alpha(image):
        image = on_background(image, background)
    width, height = _fit(decoded.width, decoded.height, edge)
    image = _in_memory(to_srgb(_resized(image, width, height)))
    turn = _TURNS.get(decoded.orientation)
    upright = _in_memory(turn(image)) if turn else image
    swapped = decoded.orientation >= 5
    seen = (decoded.height, decoded.width) if swapped else (decoded.width, decoded.height)
    return _Master(image=upright, width=seen[0], height=seen[1], exif=decoded.exif)


def _in_memory(image: pyvips.Image) -> pyvips.Image:
    """The pixels and nothing else: computed once, and without the metadata that libvips hands on."""
    pixels = image.write_to_memory()
    plain = pyvips.Image.new_from_memory(pixels, image.width, image.height, image.bands, "uchar")
    return plain.copy(interpretation="srgb")


def _fit(width: int, height: int, edge: int) -> tuple[int, int]:
    """The size that fits into a square of `edge` pixels: never larger than it was, never below one pixel."""
    scale = min(1.0, edge / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resized(image: pyvips.Image, width: int, height: int) -> pyvips.Image:
    if (image.width, image.height) == (width, height):
        return image
    return image.resize(width / image.width, vscale=height / image.height, kernel=_KERNEL)


def _is_blank(image: pyvips.Image) -> bool:
    """Whether a lenient decode found nothing at all: one colour everywhere."""
    return all(image[band].min() == image[band].max() for band in range(image.bands))
