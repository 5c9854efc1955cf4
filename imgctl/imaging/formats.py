"""Every format of picture, camera raw and film that imgctl recognises; recognition, help and docs use this table."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, partial
from importlib.util import find_spec


class Kind(StrEnum):
    """The kind of content of a format."""

    PICTURE = "picture"
    RAW = "raw"
    FILM = "film"


class Format(StrEnum):
    """The formats by name; KNOWN holds their properties."""

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

    `magic` are unique signatures; `brands` are those of an ISO base media file's `ftyp` box (ISO/IEC 14496-12, 4.3).
    `recognise` holds all other checks of content. `extra` is the required extra of `pip install imgctl[…]`.
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
        """Whether this installation supports the format."""
        return self.supported and (not self.extra or is_installed(self.extra))

    @property
    def extension(self) -> str:
        """The file extension of originals of this format."""
        return self.extensions[0]


VIDEO = "video"
_BROUGHT_BY = {VIDEO: "av"}


@cache
def is_installed(extra: str) -> bool:
    """Whether an extra's package is installed; doesn't import it."""
    return find_spec(_BROUGHT_BY[extra]) is not None


def _row(
    kind: Kind,
    format_: Format,
    title: str,
    content_type: str,
    extensions: str,
    *magic: bytes,
    brands: str = "",
    supported: bool = True,
) -> KnownFormat:
    names = tuple(one.ljust(4).encode() for one in brands.split())
    extra = VIDEO if kind is Kind.FILM and supported else ""
    return KnownFormat(format_, kind, title, content_type, tuple(extensions.split()), magic, names, supported, extra)


_picture, _raw, _film = (partial(_row, kind) for kind in (Kind.PICTURE, Kind.RAW, Kind.FILM))
_other_picture, _other_film = (partial(_row, kind, supported=False) for kind in (Kind.PICTURE, Kind.FILM))
_HEIF_BRANDS = "heic heix hevc hevx heim heis hevm hevs mif1 msf1"
_MP4_BRANDS = "isom iso2 iso3 iso4 iso5 iso6 mp41 mp42 avc1 dash MSNV XAVC f4v mmp4 niko"
_3GP_BRANDS = "3gp4 3gp5 3gp6 3gp7 3gs7 3gr6 3ge6 3ge7 3gg6 3g2a 3g2b 3g2c"
_JP2, _J2K = b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"
_TABLE = (
    _picture(Format.JPEG, "JPEG", "image/jpeg", "jpg jpeg jpe jfif jif jfi", b"\xff\xd8\xff"),
    # An MPO begins with an ordinary JPEG: browsers show it as one and have no other type for it.
    _picture(Format.MPO, "MPO", "image/jpeg", "jpg mpo"),
    _picture(Format.PNG, "PNG", "image/png", "png apng", b"\x89PNG\r\n\x1a\n"),
    _picture(Format.GIF, "GIF", "image/gif", "gif", b"GIF87a", b"GIF89a"),
    _picture(Format.WEBP, "WebP", "image/webp", "webp"),
    _picture(Format.TIFF, "TIFF", "image/tiff", "tif tiff", b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0"),
    _picture(Format.HEIC, "HEIC", "image/heic", "heic heif hif heics heifs", brands=_HEIF_BRANDS),
    _picture(Format.AVIF, "AVIF", "image/avif", "avif avifs", brands="avif avis"),
    _picture(Format.BMP, "BMP", "image/bmp", "bmp dib", b"BM"),
    _picture(Format.JPEG2000, "JPEG 2000", "image/jp2", "jp2 j2k jpf jpx jpm j2c jpc", _JP2, _J2K),
    _picture(Format.PSD, "Photoshop PSD", "image/vnd.adobe.photoshop", "psd", b"8BPS\0\x01"),
    _picture(Format.PSB, "Photoshop PSB", "image/vnd.adobe.photoshop", "psb", b"8BPS\0\x02"),
    _picture(Format.JXL, "JPEG XL", "image/jxl", "jxl", b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\x0a"),
    _picture(Format.PNM, "PNM", "image/x-portable-anymap", "pnm pbm pgm ppm pam pfm"),
    _picture(Format.TGA, "TGA", "image/x-tga", "tga"),
    _picture(Format.PCX, "PCX", "image/x-pcx", "pcx"),
    _picture(Format.ICO, "ICO", "image/x-icon", "ico cur"),
    _picture(Format.SGI, "SGI", "image/x-sgi", "sgi rgb"),
    _picture(Format.DDS, "DDS", "image/x-dds", "dds", b"DDS \x7c\0\0\0"),
    _picture(Format.QOI, "QOI", "image/x-qoi", "qoi", b"qoif"),
    _other_picture(Format.EXR, "OpenEXR", "image/x-exr", "exr", b"\x76\x2f\x31\x01"),
    _other_picture(Format.HDR, "Radiance HDR", "image/vnd.radiance", "hdr", b"#?RADIANCE", b"#?RGBE"),
    _other_picture(Format.JXR, "JPEG XR", "image/jxr", "jxr wdp hdp", b"II\xbc\x01"),
    _other_picture(Format.XCF, "GIMP XCF", "image/x-xcf", "xcf", b"gimp xcf"),
    _other_picture(Format.DJVU, "DjVu", "image/vnd.djvu", "djvu djv", b"AT&TFORM"),
    _other_picture(Format.FITS, "FITS", "image/fits", "fits fit fts", b"SIMPLE  ="),
    _other_picture(Format.SVG, "SVG", "image/svg+xml", "svg svgz"),
    _other_picture(Format.EPS, "EPS", "image/x-eps", "eps", b"\xc5\xd0\xd3\xc6"),
    _other_picture(Format.WMF, "WMF", "image/wmf", "wmf emf", b"\xd7\xcd\xc6\x9a"),
    _raw(Format.DNG, "DNG", "image/x-adobe-dng", "dng"),
    _raw(Format.GPR, "GoPro GPR", "image/x-gopro-gpr", "gpr"),
    _raw(Format.CR2, "Canon CR2", "image/x-canon-cr2", "cr2"),
    _raw(Format.CR3, "Canon CR3", "image/x-canon-cr3", "cr3", brands="crx"),
    _raw(Format.CRW, "Canon CRW", "image/x-canon-crw", "crw", b"II\x1a\0\0\0HEAPCCDR"),
    _raw(Format.NEF, "Nikon NEF", "image/x-nikon-nef", "nef"),
    _raw(Format.NRW, "Nikon NRW", "image/x-nikon-nrw", "nrw"),
    _raw(Format.ARW, "Sony ARW", "image/x-sony-arw", "arw"),
    _raw(Format.SR2, "Sony SR2", "image/x-sony-sr2", "sr2 srf"),
    _raw(Format.RAF, "Fujifilm RAF", "image/x-fuji-raf", "raf", b"FUJIFILMCCD-RAW"),
    _raw(Format.ORF, "Olympus ORF", "image/x-olympus-orf", "orf ori", b"IIRO", b"IIRS", b"MMOR"),
    _raw(Format.RW2, "Panasonic RW2", "image/x-panasonic-rw2", "rw2", b"IIU\0"),
    _raw(Format.RWL, "Leica RWL", "image/x-leica-rwl", "rwl"),
    _raw(Format.PEF, "Pentax PEF", "image/x-pentax-pef", "pef ptx"),
    _raw(Format.SRW, "Samsung SRW", "image/x-samsung-srw", "srw"),
    _raw(Format.X3F, "Sigma X3F", "image/x-sigma-x3f", "x3f", b"FOVb"),
    _raw(Format.FFF, "Hasselblad 3FR", "image/x-hasselblad-3fr", "3fr fff"),
    _raw(Format.IIQ, "Phase One IIQ", "image/x-phaseone-iiq", "iiq"),
    _raw(Format.MOS, "Leaf MOS", "image/x-leaf-mos", "mos"),
    _raw(Format.DCR, "Kodak DCR", "image/x-kodak-dcr", "dcr"),
    _raw(Format.KDC, "Kodak KDC", "image/x-kodak-kdc", "kdc"),
    _raw(Format.MRW, "Minolta MRW", "image/x-minolta-mrw", "mrw", b"\0MRM"),
    _raw(Format.ERF, "Epson ERF", "image/x-epson-erf", "erf"),
    _raw(Format.OTHER_RAW, "of another maker", "image/x-dcraw", "raw"),
    _film(Format.MOV, "QuickTime", "video/quicktime", "mov qt", brands="qt"),
    _film(Format.M4V, "M4V", "video/x-m4v", "m4v", brands="M4V M4VH M4VP"),
    _film(Format.THREE_GP, "3GP", "video/3gpp", "3gp 3g2 3gpp", brands=_3GP_BRANDS),
    _film(Format.MP4, "MP4", "video/mp4", "mp4 insv lrv", brands=_MP4_BRANDS),
    _film(Format.AVI, "AVI", "video/x-msvideo", "avi divx"),
    _film(Format.MTS, "AVCHD", "video/mp2t", "mts m2ts m2t"),
    _film(Format.MPEG, "MPEG", "video/mpeg", "mpg mpeg vob mpe m2v mod tod", b"\0\0\x01\xba", b"\0\0\x01\xb3"),
    _film(Format.WEBM, "WebM", "video/webm", "webm"),
    _film(Format.MKV, "Matroska", "video/x-matroska", "mkv", b"\x1aE\xdf\xa3"),
    _other_film(Format.WMV, "WMV", "video/x-ms-wmv", "wmv asf", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    _other_film(Format.FLV, "FLV", "video/x-flv", "flv f4v", b"FLV\x01"),
    _other_film(Format.OGV, "Ogg video", "video/ogg", "ogv"),
    _other_film(Format.MXF, "MXF", "application/mxf", "mxf", b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02"),
    _other_film(Format.DV, "DV", "video/x-dv", "dv dif"),
)

KNOWN = {row.format: row for row in _TABLE}
SUPPORTED = tuple(row for row in _TABLE if row.supported)
_KIND_NAMES = {"raw": Kind.RAW, "video": Kind.FILM, "film": Kind.FILM}
_BY_EXTENSION = {name: row.format for row in reversed(_TABLE) for name in row.extensions}


def format_by_name(name: str) -> Format | None:
    """Return the format of a file name's extension; None if unknown."""
    return _BY_EXTENSION.get(name.rpartition(".")[2].lower()) if "." in name else None


def is_film(name: str) -> bool:
    """Whether a file name has the extension of a film."""
    named = format_by_name(name)
    return named is not None and KNOWN[named].kind is Kind.FILM


def formats_named(name: str) -> frozenset[Format]:
    """Return the formats of a name such as `raw`, `video`, `cr3`, `jpg` …; empty if unknown."""
    wanted = name.strip().lower().removeprefix(".")
    if wanted in _KIND_NAMES:
        return frozenset(row.format for row in _TABLE if row.kind is _KIND_NAMES[wanted])
    return frozenset(row.format for row in _TABLE if wanted == row.format or wanted in row.extensions)


def format_names() -> Iterable[str]:
    """Return the main names for `formats_named`, kinds first; it also accepts other extensions of a format."""
    return ("raw", "video", *sorted(row.format.value for row in _TABLE))
