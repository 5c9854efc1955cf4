"""Which decoders a format has, in the order to try them."""

from collections.abc import Callable, Iterator

from imgctl.imaging.decoders.decode import (
    Decoded,
    Limits,
    can_libvips,
    picture_opened_as,
    with_libjxl,
    with_libvips,
    with_pillow,
)
from imgctl.imaging.decoders.pillow import PLUGIN
from imgctl.imaging.decoders.previews import Way
from imgctl.imaging.decoders.raw import is_raw, raw_decodes
from imgctl.imaging.formats import KNOWN, Format, Kind
from imgctl.imaging.source import Data


def recognised(data: Data, found: Format | None, said: Format | None) -> Format | None:
    """What the data is: as it was `found` by its content, by what opens it where that told nothing, by LibRaw where a TIFF
    is `said` to be a raw by its name.

    Takes what decoders take, so for child processes only.
    """
    if found is Format.TIFF and said and KNOWN[said].kind is Kind.RAW:
        return said if is_raw(data) else found
    return found or opened_as(data)


def opened_as(data: Data) -> Format | None:
    """The format of the first decoder that opens the data, or None; for child processes only."""
    return picture_opened_as(data) or (Format.OTHER_RAW if is_raw(data) else None)


def decodes(data: Data, kind: Format, edge: int, limits: Limits) -> Iterator[Way]:
    """The ways to decode towards a longest edge of `edge` pixels, strict ones first."""
    if KNOWN[kind].kind is Kind.RAW:
        yield from raw_decodes(data, kind, edge, limits)
    elif kind is Format.JXL:
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
