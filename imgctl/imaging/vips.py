"""libvips as imgctl imports it: silent, and never calling back into Python."""

import os

from imgctl.imaging.source import Data

# libvips reads this once, at its first import: warnings about a file go to `Rendered.damage`.
os.environ.setdefault("VIPS_WARNING", "0")

import pyvips

# pyvips passes libvips' warnings to `logging`, from inside libvips and under its lock: a garbage collection at that
# moment frees another picture, takes the lock again, and glib aborts the whole process.
pyvips._remove_log_handler()  # noqa: SLF001

__all__ = ["load", "pyvips"]


def load(loader: str, data: Data, options: dict[str, str | int]) -> pyvips.Image:
    """Open data lazily and in place; a buffer would be copied first. Raises pyvips.Error."""
    image = getattr(pyvips.Image, loader)(pyvips.Source.new_from_memory(data), **options)
    # pyvips keeps a picture's references alive through each step, but not a source's bytes.
    image._references.append(data)  # noqa: SLF001
    return image
