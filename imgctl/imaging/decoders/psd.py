"""Photoshop's flattened composite for libvips: its planes are stored as in a TIFF, only the directory differs."""

import struct
from dataclasses import dataclass
from itertools import accumulate

from imgctl.imaging.metadata.photoshop import ICC, resources
from imgctl.imaging.metadata.tiff import BITS, COMPRESSION, EXTRA_SAMPLES, HEIGHT, PHOTOMETRIC, PLANAR, SAMPLES, WIDTH
from imgctl.imaging.source import Data, in_memory
from imgctl.imaging.vips import load, pyvips

_HEADER = 26
_BIG = 2
_PACKED = 1
_STRIP_LINES = 64
# Photoshop's colour mode to TIFF's photometric and number of colours; missing modes show grey.
_BITMAP, _INDEXED, _INK, _LAB = 0, 2, 4, 9
_MODES = {_BITMAP: (0, 1), _INDEXED: (3, 1), 3: (2, 3), _INK: (5, 4), _LAB: (2, 3)}
_GREY = (1, 1)
_PACK_BITS, _TOGETHER, _APART, _UNASSOCIATED, _FLOAT = 32773, 1, 2, 2, 3
_STRIPS, _ROWS, _LENGTHS, _COLOURS, _SAMPLE_FORMAT, _PROFILE = 273, 278, 279, 320, 339, 34675
_MERGED_TRANSPARENCY = frozenset((b"Mtrn", b"Mt16", b"Mt32"))
_LONG_BLOCKS = frozenset((b"LMsk", b"Lr16", b"Lr32", b"Layr", b"Alph", b"FMsk", b"lnk2", *_MERGED_TRANSPARENCY))
_MOST_BLOCKS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """The header, and the start of each section; a PSB's lengths have twice the bytes."""

    wide: bool
    channels: int
    height: int
    width: int
    bits: int
    mode: int
    colours_at: int
    resources_at: int
    layers_at: int
    pixels_at: int


def load_psd(data: Data, options: dict[str, str | int]) -> pyvips.Image:
    """Open the composite lazily; raises pyvips.Error, or ValueError and struct.error if there is none."""
    document = _document(data)
    image = load("tiffload_source", _as_tiff(data, document), options)
    profile = resources(in_memory(data), document.resources_at, document.layers_at, wanted=frozenset((ICC,))).get(ICC)
    if document.bits == 32:
        # Linear light; the profile holds no more information than that.
        return _linear(image)
    if document.mode == _LAB:
        return _lab(image)
    if document.mode == _INK:
        # 0 is full ink.
        image = image.invert().copy(interpretation="cmyk")
    if profile:
        image = image.copy()
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return image


def has_transparency(data: Data) -> bool:
    """Whether the channel after the colours is transparency and not a saved selection.

    It is if the layer count is negative, or if a block for 16 or 32 bits declares it (Adobe Photoshop File Formats,
    "Layer info" and "Additional Layer Information").
    """
    try:
        document = _document(data)
        return _declares_transparency(data, document)
    except struct.error:
        return False


def _declares_transparency(data: Data, document: _Document) -> bool:
    length = ">Q" if document.wide else ">I"
    step = struct.calcsize(length)
    at = document.layers_at + step
    if at >= document.pixels_at:
        return False
    (layers,) = struct.unpack_from(length, data, at)
    if layers:
        return bool(struct.unpack_from(">h", data, at + step)[0] < 0)
    at += step
    at += 4 + struct.unpack_from(">I", data, at)[0]
    for _ in range(_MOST_BLOCKS):
        if at + 12 > document.pixels_at:
            return False
        key = bytes(data[at + 4 : at + 8])
        if key in _MERGED_TRANSPARENCY:
            return True
        layout = ">Q" if document.wide and key in _LONG_BLOCKS else ">I"
        (size,) = struct.unpack_from(layout, data, at + 8)
        at += 8 + struct.calcsize(layout) + (size + 3) // 4 * 4
    return False


def _document(data: Data) -> _Document:
    version, channels, height, width, bits, mode = struct.unpack_from(">H6xHIIHH", data, 4)
    wide = version == _BIG
    resources_at = _HEADER + 4 + struct.unpack_from(">I", data, _HEADER)[0]
    layers_at = resources_at + 4 + struct.unpack_from(">I", data, resources_at)[0]
    length = ">Q" if wide else ">I"
    return _Document(
        wide=wide,
        channels=channels,
        height=height,
        width=width,
        bits=bits,
        mode=mode,
        colours_at=_HEADER + 4,
        resources_at=resources_at + 4,
        layers_at=layers_at,
        pixels_at=layers_at + struct.calcsize(length) + struct.unpack_from(length, data, layers_at)[0],
    )


def _as_tiff(data: Data, document: _Document) -> bytes:
    """Return a BigTIFF's header for the composite alone: its planes unchanged, in strips."""
    photometric, colours = _MODES.get(document.mode, _GREY)
    alpha = document.channels > colours and has_transparency(data)
    planes = colours + alpha
    if planes > document.channels:
        raise ValueError("not enough channels")
    packed, lengths, skipped = _strips(data, document, planes)
    pixels = memoryview(data)[document.pixels_at + 2 + skipped :][: sum(lengths)]
    fields = [
        (WIDTH, "I", [document.width]),
        (HEIGHT, "I", [document.height]),
        (BITS, "H", [document.bits] * planes),
        (COMPRESSION, "H", [_PACK_BITS if packed else 1]),
        (PHOTOMETRIC, "H", [photometric]),
        (SAMPLES, "H", [planes]),
        (_ROWS, "I", [_STRIP_LINES]),
        (_LENGTHS, "Q", lengths),
        # libvips reads separate planes as bytes, but a bitmap's plane has bits.
        (PLANAR, "H", [_APART if planes > 1 else _TOGETHER]),
    ]
    if document.mode == _INDEXED:
        table = data[document.colours_at : document.colours_at + 768]
        fields.append((_COLOURS, "H", [one * 257 for one in table]))
    if alpha:
        fields.append((EXTRA_SAMPLES, "H", [_UNASSOCIATED]))
    if document.bits == 32:
        fields.append((_SAMPLE_FORMAT, "H", [_FLOAT] * planes))
    head = _header(fields, lengths)
    return b"".join((head, pixels))


def _strips(data: Data, document: _Document, planes: int) -> tuple[bool, list[int], int]:
    """Return whether rows are packed, the bytes of each strip plane by plane, and the offset of the first."""
    at = document.pixels_at
    (compression,) = struct.unpack_from(">H", data, at)
    if compression > _PACKED:
        raise ValueError("unsupported compression of the composite")
    rows = planes * document.height
    if compression == _PACKED:
        count = "I" if document.wide else "H"
        listed = struct.calcsize(count) * document.height * document.channels
        sizes = struct.unpack_from(f">{rows}{count}", data, at + 2)
    else:
        listed = 0
        sizes = ((document.width * document.bits + 7) // 8,) * rows
    lengths = [
        sum(sizes[top : min(top + _STRIP_LINES, first + document.height)])
        for first in range(0, rows, document.height)
        for top in range(first, first + document.height, _STRIP_LINES)
    ]
    return compression == _PACKED, lengths, listed


def _header(fields: list[tuple[int, str, list[int]]], lengths: list[int]) -> bytes:
    """Return BigTIFF's header and directory for consecutive strips after it."""
    fields = sorted((*fields, (_STRIPS, "Q", lengths)))
    kinds = {"H": 3, "I": 4, "Q": 16}
    at = 16 + 8 + 20 * len(fields) + 8
    size = at + sum(
        -(-len(values) * struct.calcsize(kind) // 8) * 8
        for _, kind, values in fields
        if len(values) * struct.calcsize(kind) > 8
    )
    entries, tail = b"", b""
    for tag, kind, values in fields:
        numbers = [size + start for start in accumulate(lengths[:-1], initial=0)] if tag == _STRIPS else values
        value = struct.pack(f">{len(numbers)}{kind}", *numbers)
        value += bytes(-len(value) % 8)
        if len(value) > 8:
            place = struct.pack(">Q", at + len(tail))
            tail += value
        else:
            place = value
        entries += struct.pack(">HHQ", tag, kinds[kind], len(numbers)) + place
    return b"MM\0+\0\x08\0\0" + struct.pack(">QQ", 16, len(fields)) + entries + bytes(8) + tail


def _linear(image: pyvips.Image) -> pyvips.Image:
    if image.bands < 3:
        image = image[0].bandjoin([image[0], image[0], *(image[band] for band in range(1, image.bands))])
    return image.copy(interpretation="scrgb")


def _lab(image: pyvips.Image) -> pyvips.Image:
    """Convert Lab (unsigned, axes centred; white is ICC's D50) to sRGB, without transparency."""
    whole = 65535 if image.format == "ushort" else 255
    middle = 32768 if image.format == "ushort" else 128
    step = 256 if image.format == "ushort" else 1
    lightness = image[0] * (100 / whole)
    axes = [(image[band] - middle) / step for band in (1, 2)]
    lab = lightness.bandjoin(axes).cast("float").copy(interpretation="lab")
    return lab.icc_export(output_profile="srgb", intent="perceptual", depth=8)
