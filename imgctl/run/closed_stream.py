"""Silencing of a standard stream that cannot be written any more."""

import os
from contextlib import suppress
from typing import TextIO


def silence(stream: TextIO | None) -> None:
    """Redirect a stream to /dev/null, also what its buffer holds: the flush at the exit would fail and set the exit code."""
    if stream is None:
        return
    # ValueError: the stream is closed, or in memory.
    with suppress(ValueError), open(os.devnull, "wb") as nothing:  # noqa: PTH123  pathlib costs the start of `imgctl --help`
        os.dup2(nothing.fileno(), stream.fileno())
