"""Whether the installed decoders and encoders do what the pipeline needs of them."""

from io import BytesIO

from PIL import Image, features

from imgctl.errors import ImgctlError
from imgctl.imaging.formats import VIDEO, is_installed
from imgctl.imaging.render import render
from imgctl.model import Recipe, Variant, VariantFormat, VariantSpec

INPUTS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "HEIF", "JPEG2000", "JXL")


def missing_codecs() -> list[str]:
    """Return the formats that cannot be decoded or encoded, by trying each on a tiny picture."""
    return [
        *(name for name in INPUTS if not _decodes(name)),
        *(() if not is_installed(VIDEO) or _decodes("MOV") else ("films",)),
        *(() if _loads_libraw() else ("camera raws",)),
        *(str(one) for one in VariantFormat if not _encodes(one)),
    ]


def _loads_libraw() -> bool:
    try:
        import rawpy
    except ImportError:
        return False
    return bool(rawpy.libraw_version)


def _decodes(name: str) -> bool:
    data = _sample(name)
    return data is not None and _renders(data, VariantFormat.JPEG)


def _encodes(format_: VariantFormat) -> bool:
    data = _sample("PNG")
    return data is not None and _renders(data, format_)


def _renders(data: bytes, format_: VariantFormat) -> bool:
    spec = VariantSpec(variant=Variant.THUMB, max_edge_px=8, quality=80, format=format_)
    try:
        return bool(render(data, Recipe(variants=(spec,))).variants)
    except ImgctlError:
        return False


def _sample(name: str) -> bytes | None:
    """Return a 16×16 picture in this format, or None if it cannot be written."""
    if name == "MOV":
        return _film()
    if name == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    elif name == "JXL":
        import pillow_jxl  # noqa: F401  Pillow's plugin, to write with
    elif name == "AVIF" and not features.check("avif"):
        return None
    buffer = BytesIO()
    try:
        Image.new("RGB", (16, 16), "teal").save(buffer, name)
    except (OSError, KeyError, ValueError):
        return None
    return buffer.getvalue()


def _film() -> bytes | None:
    try:
        import av

        out = BytesIO()
        with av.open(out, "w", format="mov") as container:
            stream = container.add_stream("mpeg4", rate=25, width=16, height=16, pix_fmt="yuv420p")
            container.mux([*stream.encode(av.VideoFrame(16, 16, "yuv420p")), *stream.encode(None)])
    except (ImportError, OSError, ValueError):
        return None
    return out.getvalue()
