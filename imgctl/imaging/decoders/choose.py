"""The decoders of each format, in the order to try them."""

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


def recognised(data: Data, found: Format | None, named: Format | None) -> Format | None:
    """Return the data's format: `found` by content, else by the decoder that opens it; LibRaw decides about a TIFF that
    is `named` as a raw.

    As expensive as decoding, so for child processes only.
    """
    if found is Format.TIFF and named and KNOWN[named].kind is Kind.RAW:
        return named if is_raw(data) else found
    return found or opened_as(data)


def opened_as(data: Data) -> Format | None:
    """Return the format of the first decoder that opens the data, or None; for child processes only."""
    return picture_opened_as(data) or (Format.OTHER_RAW if is_raw(data) else None)


def decodes(data: Data, kind: Format, edge: int, limits: Limits) -> Iterator[Way]:
    """Yield the ways to decode towards a longest edge of `edge` pixels, strict ones first."""
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
    # Pillow ignores corrupt JPEG data, so its strict decode would hide damage that libvips reports.
    if also and kind is not Format.JPEG:
        yield False, second(lenient=False)
    if first:
        yield True, libvips(lenient=True)
    if also:
        yield True, second(lenient=True)
