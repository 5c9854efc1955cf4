"""Renders random pictures below directories and compares them with libvips' own thumbnail and with Pillow.

python -m tools.compare DIRECTORY… --number 1000
"""

import argparse
import random
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pillow_heif
from PIL import Image, ImageChops, ImageCms, ImageOps, ImageStat

from imgctl.errors import ImgctlError
from imgctl.imaging.decoders.decode import Limits
from imgctl.imaging.recognise import sniff
from imgctl.imaging.render import configure, render
from imgctl.imaging.vips import pyvips
from imgctl.model import Recipe, Variant, VariantFormat, VariantSpec

EDGE_PX = 200
HEAD_BYTES = 65536
LIMITS = Limits(max_pixels=200_000_000)
_SPEC = VariantSpec(variant=Variant.FULL, max_edge_px=EDGE_PX, quality=100, format=VariantFormat.JPEG)
_SRGB = ImageCms.createProfile("sRGB")
# Decoders raise errors of any type.
_ANY = Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A difference between two decoders: `mean` of 255 over all pixels, or None if one of them renders nothing."""

    path: Path
    decoder: str
    mean: float | None
    detail: str


def ours(data: bytes) -> Image.Image:
    """Return imgctl's rendering."""
    (variant,) = render(data, Recipe(variants=(_SPEC,)), limits=LIMITS).variants
    return Image.open(BytesIO(variant.data)).convert("RGB")


def by_libvips(data: bytes) -> Image.Image:
    """libvips' thumbnail: shrunk on load, turned, sRGB, alpha on white."""
    image = pyvips.Image.thumbnail_buffer(data, EDGE_PX, height=EDGE_PX, size="down", output_profile="srgb")
    if image.hasalpha():
        image = image.flatten(background=[255])
    image = image.colourspace("srgb").cast("uchar")
    return Image.frombytes("RGB", (image.width, image.height), image.write_to_memory())


def by_pillow(data: bytes) -> Image.Image:
    """Pillow: decoded whole, turned, by its profile, alpha on white."""
    with Image.open(BytesIO(data)) as opened:
        profile = opened.info.get("icc_profile")
        image = ImageOps.exif_transpose(opened)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.mode.startswith("I;16"):
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    if profile and image.mode in ("RGB", "L", "CMYK"):
        image = _in_srgb(image, profile)
    image = image.convert("RGB")
    image.thumbnail((EDGE_PX, EDGE_PX), Image.Resampling.BICUBIC)
    return image


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        made = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(BytesIO(profile)), _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image
    return image if made is None else made


OTHERS: dict[str, Callable[[bytes], Image.Image]] = {"libvips": by_libvips, "Pillow": by_pillow}


def compare(path: Path, *, threshold: float) -> Iterator[Difference]:
    """Return the differences of one picture beyond the threshold; none if no decoder renders it."""
    data = path.read_bytes()
    theirs = {name: _tried(decode, data) for name, decode in OTHERS.items()}
    mine = _tried(ours, data)
    if isinstance(mine, str):
        for name in (name for name, one in theirs.items() if not isinstance(one, str)):
            yield Difference(path=path, decoder=name, mean=None, detail=f"imgctl refuses it: {mine}")
        return
    for name, one in theirs.items():
        if isinstance(one, str):
            continue
        if any(abs(a - b) > 1 for a, b in zip(mine.size, one.size, strict=True)):
            yield Difference(path=path, decoder=name, mean=None, detail=f"{mine.size} and not {one.size}")
            continue
        mean = distance(mine, one)
        if mean > threshold:
            yield Difference(path=path, decoder=name, mean=mean, detail=f"mean difference {mean:.1f}")


def distance(some: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures over all channels, 0 to 255."""
    fitted = other if other.size == some.size else other.resize(some.size)
    means = ImageStat.Stat(ImageChops.difference(some, fitted)).mean
    return sum(means) / len(means)


def _tried(decode: Callable[[bytes], Image.Image], data: bytes) -> Image.Image | str:
    """Return the picture, or the error."""
    try:
        return decode(data)
    except ImgctlError as error:
        return error.message
    except _ANY as error:
        return f"{type(error).__name__}: {error}"


def pictures(directories: Sequence[Path], *, number: int, seed: int) -> list[Path]:
    """Return at most `number` random files that imgctl recognises as pictures."""
    found = sorted(path for one in directories for path in one.rglob("*") if path.is_file() and _is_picture(path))
    return sorted(random.Random(seed).sample(found, min(number, len(found))))


def _is_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return sniff(file.read(HEAD_BYTES)) is not None
    except OSError:
        return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the differences of each picture, largest first; return 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", nargs="+", type=Path)
    parser.add_argument("--number", type=int, default=1000, help="how many pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threshold", type=float, default=6.0, help="mean difference of 255 that counts")
    chosen = parser.parse_args(arguments)
    pillow_heif.register_heif_opener()
    configure()
    paths = pictures(chosen.directories, number=chosen.number, seed=chosen.seed)
    counts: Counter[str] = Counter()
    for path in paths:
        with warnings.catch_warnings(action="ignore"):
            differences = list(compare(path, threshold=chosen.threshold))
        counts[_kind(differences)] += 1
        for one in differences:
            print(f"{one.path}: {one.decoder}: {one.detail}")
    print(f"{len(paths)} pictures: {', '.join(f'{count} {kind}' for kind, count in sorted(counts.items())) or 'none'}")
    return int(any(kind != "alike" for kind in counts))


def _kind(differences: Sequence[Difference]) -> str:
    if not differences:
        return "alike"
    return "unlike one decoder" if len(differences) < len(OTHERS) else "unlike both"


if __name__ == "__main__":
    sys.exit(main())
