"""libvips as imgctl imports it: silent, and never calling back into Python."""

import os

# libvips reads this once, when it is first imported: warnings about a file are answered in `Rendered.damage`.
os.environ.setdefault("VIPS_WARNING", "0")

import pyvips

# pyvips hands libvips' warnings to `logging`, from inside libvips and under its lock: a garbage collection that falls
# into that moment frees another picture, takes the lock again, and glib aborts the whole process.
pyvips._remove_log_handler()  # noqa: SLF001

__all__ = ["pyvips"]
