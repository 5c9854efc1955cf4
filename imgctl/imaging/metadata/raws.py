"""Camera raws: those that are built like TIFFs have EXIF and XMP in their first directory; their size is LibRaw's to tell."""

from dataclasses import replace

from imgctl.imaging.metadata.tiff import read_tiff
from imgctl.imaging.source import Contents, Source


def read_raw(source: Source) -> Contents:
    """Metadata alone: what a directory calls width and height is a preview's, or a sensor's with its borders."""
    return replace(read_tiff(source), size=None, turned=True)
