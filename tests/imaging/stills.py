"""Generated files in formats of scanners and painting programs, of four colours each."""

import io
import struct
from collections.abc import Callable

import pillow_jxl  # noqa: F401  Pillow's plugin, to write with
from PIL import Image, ImageCms

from imgctl.imaging.formats import Format
from tests.imaging.pictures import quadrants

SMALL = quadrants()


def saved(kind: str, mode: str = "RGB", image: Image.Image = SMALL, **options: object) -> bytes:
    out = io.BytesIO()
    image.convert(mode).save(out, kind, **options)
    return out.getvalue()


def linear(value: int) -> float:
    """A byte of sRGB as light, 0 to 1 (IEC 61966-2-1)."""
    part = value / 255
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def photoshop(
    image: Image.Image, *, mode: int = 3, bits: int = 8, big: bool = False, packed: bool = True, layers: bytes = b""
) -> bytes:
    """A PSD, or a `big` PSB, of its composite alone."""
    planes = [_samples(band.tobytes(), bits) for band in image.split()]
    line = len(planes[0]) // image.height
    rows = [plane[at : at + line] for plane in planes for at in range(0, len(plane), line)]
    length = ">Q" if big else ">I"
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1 + big, len(planes), image.height, image.width, bits, mode) + bytes(8)
    head += struct.pack(length, len(layers)) + layers
    if not packed:
        return head + b"\0\0" + b"".join(rows)
    rows = [_packed(row) for row in rows]
    return head + b"\0\1" + b"".join(struct.pack(">I" if big else ">H", len(row)) for row in rows) + b"".join(rows)


def _samples(plane: bytes, bits: int) -> bytes:
    if bits == 16:
        return bytes(byte for one in plane for byte in (one, one))
    return struct.pack(f">{len(plane)}f", *map(linear, plane)) if bits == 32 else plane


def _packed(row: bytes) -> bytes:
    """PackBits without runs (TIFF 6.0, section 9)."""
    pieces = (row[at : at + 128] for at in range(0, len(row), 128))
    return b"".join(bytes([len(piece) - 1]) + piece for piece in pieces)


def in_lab(image: Image.Image) -> Image.Image:
    made = ImageCms.profileToProfile(
        image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert made is not None
    return made


def pam(image: Image.Image, kind: bytes, *, most: int = 255, behind: bytes = b"") -> bytes:
    """Netpbm's file of any number of bands: `behind` is one more, the same for every pixel."""
    layout = ">H" if most > 255 else ">B"
    step = len(image.getbands())
    samples = [struct.pack(layout, round(value * most / 255)) for value in image.tobytes()]
    pixels = b"".join(b"".join(samples[at : at + step]) + behind for at in range(0, len(samples), step))
    return pam_header(image, step + len(behind) // struct.calcsize(layout), most, kind) + pixels


def pam_header(image: Image.Image, depth: int, most: int, kind: bytes) -> bytes:
    head = f"P7\n# by hand\nHEIGHT {image.height}\nWIDTH {image.width}\nDEPTH {depth}\nMAXVAL {most}\nTUPLTYPE "
    return head.encode() + kind + b"\nENDHDR\n"


def pfm(image: Image.Image, *, order: str = "<", light: Callable[[int], float] = linear) -> bytes:
    """Floats, by default of linear light, the lowest row first."""
    lines = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes()
    mark, sign = "PF" if image.mode == "RGB" else "Pf", "-" if order == "<" else ""
    head = f"{mark}\n{image.width} {image.height}\n{sign}1.0\n"
    return head.encode() + struct.pack(f"{order}{len(lines)}f", *map(light, lines))


def bitmap(image: Image.Image) -> bytes:
    """A PSD of a picture of one bit a pixel; there 1 is black."""
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 1, image.height, image.width, 1, 0) + bytes(12)
    return head + b"\0\0" + bytes(255 - byte for byte in image.tobytes())


STILLS: dict[str, tuple[Format, Callable[[], bytes]]] = {
    "jxl": (Format.JXL, lambda: saved("JXL", lossless=True)),
    "jxl in boxes": (Format.JXL, lambda: saved("JXL", lossless=True, use_container=True)),
    "jxl with alpha": (Format.JXL, lambda: saved("JXL", "RGBA", lossless=True)),
    "jp2": (Format.JPEG2000, lambda: saved("JPEG2000")),
    "j2k": (Format.JPEG2000, lambda: saved("JPEG2000", no_jp2=True)),
    "psd": (Format.PSD, lambda: photoshop(SMALL)),
    "psd as it is": (Format.PSD, lambda: photoshop(SMALL, packed=False)),
    "psd of 16 bits": (Format.PSD, lambda: photoshop(SMALL, bits=16)),
    "psd of floats": (Format.PSD, lambda: photoshop(SMALL, bits=32, packed=False)),
    "psd in lab": (Format.PSD, lambda: photoshop(in_lab(SMALL), mode=9)),
    "psb": (Format.PSB, lambda: photoshop(SMALL, big=True)),
    "psb of 16 bits": (Format.PSB, lambda: photoshop(SMALL, big=True, bits=16)),
    "ppm": (Format.PNM, lambda: saved("PPM")),
    "ppm in text": (Format.PNM, lambda: b"P3\n# by hand\n96 64 255\n" + " ".join(map(str, SMALL.tobytes())).encode()),
    "pam": (Format.PNM, lambda: pam(SMALL, b"RGB")),
    "pam of 10 bits": (Format.PNM, lambda: pam(SMALL, b"RGB", most=1023)),
    "pam with alpha": (Format.PNM, lambda: pam(SMALL, b"RGB_ALPHA", behind=b"\xff")),
    "pam with a band of something": (Format.PNM, lambda: pam(SMALL, b"RGB", behind=b"\0")),
    "pfm": (Format.PNM, lambda: pfm(SMALL)),
    "pfm of bytes": (Format.PNM, lambda: pfm(SMALL, light=float)),
    "pfm of big ends": (Format.PNM, lambda: pfm(SMALL, order=">")),
    "tga": (Format.TGA, lambda: saved("TGA")),
    "tga without its footer": (Format.TGA, lambda: saved("TGA")[:-26]),
    "tga of runs": (Format.TGA, lambda: saved("TGA", compression="tga_rle")),
    "pcx": (Format.PCX, lambda: saved("PCX")),
    "ico": (Format.ICO, lambda: saved("ICO", sizes=[(48, 32), (96, 64)])),
    "ico of bitmaps": (Format.ICO, lambda: saved("ICO", sizes=[(96, 64)], bitmap_format="bmp")),
    "sgi": (Format.SGI, lambda: saved("SGI")),
    "dds": (Format.DDS, lambda: saved("DDS")),
    "dds with alpha": (Format.DDS, lambda: saved("DDS", "RGBA")),
    "qoi": (Format.QOI, lambda: saved("QOI")),
}
