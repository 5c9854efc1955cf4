"""A 64-bit fingerprint of a picture: near-duplicates differ in few bits."""

from PIL import Image

from imgctl.imaging.raster import Raster

_COLUMNS, _ROWS = 9, 8


def fingerprint(raster: Raster) -> int:
    """Return the dHash, a bit for each of 8 × 8 cells darker than the next, as a signed 64-bit number for databases."""
    picture = Image.frombuffer("RGB", (raster.width, raster.height), raster.data, "raw", "RGB", 0, 1)
    grey = picture.convert("L").resize((_COLUMNS, _ROWS), Image.Resampling.BOX).tobytes()
    pairs = (grey[row * _COLUMNS + column :][:2] for row in range(_ROWS) for column in range(_COLUMNS - 1))
    return int.from_bytes(int("".join("01"[left < right] for left, right in pairs), 2).to_bytes(8), signed=True)
