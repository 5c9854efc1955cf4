"""Colour by code points (ITU-T H.273): PNG's cICP chunk, the nclx of HEIF and AVIF, and their conversion to light.

HDR (PQ, HLG) is mapped to SDR with the knee of Report ITU-R BT.2390.
"""

import math
import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, reduce

from imgctl.imaging.formats import Format
from imgctl.imaging.metadata.heif import primary_properties
from imgctl.imaging.source import Data, in_memory
from imgctl.imaging.vips import pyvips

SDR_WHITE_NITS = 203.0
"""The luminance of diffuse white in HDR (ITU-R BT.2408, 2.1), which is SDR's white after the knee."""
NOMINAL_PEAK_NITS = 1000.0
"""The peak of a picture that declares none: HLG's display (BT.2100), and the usual mastering peak of PQ."""

_MOST_NITS = 10_000.0
# SMPTE ST 2084.
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128


def pq_light(code: float) -> float:
    """Return the luminance in cd/m² of a PQ code of 0 to 1."""
    part = math.pow(code, 1 / _M2)
    return math.pow(max(part - _C1, 0.0) / (_C2 - _C3 * part), 1 / _M1) * _MOST_NITS


def pq_code(nits: float) -> float:
    """Return the PQ code of a luminance."""
    part = math.pow(min(max(nits, 0.0) / _MOST_NITS, 1.0), _M1)
    return math.pow((_C1 + _C2 * part) / (1 + _C3 * part), _M2)


def hlg_light(code: float) -> float:
    """Return the luminance in cd/m² of an HLG code on BT.2100's display of 1,000, with system gamma 1.2 per channel."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = code * code / 3 if code <= 0.5 else (math.exp((code - c) / a) + b) / 12
    return math.pow(scene, 1.2) * NOMINAL_PEAK_NITS


def tone_mapped(nits: float, peak_nits: float) -> float:
    """Map a luminance to a share of SDR's white, by the EETF of BT.2390-11, 5.4.1, whose knee begins far below white.

    `peak_nits` is the picture's peak, which becomes white; a peak up to SDR's white changes nothing.
    """
    if peak_nits <= SDR_WHITE_NITS:
        return min(1.0, nits / SDR_WHITE_NITS)
    most, ratio, knee = _knee(peak_nits)
    code = min(1.0, pq_code(nits) / most)
    if code > knee:
        t = (code - knee) / (1 - knee)
        code = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * ratio
    return min(1.0, pq_light(code * most) / SDR_WHITE_NITS)


@lru_cache(maxsize=8)
def _knee(peak_nits: float) -> tuple[float, float, float]:
    """Return the source's highest code, SDR's white as a share of it, and the start of the knee."""
    most = pq_code(peak_nits)
    ratio = pq_code(SDR_WHITE_NITS) / most
    return most, ratio, max(0.0, 1.5 * ratio - 0.5)


Point = tuple[float, float]
Chromaticities = tuple[Point, Point, Point, Point]
"""Red, green, blue and white in CIE x and y."""

SRGB: Chromaticities = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), (0.3127, 0.3290))
_LONGEST_CHUNK = 24
_BRADFORD = [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]

_D65, _C, _THEATRE = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
_PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB,
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _THEATRE),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePoints:
    """Numbers of H.273; `full_range` is False if black is 16 and white 235 of 255.

    `peak_nits` is the picture's declared peak brightness, used only for PQ.
    """

    primaries: int
    transfer: int
    full_range: bool
    peak_nits: float = NOMINAL_PEAK_NITS


def code_points(data: Data, kind: Format) -> CodePoints | None:
    """Return the file's code points, or None."""
    if kind is Format.PNG:
        return _cicp(data)
    if kind not in (Format.AVIF, Format.HEIC):
        return None
    properties = [(name, payload) for name, payload in primary_properties(in_memory(data))]
    levels = {name: payload for name, payload in properties if name in (b"clli", b"mdcv")}
    for name, payload in properties:
        if name == b"colr" and payload[:4] == b"nclx" and len(payload) >= 11:
            primaries, transfer, _, flags = struct.unpack_from(">HHHB", payload, 4)
            return CodePoints(
                primaries=primaries,
                transfer=transfer,
                full_range=bool(flags & 0x80),
                peak_nits=_peak(levels.get(b"clli", b"")[:2], levels.get(b"mdcv", b"")[16:20], light_unit=1.0),
            )
    return None


def _peak(light: bytes, display: bytes, *, light_unit: float) -> float:
    """Return the declared brightest pixel, else the peak of the mastering display, else the usual one; 0 is undeclared.

    Reads CTA-861.3's content light level and SMPTE ST 2086's mastering display, as stored by ISO/IEC 23008-12 and PNG.
    """
    declared = int.from_bytes(light) * light_unit or int.from_bytes(display) * 0.0001
    return declared or NOMINAL_PEAK_NITS


def is_grey_avif(data: Data) -> bool:
    """Whether an AVIF has only luma (AV1 Codec ISO Media File Format Binding, 2.3.3)."""
    return any(
        name == b"av1C" and len(payload) > 2 and payload[2] & 0x10
        for name, payload in primary_properties(in_memory(data))
    )


def means_srgb(points: CodePoints) -> bool:
    """Whether these points mean sRGB: they declare it, or hold no known value."""
    return _primaries(points) == SRGB and points.transfer not in _CURVES and points.transfer not in _HDR


def to_light(image: pyvips.Image, points: CodePoints) -> pyvips.Image:
    """Convert one or three bands of 8 or 16 bits to linear light with sRGB's primaries and white at 1 (scRGB)."""
    size = 65536 if image.format == "ushort" else 256
    curve = pyvips.Image.new_from_memory(_table(points.transfer, points.peak_nits, size), size, 1, 1, "float")
    light = image.maplut(curve)
    light = light.bandjoin([light, light]) if light.bands == 1 else light.recomb(_to_srgb_matrix(_primaries(points)))
    return light.copy(interpretation="scrgb")


def _primaries(points: CodePoints) -> Chromaticities:
    return _PRIMARIES.get(points.primaries, SRGB)


@lru_cache(maxsize=8)
def _table(transfer: int, peak_nits: float, size: int) -> bytes:
    codes = (at / (size - 1) for at in range(size))
    # Per channel, before the primaries are converted: a bright lamp becomes white.
    if transfer in _HDR:
        peak = peak_nits if transfer == _PQ else NOMINAL_PEAK_NITS
        return array("f", (tone_mapped(_HDR[transfer](code), peak) for code in codes)).tobytes()
    curve = _CURVES.get(transfer, _srgb)
    return array("f", map(curve, codes)).tobytes()


def _to_srgb_matrix(primaries: Chromaticities) -> pyvips.Image:
    """Return the matrix for linear red, green and blue (SMPTE RP 177; whites adapted by Bradford's matrix)."""
    bradford = pyvips.Image.new_from_array(_BRADFORD)
    seen, wanted = (_times(bradford, _tristimulus(one[3])) for one in (primaries, SRGB))
    gain = _diagonal([after / before for before, after in zip(seen, wanted, strict=True)])
    steps = (_to_xyz(primaries), bradford, gain, bradford.matrixinvert(), _to_xyz(SRGB).matrixinvert())
    return reduce(lambda done, step: step.matrixmultiply(done), steps)


def _to_xyz(primaries: Chromaticities) -> pyvips.Image:
    *colours, white = (_tristimulus(point) for point in primaries)
    columns = pyvips.Image.new_from_array([list(row) for row in zip(*colours, strict=True)])
    return columns.matrixmultiply(_diagonal(_times(columns.matrixinvert(), white)))


def _tristimulus(point: Point) -> list[float]:
    x, y = point
    return [x / y, 1.0, (1 - x - y) / y]


def _times(matrix: pyvips.Image, vector: list[float]) -> list[float]:
    column = matrix.matrixmultiply(pyvips.Image.new_from_array([[one] for one in vector]))
    return [column(0, row)[0] for row in range(3)]


def _diagonal(values: list[float]) -> pyvips.Image:
    return pyvips.Image.new_from_array([[one if at == row else 0 for at in range(3)] for row, one in enumerate(values)])


def _cicp(data: Data) -> CodePoints | None:
    """Read the chunks before the pixels: cICP, cLLI and mDCV (PNG, third edition, 11.3.2)."""
    found: dict[bytes, bytes] = {}
    at = 8
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"IDAT":
            break
        if name in (b"cICP", b"cLLI", b"mDCV") and length <= _LONGEST_CHUNK:
            found.setdefault(name, data[at + 8 : at + 8 + length])
        at += 12 + length
    points = found.get(b"cICP", b"")
    if len(points) != 4:
        return None
    peak = _peak(found.get(b"cLLI", b"")[:4], found.get(b"mDCV", b"")[16:20], light_unit=0.0001)
    return CodePoints(primaries=points[0], transfer=points[1], full_range=bool(points[3]), peak_nits=peak)


def _srgb(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else math.pow((value + 0.055) / 1.055, 2.4)


def _gamma(power: float) -> Callable[[float], float]:
    return lambda value: math.pow(value, power)


# BT.709, 601 and 2020 use sRGB's curve, as in browsers: their own curve is for cameras, not displays.
_CURVES: dict[int, Callable[[float], float]] = {
    4: _gamma(2.2),
    5: _gamma(2.8),
    8: _gamma(1.0),
    17: _gamma(2.6),
}
_PQ = 16
_HDR: dict[int, Callable[[float], float]] = {_PQ: pq_light, 18: hlg_light}
