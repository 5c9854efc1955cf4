"""From an original's bytes to its variants: one decode, the largest first, each smaller one from it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from PIL import Image

from imgctl.errors import ImageRejected, ImgctlError
from imgctl.imaging.decoders import pillow
from imgctl.imaging.decoders.choose import recognised
from imgctl.imaging.decoders.decode import Limits
from imgctl.imaging.encode import Raster, computed, encode
from imgctl.imaging.formats import KNOWN, Format, Kind
from imgctl.imaging.largest_variant import HINT, Master, explain, master_of, master_of_film, resized
from imgctl.imaging.metadata.exif import ownership_block
from imgctl.imaging.probe import NAMED_BY_BYTES, recognise
from imgctl.imaging.recognise import cannot_load, not_installed, sniff_named, stranger, unsupported
from imgctl.imaging.source import Data, Source, source_of
from imgctl.imaging.vips import pyvips
from imgctl.model import Recipe, Variant, VariantSpec, fit

NO_LIMITS = Limits()
_PIXELS_A_TIME = 100_000_000


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
    """All variants in the recipe's order, the original's size as seen, and its damage, if any.

    `looks` is its fingerprint, if requested. `decode_seconds` is the time until the largest variant's pixels were in memory.
    """

    variants: tuple[RenderedVariant, ...]
    width: int
    height: int
    damage: str | None = None
    looks: int | None = None
    decode_seconds: float = field(default=0.0, compare=False)


def configure() -> None:
    """Configure libvips for a process that only renders: one thread, no cache, no unproven loader."""
    pyvips.concurrency_set(1)
    pyvips.cache_set_max(0)
    pyvips.block_untrusted_set(state=True)


def time_allowed(data: Data | Source, seconds: float, limits: Limits = NO_LIMITS) -> float:
    """Return the time limit of a picture: `seconds` up to 100 megapixels, and proportionally more for larger ones."""
    try:
        width, height = recognise(data).size or (0, 0)
    except ImgctlError:
        return seconds
    return seconds * max(1.0, min(width * height, limits.max_pixels) / _PIXELS_A_TIME)


def render(
    data: Data | Source,
    recipe: Recipe,
    *,
    limits: Limits = NO_LIMITS,
    named: Format | None = None,
    looks: bool = False,
) -> Rendered:
    """Build every variant of the recipe; NotAnImage, FormatUnsupported or ImageRejected if it can never be rendered.

    DecoderMissing if another machine may render it. OSError when this process has no file descriptors left.
    With `looks` the result has a fingerprint. `named` is the format that the original is named by, for raws that content
    alone does not tell from a TIFF.
    """
    began = time.monotonic()
    master = _master(data, recipe, limits, named)
    seconds = time.monotonic() - began
    exif = ownership_block(master.exif) if "copyright" in recipe.keep else b""
    try:
        built, smallest = dict[Variant, RenderedVariant](), master.raster
        for variant, raster in _variants(master, recipe, exif):
            built[variant.variant], smallest = variant, raster
    except pyvips.Error as error:
        raise ImageRejected(
            f"the picture cannot be encoded: {explain(error, otherwise='the encoder failed')}", hint=HINT
        ) from error
    ordered = tuple(built[spec.variant] for spec in recipe.variants)
    return Rendered(
        variants=ordered,
        width=master.width,
        height=master.height,
        damage=master.damage,
        # Of the smallest variant: the result is the same and costs the least.
        looks=fingerprint(smallest) if looks else None,
        decode_seconds=seconds,
    )


def _master(what: Data | Source, recipe: Recipe, limits: Limits, named: Format | None) -> Master:
    kind = sniff_named(what, named)
    if kind is not None and KNOWN[kind].kind is Kind.FILM and KNOWN[kind].supported:
        if not KNOWN[kind].taken:
            raise not_installed(kind)
        with _loading(kind):
            return master_of_film(source_of(what), kind, recipe, limits)
    # Only films are read in pieces.
    data = what.read(0, what.size) if isinstance(what, Source) else what
    with _loading(kind or named or Format.OTHER_RAW):
        kind = recognised(data, kind, named)
    if kind is None or (kind is Format.BMP and pillow.size_of(data, kind) is None):
        raise stranger(data[:NAMED_BY_BYTES])
    if not KNOWN[kind].taken:
        raise unsupported(kind)
    with _loading(kind):
        return master_of(data, kind, recipe, limits)


@contextmanager
def _loading(kind: Format) -> Iterator[None]:
    """Raise DecoderMissing for a decoder that cannot be imported in the block."""
    try:
        yield
    except ImportError as error:
        raise cannot_load(kind, error) from error


def _variants(master: Master, recipe: Recipe, exif: bytes) -> Iterator[tuple[RenderedVariant, Raster]]:
    raster = master.raster
    for spec in sorted(recipe.variants, key=lambda spec: -spec.max_edge_px):
        width, height = fit(*master.shape, spec.max_edge_px)
        if (width, height) != (raster.width, raster.height):
            raster = computed(resized(raster.image, width, height))
        yield _variant(raster, spec, exif), raster


def _variant(raster: Raster, spec: VariantSpec, exif: bytes) -> RenderedVariant:
    return RenderedVariant(
        variant=spec.variant,
        data=encode(raster, spec, exif=exif),
        width=raster.width,
        height=raster.height,
        content_type=spec.format.content_type,
        extension=spec.format.extension,
    )


_COLUMNS, _ROWS = 9, 8


def fingerprint(raster: Raster) -> int:
    """Return the dHash, a bit for each of 8 × 8 cells darker than the next, as a signed 64-bit number for databases."""
    picture = Image.frombuffer("RGB", (raster.width, raster.height), raster.data, "raw", "RGB", 0, 1)
    grey = picture.convert("L").resize((_COLUMNS, _ROWS), Image.Resampling.BOX).tobytes()
    pairs = (grey[row * _COLUMNS + column :][:2] for row in range(_ROWS) for column in range(_COLUMNS - 1))
    return int.from_bytes(int("".join("01"[left < right] for left, right in pairs), 2).to_bytes(8), signed=True)
