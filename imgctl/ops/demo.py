"""Sample photos for the demo: drawn, turned by EXIF, transparent, palette, and two that are broken."""

from io import BytesIO
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw

ORIENTATION = 0x0112
# How a turned camera stores an upright picture: the inverse of the transformation that the tag stands for.
_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
TAKEN_AT = 0x9003
EXIF_IFD = 0x8769


def write_samples(directory: Path) -> int:
    """Write a small family album of 12 files into `directory` and return how many of them are pictures."""
    album = directory / "summer"
    album.mkdir(parents=True)
    for number in range(6):
        (album / f"beach-{number}.jpg").write_bytes(_photo(number, "JPEG", orientation=number + 1))
    (album / "logo.png").write_bytes(_photo(6, "PNG", mode="RGBA"))
    (album / "sunset.webp").write_bytes(_photo(7, "WEBP"))
    (album / "old.gif").write_bytes(_photo(8, "GIF", mode="P"))
    (album / "beach-0 (copy).jpg").write_bytes((album / "beach-0.jpg").read_bytes())
    (album / "cut-short.jpg").write_bytes(_photo(9, "JPEG", orientation=1)[:-20_000])
    (album / "notes.txt").write_text("the second week it rained\n")
    return 11


def _photo(number: int, format_: str, *, mode: str = "RGB", orientation: int = 0) -> bytes:
    sky = Image.linear_gradient("L").resize((1600, 1200))
    # From a seed: the same bytes in every run, so that sizes and prices in the guides stay true.
    grain = Image.frombytes("L", (1600, 1200), Random(number).randbytes(1600 * 1200))
    noise = grain.point(lambda value: 128 + (value - 128) * 42 // 128)
    picture = Image.merge("RGB", (sky, Image.blend(sky, noise, 0.3), noise.point(lambda value: 255 - value // 2)))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((150 + 150 * number, 120, 350 + 150 * number, 320), fill=(255, 221, 87))
    draw.polygon([(0, 1200), (500 + 60 * number, 700), (1000, 1200)], fill=(34, 87, 63))
    exif = Image.Exif()
    if orientation:
        exif[ORIENTATION] = orientation
        exif.get_ifd(EXIF_IFD)[TAKEN_AT] = f"2026:07:{number + 1:02} 12:00:00"
        if orientation in _STORED:
            picture = picture.transpose(_STORED[orientation])
    buffer = BytesIO()
    picture.convert(mode).save(buffer, format_, exif=exif)
    return buffer.getvalue()
