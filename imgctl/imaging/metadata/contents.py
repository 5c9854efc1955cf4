"""What any container comes to: a size, three blocks of metadata, and what the format itself says."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from imgctl.imaging.metadata.source import Source, in_memory

NOTHING = in_memory(b"")
MOST_PARTS = 2**16
"""A file of more parts than this is made to keep a reader busy: what comes behind them is not read."""
MOST_BLOCK = 4 * 2**20
"""A longer block than this is not read: XMP packets and camera notes stay far below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """A file taken apart; blocks are empty where there are none.

    `size` is in pixels, as the container's own turns leave it (None when it cannot be read), `turned` whether the
    container says how to turn the picture, `texts` what a PNG says in plain chunks, `pictures` how many an MPO holds.
    `exif` opens with a TIFF header, `iptc` holds data sets.
    """

    size: tuple[int, int] | None = None
    turned: bool = False
    exif: Source = NOTHING
    xmp: bytes = b""
    iptc: bytes = b""
    texts: Mapping[str, str] = field(default_factory=dict)
    pictures: int = 1
