"""Camera-like JPEGs in bulk: a few base pictures, each file made distinct by its EXIF and a comment."""

import io
import random
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from bench.exif_block import ExifBlock, ifd_entry

Kind = Literal["camera", "small"]
SIZES = {"camera": (3264, 2448), "small": (640, 480)}
NOISE = {"camera": 21.0, "small": 4.0}
QUALITY = {"camera": 92, "small": 75}
BASES = 4
FIRST_SECOND = 1_600_000_000


def scene(width: int, height: int, *, seed: int, noise: float) -> Image.Image:
    """An RGB picture with a camera's mix of smooth sky, edges, texture and sensor noise."""
    rng = random.Random(seed)
    channels = [_channel(width, height, rng) for _ in range(3)]
    picture = Image.merge("RGB", channels)
    pen = ImageDraw.Draw(picture)
    for _ in range(60):
        x, y, size = rng.randrange(width), rng.randrange(height), rng.randrange(4, max(5, width // 12))
        colour = (rng.randrange(256), rng.randrange(256), rng.randrange(256))
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)((x, y, x + size, y + size), fill=colour)
    grain = Image.effect_noise((width, height), noise).filter(ImageFilter.BoxBlur(1 if width > 2000 else 0))
    return ImageChops.add(picture, Image.merge("RGB", (grain, grain, grain)), scale=1, offset=-128)


def _channel(width: int, height: int, rng: random.Random) -> Image.Image:
    layer = Image.linear_gradient("L").rotate(rng.randrange(4) * 90).resize((width, height))
    for cells, weight in ((8, 0.5), (64, 0.25), (width // 8, 0.12)):
        texture = Image.frombytes("L", (cells, cells), rng.randbytes(cells * cells))
        layer = Image.blend(layer, texture.resize((width, height), Image.Resampling.BICUBIC), weight)
    return layer


def jpeg_of(picture: Image.Image, *, quality: int) -> bytes:
    """The picture as a baseline JPEG without metadata."""
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


@cache
def _base(kind: Kind, seed: int) -> tuple[bytes, bytes]:
    """The JPEG of one base picture and of its EXIF thumbnail."""
    picture = scene(*SIZES[kind], seed=seed, noise=NOISE[kind])
    small = picture.copy()
    small.thumbnail((160, 120))
    return jpeg_of(picture, quality=QUALITY[kind]), jpeg_of(small, quality=70)


def photo(kind: Kind, number: int) -> bytes:
    """Return photo `number` of its kind: a valid JPEG with unique bytes."""
    body, thumbnail = _base(kind, number % BASES)
    exif = camera_exif(number, thumbnail=thumbnail if kind == "camera" else b"")
    comment = f"photo {number:010d}".encode()
    return b"".join((body[:2], _segment(0xE1, exif), _segment(0xFE, comment), body[2:]))


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def camera_exif(number: int, *, thumbnail: bytes) -> bytes:
    """The APP1 payload a camera writes: make, orientation, times, GPS, and the embedded thumbnail."""
    orientation = (1, 1, 6, 1, 8, 1, 3, 1)[number % 8]
    return ExifBlock(
        primary=(
            ifd_entry(0x010F, b"Example Optics\0"),
            ifd_entry(0x0110, b"Bench 8\0"),
            ifd_entry(0x0112, orientation),
            ifd_entry(0x0132, _moment(number)),
        ),
        exif=(
            ifd_entry(0x8827, 200 + number % 1600),
            ifd_entry(0x9003, _moment(number)),
            ifd_entry(0x9011, b"+02:00\0"),
            ifd_entry(0x927C, bytes(2048), kind=7),
        ),
        gps=(ifd_entry(0x0001, b"N\0"), ifd_entry(0x0002, (52, 31, 12)), ifd_entry(0x0003, b"E\0")),
        thumbnail=thumbnail,
    ).payload()


def _moment(number: int) -> bytes:
    minutes, second = divmod(number, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    month, day = divmod(days, 28)
    return f"{2021 + month // 12 % 5:04d}:{month % 12 + 1:02d}:{day + 1:02d} {hour:02d}:{minute:02d}:{second:02d}\0".encode()


def photos(kind: Kind, count: int) -> Iterator[bytes]:
    """`count` distinct photos, one at a time."""
    return (photo(kind, number) for number in range(count))


def write_tree(directory: Path, *, count: int, kind: Kind) -> None:
    """Write `count` distinct photos under `directory`, 1,000 a folder: `0000/000000.jpg` and so on."""
    for number, data in enumerate(photos(kind, count)):
        folder = directory / f"{number // 1000:04d}"
        if number % 1000 == 0:
            folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:06d}.jpg").write_bytes(data)
