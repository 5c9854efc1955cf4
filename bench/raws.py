"""Camera raws for `bench.render --raw`: one with a full preview, and two whose sensor pixels must be developed."""

from pathlib import Path

from bench.photos import jpeg_of, scene
from tests.imaging.raws import dng, in_tiff

LARGE, SMALL = (6016, 4016), (3872, 2592)
JPEG = "the same picture as a JPEG"
PREVIEW = "raw of 24 MP by its preview"
HALF = "raw of 24 MP, developed at half size"
FULL = "raw of 10 MP, developed whole"
KINDS = (JPEG, PREVIEW, HALF, FULL)


def write_raws(folder: Path, count: int) -> None:
    """Write `count` files of each kind into its own directory; all have the same names, because content decides."""
    picture = scene(*LARGE, seed=3, noise=21.0)
    jpeg = jpeg_of(picture, quality=92)
    files = {
        JPEG: jpeg,
        PREVIEW: in_tiff(
            b"NIKON CORPORATION", b"NIKON D610", size=LARGE, shown=jpeg, pixels=bytes(2 * LARGE[0] * LARGE[1])
        ),
        HALF: _developed(LARGE),
        FULL: _developed(SMALL),
    }
    for place, kind in enumerate(KINDS):
        (folder / str(place)).mkdir()
        for number in range(count):
            (folder / str(place) / f"{number}.jpg").write_bytes(files[kind])


def _developed(size: tuple[int, int]) -> bytes:
    import numpy

    grey = numpy.asarray(scene(*size, seed=5, noise=9.0).convert("L"))
    return dng(size=size, pixels=(grey.astype("<u2") * 257).tobytes())
