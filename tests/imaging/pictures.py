"""Generated pictures, colour profiles, and differences between pictures."""

import io
import struct

import pillow_heif
from PIL import Image, ImageChops, ImageCms, ImageStat

from imgctl.imaging.render import Rendered
from imgctl.model import Recipe, Variant, VariantFormat, VariantSpec

pillow_heif.register_heif_opener()

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF", "GIF", "BMP")
# Half of x265's time for a small picture, a third for a large one.
FAST_HEIF = {"preset": "ultrafast"}
LOSSLESS: dict[str, dict[str, object]] = {
    "JPEG": {"quality": 98, "subsampling": 0},
    "WEBP": {"lossless": True},
    "HEIF": {"quality": -1, "enc_params": FAST_HEIF},
    "AVIF": {"quality": 98, "subsampling": "4:4:4", "speed": 8},
}
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
FINE = Recipe(variants=(VariantSpec(variant=Variant.FULL, max_edge_px=2048, quality=100),))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The picture as a file of `kind`, as little changed as the format allows."""
    out = io.BytesIO()
    # Copies: Pillow leaves one format's encoder settings on the pictures it saved.
    others = options.pop("append_images", [])
    assert isinstance(others, list)
    if others:
        options["append_images"] = [other.copy() for other in others]
    image.copy().save(out, kind, **{**LOSSLESS.get(kind, {}), **options})
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    """A variant decoded by Pillow, an independent decoder."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def full(rendered: Rendered) -> Image.Image:
    """The pixels of the full variant."""
    return opened(next(one.data for one in rendered.variants if one.variant is Variant.FULL))


def recipe_of(kind: VariantFormat = VariantFormat.JPEG, *, edge: int = 2048, background: str = "#ffffff") -> Recipe:
    """A recipe of one full variant."""
    spec = VariantSpec(variant=Variant.FULL, max_edge_px=edge, quality=95, format=kind)
    return Recipe(variants=(spec,), background=background)


def quadrants(width: int = 96, height: int = 64) -> Image.Image:
    """Four colours that distinguish all turns and mirror images."""
    image = Image.new("RGB", (width, height), (200, 40, 40))
    image.paste((40, 180, 60), (width // 2, 0, width, height // 2))
    image.paste((50, 60, 200), (0, height // 2, width // 2, height))
    image.paste((230, 220, 60), (width // 2, height // 2, width, height))
    return image


def patches(colours: list[tuple[int, ...]], mode: str = "RGB", edge: int = 32) -> Image.Image:
    """A row of plain squares, each large enough that compression does not mix neighbours into its middle."""
    image = Image.new(mode, (edge * len(colours), edge))
    for place, colour in enumerate(colours):
        image.paste(colour if len(colour) > 1 else colour[0], (place * edge, 0, (place + 1) * edge, edge))
    return image


def middles(image: Image.Image, count: int) -> list[tuple[int, ...]]:
    """The colour in the middle of each of `count` squares in a row."""
    edge = image.width // count
    rgb = image.convert("RGB")
    return [_pixel(rgb, place * edge + edge // 2, image.height // 2) for place in range(count)]


def _pixel(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    pixel = image.getpixel((x, y))
    assert isinstance(pixel, tuple)
    return tuple(int(part) for part in pixel)


def worst(some: list[tuple[int, ...]], other: list[tuple[int, ...]]) -> int:
    """The largest difference in any channel of any colour."""
    pairs = zip(some, other, strict=True)
    return max(abs(one - two) for first, second in pairs for one, two in zip(first, second, strict=True))


def distance(some: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures over all channels, 0 to 255."""
    assert some.size == other.size
    means = ImageStat.Stat(ImageChops.difference(some.convert("RGB"), other.convert("RGB"))).mean
    return sum(means) / len(means)


def in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The colours in sRGB by LittleCMS, the reference."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    made = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert made is not None
    return made


def rgb_profile(primaries: tuple[tuple[float, float, float], ...], gamma: float) -> bytes:
    """A matrix ICC profile (version 2) of three D50 primaries and one gamma."""
    columns = {tag: _xyz(*xyz) for tag, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)}
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _gamma(gamma))
    return _profile(b"RGB ", {**columns, **curves})


def grey_profile(gamma: float) -> bytes:
    """A grey ICC profile (version 2) of one gamma."""
    return _profile(b"GRAY", {b"kTRC": _gamma(gamma)})


def _xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", round(x * 65536), round(y * 65536), round(z * 65536))


def _gamma(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"wtpt": _xyz(0.9642, 1.0, 0.8249), **tags}
    at, table, body = 132 + 12 * len(tags), b"", b""
    for tag, value in tags.items():
        table += struct.pack(">4sII", tag, at + len(body), len(value))
        body += value
    header = struct.pack(
        ">I4sI4s4s4s12s4s", at + len(body), b"\0\0\0\0", 0x02400000, b"mntr", space, b"XYZ ", bytes(12), b"acsp"
    )
    header += bytes(28) + _xyz(0.9642, 1.0, 0.8249)[8:]
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
