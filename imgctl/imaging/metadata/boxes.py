"""Files made of boxes (ISO/IEC 14496-12, 4.2): JPEG 2000's here, HEIF's and AVIF's beside."""

from collections.abc import Iterator

from imgctl.imaging.metadata.contents import MOST_BLOCK, MOST_PARTS, Contents
from imgctl.imaging.metadata.source import Source, in_memory

# Each of the first two has a second spelling, which Photoshop's plug-in wrote (ExifTool's Jpeg2000.pm lists both).
_EXIF = (b"JpgTiffExif->JP2", bytes.fromhex("0537cdab9d0c4431a72afa561f2a113e"))
_IPTC = (bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38"), bytes.fromhex("09a14e97c0b442e0bebf36df6f0ce36f"))
_XMP = (bytes.fromhex("be7acfcb97a942e89c71999491e3afac"),)
_CODESTREAM = b"\xff\x4f\xff\x51"


def boxes(source: Source, at: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Each box's type with where its content begins and ends; one that claims more than there is ends the walk after it."""
    end = source.size if end is None else min(end, source.size)
    for _ in range(MOST_PARTS):
        here = source.read(at, 16)
        if at >= end or len(here) < 8:
            return
        size, start = int.from_bytes(here[:4]), at + 8
        if size == 1 and len(here) == 16:
            size, start = int.from_bytes(here[8:]), at + 16
        after = end if size == 0 else min(at + size, end)
        if after < start:
            return
        yield here[4:8], start, after
        at = after


def read_jp2(source: Source) -> Contents:
    """A JPEG 2000 file, or a bare codestream (ITU-T T.800, annexes A and I)."""
    head = source.read(0, 24)
    if head.startswith(_CODESTREAM):
        far, near = head[8:16], source.read(16, 8)
        return Contents(size=_difference(far, near))
    size: tuple[int, int] | None = None
    blocks: dict[bytes, bytes] = {}
    for kind, start, end in boxes(source):
        if kind == b"jp2h":
            size = next(
                (_ihdr(source.read(at, 8)) for name, at, _ in boxes(source, start, end) if name == b"ihdr"), None
            )
        elif kind == b"uuid" and end - start <= MOST_BLOCK:
            blocks.setdefault(source.read(start, 16), source.read(start + 16, end - start - 16))
    return Contents(
        size=size,
        exif=in_memory(_first(blocks, _EXIF)),
        xmp=_first(blocks, _XMP),
        iptc=_first(blocks, _IPTC),
    )


def _first(blocks: dict[bytes, bytes], names: tuple[bytes, ...]) -> bytes:
    return next((blocks[name] for name in names if name in blocks), b"")


def _ihdr(data: bytes) -> tuple[int, int]:
    return int.from_bytes(data[4:8]), int.from_bytes(data[:4])


def _difference(far: bytes, near: bytes) -> tuple[int, int]:
    """The image area of a reference grid: where it ends less where it begins."""
    width, height = (int.from_bytes(far[at : at + 4]) - int.from_bytes(near[at : at + 4]) for at in (0, 4))
    return width, height
