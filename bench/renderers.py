"""The contenders of `bench.render`: each turns one JPEG into 320, 1080 and 2048 px as its users would write it."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

SIZES = ((2048, 85), (1080, 82), (320, 80))


def imgctl_render() -> Callable[[bytes], int]:
    """imgctl with its default recipe, in a process set up as its workers are."""
    from imgctl.config.service import LogSettings
    from imgctl.imaging.render import render
    from imgctl.model import Recipe
    from imgctl.ops.work.render_task import set_up_child

    set_up_child(LogSettings())
    recipe = Recipe()
    return lambda data: sum(len(variant.data) for variant in render(data, recipe).variants)


def bare_libvips() -> Callable[[bytes], int]:
    """pyvips by hand: one thumbnail to the largest size, two smaller ones from it."""
    import pyvips

    pyvips.concurrency_set(1)
    pyvips.cache_set_max(0)

    def run(data: bytes) -> int:
        (edge, quality), *smaller = SIZES
        image = pyvips.Image.thumbnail_buffer(data, edge, height=edge, size="down").copy_memory()
        total = len(image.jpegsave_buffer(Q=quality, keep="none"))
        for edge, quality in smaller:
            image = image.thumbnail_image(edge, height=edge, size="down").copy_memory()
            total += len(image.jpegsave_buffer(Q=quality, keep="none"))
        return total

    return run


def pillow_once() -> Callable[[bytes], int]:
    """Pillow: one decode, each smaller size from the one before."""
    from PIL import Image, ImageOps

    def run(data: bytes) -> int:
        total = 0
        image = Image.open(io.BytesIO(data))
        image.thumbnail((SIZES[0][0],) * 2, Image.Resampling.LANCZOS)
        upright = ImageOps.exif_transpose(image)
        for edge, quality in SIZES:
            upright.thumbnail((edge, edge), Image.Resampling.LANCZOS)
            out = io.BytesIO()
            upright.save(out, "JPEG", quality=quality)
            total += out.tell()
        return total

    return run


def pillow_each() -> Callable[[bytes], int]:
    """Pillow: one decode per size."""
    from PIL import Image, ImageOps

    def run(data: bytes) -> int:
        total = 0
        for edge, quality in SIZES:
            image = Image.open(io.BytesIO(data))
            image.thumbnail((edge, edge), Image.Resampling.LANCZOS)
            out = io.BytesIO()
            ImageOps.exif_transpose(image).save(out, "JPEG", quality=quality)
            total += out.tell()
        return total

    return run


PYTHON = {
    "imgctl": imgctl_render,
    "bare libvips": bare_libvips,
    "Pillow, one decode": pillow_once,
    "Pillow, one decode per size": pillow_each,
}


def main(name: str, directory: str, count: str) -> None:
    """Render the first `count` photos of a directory and print the total size of the variants."""
    run = PYTHON[name]()
    print(sum(run(path.read_bytes()) for path in sorted(Path(directory).rglob("*.jpg"))[: int(count)]))


if __name__ == "__main__":
    main(*sys.argv[1:])
