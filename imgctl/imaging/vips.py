"""libvips as imgctl imports it: silent, and never calling back into Python."""

import os

from imgctl.imaging.source import Data

# libvips reads this once, when it is first imported: warnings about a file are answered in `Rendered.damage`.
os.environ.setdefault("VIPS_WARNING", "0")

import pyvips

# pyvips hands libvips' warnings to `logging`, from inside libvips and under its lock: a garbage collection that falls
# into that moment frees another picture, takes the lock again, and glib aborts the whole process.
pyvips._remove_log_handler()  # noqa: SLF001

__all__ = ["load", "pyvips"]


def load(loader: str, data: Data, options: dict[str, str | int]) -> pyvips.Image:
    """Open data lazily, where they lie; a buffer would be copied first. Raises pyvips.Error."""
    image = getattr(pyvips.Image, loader)(pyvips.Source.new_from_memory(data), **options)
    # pyvips hands on what a picture refers to with each step, but knows nothing of a source's bytes.
    image._references.append(data)  # noqa: SLF001
    return image
