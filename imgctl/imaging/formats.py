"""Every format of picture, camera raw and film that imgctl knows; recognition, help and docs follow from this table."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.util import find_spec


class Kind(StrEnum):
    """What a file of some format holds."""

    PICTURE = "picture"
    RAW = "raw"
    FILM = "film"


class Format(StrEnum):
    """The formats by name; what is known of each is in KNOWN."""

    JPEG = "jpeg"
    MPO = "mpo"
    PNG = "png"
    GIF = "gif"
    WEBP = "webp"
    TIFF = "tiff"
    HEIC = "heic"
    AVIF = "avif"
    BMP = "bmp"
    JPEG2000 = "jpeg2000"
    PSD = "psd"
    PSB = "psb"
    JXL = "jxl"
    PNM = "pnm"
    TGA = "tga"
    PCX = "pcx"
    ICO = "ico"
    SGI = "sgi"
    DDS = "dds"
    QOI = "qoi"
    EXR = "exr"
    HDR = "hdr"
    JXR = "jxr"
    XCF = "xcf"
    DJVU = "djvu"
    FITS = "fits"
    SVG = "svg"
    EPS = "eps"
    WMF = "wmf"

    DNG = "dng"
    GPR = "gpr"
    CR2 = "cr2"
    CR3 = "cr3"
    CRW = "crw"
    NEF = "nef"
    NRW = "nrw"
    ARW = "arw"
    SR2 = "sr2"
    RAF = "raf"
    ORF = "orf"
    RW2 = "rw2"
    RWL = "rwl"
    PEF = "pef"
    SRW = "srw"
    X3F = "x3f"
    FFF = "3fr"
    IIQ = "iiq"
    MOS = "mos"
    DCR = "dcr"
    KDC = "kdc"
    MRW = "mrw"
    ERF = "erf"
    OTHER_RAW = "other-raw"

    MP4 = "mp4"
    M4V = "m4v"
    MOV = "mov"
    THREE_GP = "3gp"
    AVI = "avi"
    MTS = "mts"
    MPEG = "mpeg"
    WEBM = "webm"
    MKV = "mkv"
    WMV = "wmv"
    FLV = "flv"
    OGV = "ogv"
    MXF = "mxf"
    DV = "dv"


@dataclass(frozen=True, slots=True)
class KnownFormat:
    """One format: its title, the names of its files (the first is a key's), and whether imgctl takes it.

    `magic` are openings that tell it alone; `brands` are those of an ISO base media file's `ftyp` box (ISO/IEC
    14496-12, 4.3). What other content tells it by is in `recognise`. `extra` is what `pip install imgctl[…]` must bring.
    """

    format: Format
    kind: Kind
    title: str
    content_type: str
    extensions: tuple[str, ...]
    magic: tuple[bytes, ...] = ()
    brands: tuple[bytes, ...] = ()
    supported: bool = True
    extra: str = ""

    @property
    def taken(self) -> bool:
        """Whether this installation takes it."""
        return self.supported and (not self.extra or is_installed(self.extra))

    @property
    def extension(self) -> str:
        """How the name of an original of this format ends."""
        return self.extensions[0]


def _row(  # a line of the table
    format_: Format,
    kind: Kind,
    title: str,
    content_type: str,
    extensions: str,
    *,
    magic: tuple[bytes, ...] = (),
    brands: str = "",
    supported: bool = True,
    extra: str = "",
) -> KnownFormat:
    names = tuple(one.ljust(4).encode() for one in brands.split())
    return KnownFormat(format_, kind, title, content_type, tuple(extensions.split()), magic, names, supported, extra)


VIDEO = "video"
_BROUGHT_BY = {VIDEO: "av"}


@cache
def is_installed(extra: str) -> bool:
    """Whether the package that an extra brings can be imported; finds it, and imports nothing."""
    return find_spec(_BROUGHT_BY[extra]) is not None


_P, _R, _F = Kind.PICTURE, Kind.RAW, Kind.FILM
_TABLE = (
    _row(Format.JPEG, _P, "JPEG", "image/jpeg", "jpg jpeg jpe jfif jif jfi", magic=(b"\xff\xd8\xff",)),
    # An MPO opens with an ordinary JPEG: browsers show it as one and know no other type for it.
    _row(Format.MPO, _P, "MPO", "image/jpeg", "jpg mpo"),
    _row(Format.PNG, _P, "PNG", "image/png", "png apng", magic=(b"\x89PNG\r\n\x1a\n",)),
    _row(Format.GIF, _P, "GIF", "image/gif", "gif", magic=(b"GIF87a", b"GIF89a")),
    _row(Format.WEBP, _P, "WebP", "image/webp", "webp"),
    _row(
        Format.TIFF,
        _P,
        "TIFF",
        "image/tiff",
        "tif tiff",
        magic=(b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0"),
    ),
    _row(
        Format.HEIC,
        _P,
        "HEIC",
        "image/heic",
        "heic heif hif heics heifs",
        brands="heic heix hevc hevx heim heis hevm hevs mif1 msf1",
    ),
    _row(Format.AVIF, _P, "AVIF", "image/avif", "avif avifs", brands="avif avis"),
    _row(Format.BMP, _P, "BMP", "image/bmp", "bmp dib", magic=(b"BM",)),
    _row(
        Format.JPEG2000,
        _P,
        "JPEG 2000",
        "image/jp2",
        "jp2 j2k jpf jpx jpm j2c jpc",
        magic=(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    ),
    _row(Format.PSD, _P, "Photoshop PSD", "image/vnd.adobe.photoshop", "psd", magic=(b"8BPS\0\x01",)),
    _row(Format.PSB, _P, "Photoshop PSB", "image/vnd.adobe.photoshop", "psb", magic=(b"8BPS\0\x02",)),
    _row(Format.JXL, _P, "JPEG XL", "image/jxl", "jxl", magic=(b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\x0a")),
    _row(Format.PNM, _P, "PNM", "image/x-portable-anymap", "pnm pbm pgm ppm pam pfm"),
    _row(Format.TGA, _P, "TGA", "image/x-tga", "tga"),
    _row(Format.PCX, _P, "PCX", "image/x-pcx", "pcx"),
    _row(Format.ICO, _P, "ICO", "image/x-icon", "ico cur"),
    _row(Format.SGI, _P, "SGI", "image/x-sgi", "sgi rgb"),
    _row(Format.DDS, _P, "DDS", "image/x-dds", "dds", magic=(b"DDS \x7c\0\0\0",)),
    _row(Format.QOI, _P, "QOI", "image/x-qoi", "qoi", magic=(b"qoif",)),
    _row(Format.EXR, _P, "OpenEXR", "image/x-exr", "exr", magic=(b"\x76\x2f\x31\x01",), supported=False),
    _row(
        Format.HDR, _P, "Radiance HDR", "image/vnd.radiance", "hdr", magic=(b"#?RADIANCE", b"#?RGBE"), supported=False
    ),
    _row(Format.JXR, _P, "JPEG XR", "image/jxr", "jxr wdp hdp", magic=(b"II\xbc\x01",), supported=False),
    _row(Format.XCF, _P, "GIMP XCF", "image/x-xcf", "xcf", magic=(b"gimp xcf",), supported=False),
    _row(Format.DJVU, _P, "DjVu", "image/vnd.djvu", "djvu djv", magic=(b"AT&TFORM",), supported=False),
    _row(Format.FITS, _P, "FITS", "image/fits", "fits fit fts", magic=(b"SIMPLE  =",), supported=False),
    _row(Format.SVG, _P, "SVG", "image/svg+xml", "svg svgz", supported=False),
    _row(Format.EPS, _P, "EPS", "image/x-eps", "eps", magic=(b"\xc5\xd0\xd3\xc6",), supported=False),
    _row(Format.WMF, _P, "WMF", "image/wmf", "wmf emf", magic=(b"\xd7\xcd\xc6\x9a",), supported=False),
    _row(Format.DNG, _R, "DNG", "image/x-adobe-dng", "dng"),
    _row(Format.GPR, _R, "GoPro GPR", "image/x-gopro-gpr", "gpr"),
    _row(Format.CR2, _R, "Canon CR2", "image/x-canon-cr2", "cr2"),
    _row(Format.CR3, _R, "Canon CR3", "image/x-canon-cr3", "cr3", brands="crx"),
    _row(Format.CRW, _R, "Canon CRW", "image/x-canon-crw", "crw", magic=(b"II\x1a\0\0\0HEAPCCDR",)),
    _row(Format.NEF, _R, "Nikon NEF", "image/x-nikon-nef", "nef"),
    _row(Format.NRW, _R, "Nikon NRW", "image/x-nikon-nrw", "nrw"),
    _row(Format.ARW, _R, "Sony ARW", "image/x-sony-arw", "arw"),
    _row(Format.SR2, _R, "Sony SR2", "image/x-sony-sr2", "sr2 srf"),
    _row(Format.RAF, _R, "Fujifilm RAF", "image/x-fuji-raf", "raf", magic=(b"FUJIFILMCCD-RAW",)),
    _row(Format.ORF, _R, "Olympus ORF", "image/x-olympus-orf", "orf ori", magic=(b"IIRO", b"IIRS", b"MMOR")),
    _row(Format.RW2, _R, "Panasonic RW2", "image/x-panasonic-rw2", "rw2", magic=(b"IIU\0",)),
    _row(Format.RWL, _R, "Leica RWL", "image/x-leica-rwl", "rwl"),
    _row(Format.PEF, _R, "Pentax PEF", "image/x-pentax-pef", "pef ptx"),
    _row(Format.SRW, _R, "Samsung SRW", "image/x-samsung-srw", "srw"),
    _row(Format.X3F, _R, "Sigma X3F", "image/x-sigma-x3f", "x3f", magic=(b"FOVb",)),
    _row(Format.FFF, _R, "Hasselblad 3FR", "image/x-hasselblad-3fr", "3fr fff"),
    _row(Format.IIQ, _R, "Phase One IIQ", "image/x-phaseone-iiq", "iiq"),
    _row(Format.MOS, _R, "Leaf MOS", "image/x-leaf-mos", "mos"),
    _row(Format.DCR, _R, "Kodak DCR", "image/x-kodak-dcr", "dcr"),
    _row(Format.KDC, _R, "Kodak KDC", "image/x-kodak-kdc", "kdc"),
    _row(Format.MRW, _R, "Minolta MRW", "image/x-minolta-mrw", "mrw", magic=(b"\0MRM",)),
    _row(Format.ERF, _R, "Epson ERF", "image/x-epson-erf", "erf"),
    _row(Format.OTHER_RAW, _R, "of another maker", "image/x-dcraw", "raw"),
    _row(Format.MOV, _F, "QuickTime", "video/quicktime", "mov qt", brands="qt", extra=VIDEO),
    _row(Format.M4V, _F, "M4V", "video/x-m4v", "m4v", brands="M4V M4VH M4VP", extra=VIDEO),
    _row(
        Format.THREE_GP,
        _F,
        "3GP",
        "video/3gpp",
        "3gp 3g2 3gpp",
        brands="3gp4 3gp5 3gp6 3gp7 3gs7 3gr6 3ge6 3ge7 3gg6 3g2a 3g2b 3g2c",
        extra=VIDEO,
    ),
    _row(
        Format.MP4,
        _F,
        "MP4",
        "video/mp4",
        "mp4 insv lrv",
        brands="isom iso2 iso3 iso4 iso5 iso6 mp41 mp42 avc1 dash MSNV XAVC f4v mmp4 niko",
        extra=VIDEO,
    ),
    _row(Format.AVI, _F, "AVI", "video/x-msvideo", "avi divx", extra=VIDEO),
    _row(Format.MTS, _F, "AVCHD", "video/mp2t", "mts m2ts m2t", extra=VIDEO),
    _row(
        Format.MPEG,
        _F,
        "MPEG",
        "video/mpeg",
        "mpg mpeg vob mpe m2v mod tod",
        magic=(b"\0\0\x01\xba", b"\0\0\x01\xb3"),
        extra=VIDEO,
    ),
    _row(Format.WEBM, _F, "WebM", "video/webm", "webm", extra=VIDEO),
    _row(Format.MKV, _F, "Matroska", "video/x-matroska", "mkv", magic=(b"\x1aE\xdf\xa3",), extra=VIDEO),
    _row(
        Format.WMV,
        _F,
        "WMV",
        "video/x-ms-wmv",
        "wmv asf",
        magic=(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",),
        supported=False,
    ),
    _row(Format.FLV, _F, "FLV", "video/x-flv", "flv f4v", magic=(b"FLV\x01",), supported=False),
    _row(Format.OGV, _F, "Ogg video", "video/ogg", "ogv", supported=False),
    _row(
        Format.MXF,
        _F,
        "MXF",
        "application/mxf",
        "mxf",
        magic=(b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02",),
        supported=False,
    ),
    _row(Format.DV, _F, "DV", "video/x-dv", "dv dif", supported=False),
)

KNOWN = {row.format: row for row in _TABLE}
SUPPORTED = tuple(row for row in _TABLE if row.supported)
_KIND_NAMES = {"raw": Kind.RAW, "video": Kind.FILM, "film": Kind.FILM}
_BY_EXTENSION = {name: row.format for row in reversed(_TABLE) for name in row.extensions}


def format_by_name(name: str) -> Format | None:
    """The format that a file's name says, by its ending; None where it says none that is known."""
    return _BY_EXTENSION.get(name.rpartition(".")[2].lower()) if "." in name else None


def is_film(name: str) -> bool:
    """Whether a file's name says that it is a film."""
    said = format_by_name(name)
    return said is not None and KNOWN[said].kind is Kind.FILM


def formats_named(name: str) -> frozenset[Format]:
    """The formats that a user means by `raw`, `video`, `cr3`, `jpg` …; empty where the name is unknown."""
    wanted = name.strip().lower().removeprefix(".")
    if wanted in _KIND_NAMES:
        return frozenset(row.format for row in _TABLE if row.kind is _KIND_NAMES[wanted])
    return frozenset(row.format for row in _TABLE if wanted == row.format or wanted in row.extensions)


def format_names() -> Iterable[str]:
    """What `formats_named` knows, kinds first; other endings of a format's files are taken too."""
    return ("raw", "video", *sorted(row.format.value for row in _TABLE))
