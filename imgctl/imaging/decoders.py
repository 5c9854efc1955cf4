"""Which decoders a format has, in the order to try them."""

from collections.abc import Callable, Iterator

from imgctl.imaging.decode import Decoded, Limits, can_libvips, with_libjxl, with_libvips, with_pillow
from imgctl.imaging.formats import Format
from imgctl.imaging.pillow import PLUGIN
from imgctl.imaging.source import Data

Way = tuple[bool, Callable[[], Decoded]]
"""Whether it overlooks damage, and the decode; that raises whatever its library raises."""


def decodes(data: Data, kind: Format, edge: int, limits: Limits) -> Iterator[Way]:
    """The ways to decode towards a longest edge of `edge` pixels, strict ones first."""
    if kind is Format.JXL:
        yield False, lambda: with_libjxl(data, max_edge_px=edge, limits=limits)
    else:
        yield from _by_libvips_and_pillow(data, kind, edge, limits)


def _by_libvips_and_pillow(data: Data, kind: Format, edge: int, limits: Limits) -> Iterator[Way]:
    def libvips(*, lenient: bool) -> Callable[[], Decoded]:
        return lambda: with_libvips(data, kind, max_edge_px=edge, limits=limits, lenient=lenient)

    def second(*, lenient: bool) -> Callable[[], Decoded]:
        return lambda: with_pillow(data, kind, limits=limits, lenient=lenient)

    first = can_libvips(data, kind)
    also = kind in PLUGIN
    if first:
        yield False, libvips(lenient=False)
    # Pillow overlooks corrupt JPEG data, so its strict decode would hide what libvips saw.
    if also and kind is not Format.JPEG:
        yield False, second(lenient=False)
    if first:
        yield True, libvips(lenient=True)
    if also:
        yield True, second(lenient=True)
