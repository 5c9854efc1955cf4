"""HDR's luminance and its mapping to SDR: PQ and HLG, and the knee of Report ITU-R BT.2390."""

import math
from functools import lru_cache

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
