"""Which format a file is by the decoders' word, where its first bytes tell nothing; for child processes only."""

from imgctl.imaging.decode import LOADERS, opens
from imgctl.imaging.formats import SUPPORTED, Format
from imgctl.imaging.pillow import size_of
from imgctl.imaging.source import Data


def opened_as(data: Data) -> Format | None:
    """The first format whose decoder opens the data, or None: a damaged signature need not stop one."""
    by_libvips = (kind for kind in LOADERS if opens(data, kind))
    by_pillow = (row.format for row in SUPPORTED if row.format is not Format.MPO and size_of(data, row.format))
    return next(by_libvips, None) or next(by_pillow, None)
