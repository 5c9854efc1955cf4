"""JPEG XL by libjxl, whole and in the calling thread."""

from imgctl.imaging.decoders.pillow import Pixels
from imgctl.imaging.source import Data

_HALF_FLOATS = "F;16"


def decode_jxl(data: Data) -> Pixels | bytes:
    """Return the first frame, upright, or the JPEG that the file losslessly contains. Raises ValueError."""
    # Not by Pillow's plugin: that decodes in as many threads as there are processors, and a lossless JPEG twice.
    from pillow_jxl import Decoder

    try:
        is_jpeg, info, pixels, profile, _ = Decoder(num_threads=0)(bytes(data))
    except RuntimeError as error:
        # The file contains the data to rebuild the JPEG.
        raise ValueError("libjxl: corrupt, cut off, or of a kind that it does not know") from error
    if is_jpeg:
        return bytes(pixels)
    if info.mode == _HALF_FLOATS:
        raise ValueError("unsupported: floats of 16 bits")
    return Pixels(
        mode=info.mode,
        size=(info.width, info.height),
        data=bytearray(pixels),
        icc_profile=bytes(profile or b""),
        orientation=1,
    )
