"""Readers of rare formats: imported at the first such file, not in every run."""

from collections.abc import Callable

from imgctl.imaging.formats import KNOWN, Format, Kind
from imgctl.imaging.metadata import films
from imgctl.imaging.metadata.heif import read_jp2
from imgctl.imaging.metadata.jxl import read_jxl
from imgctl.imaging.metadata.raws import read_raw
from imgctl.imaging.metadata.size_only import read_dds, read_icon, read_pcx, read_pnm, read_qoi, read_sgi, read_tga
from imgctl.imaging.source import Contents, Source

READERS: dict[Format, Callable[[Source], Contents]] = {
    Format.JXL: read_jxl,
    Format.JPEG2000: read_jp2,
    Format.PNM: read_pnm,
    Format.TGA: read_tga,
    Format.PCX: read_pcx,
    Format.ICO: read_icon,
    Format.SGI: read_sgi,
    Format.DDS: read_dds,
    Format.QOI: read_qoi,
    **dict.fromkeys((row.format for row in KNOWN.values() if row.kind is Kind.RAW), read_raw),
    **films.READERS,
}
