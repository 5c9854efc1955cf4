"""A PNG's chunks, also those after the pixels: eXIf, texts, XMP, and ImageMagick's blocks in texts."""

import zlib
from collections.abc import Iterator
from contextlib import suppress

from imgctl.imaging.metadata.photoshop import IPTC, resources
from imgctl.imaging.source import MOST_BLOCK, Contents, Source, in_memory

_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt"))
_WANTED = frozenset((b"IHDR", b"eXIf", *_TEXTS))
_PIXELS = b"IDAT"
_XMP = "XML:com.adobe.xmp"
_PROFILE = "Raw profile type "
_SHORT = ("Description", "Creation Time")
_NAMES = frozenset((_XMP, *_SHORT, *(f"{_PROFILE}{name}" for name in ("exif", "APP1", "xmp", "iptc"))))
# With pixels in chunks of 8 KiB, as libpng writes them, these are 8 GiB.
_MOST_CHUNKS = 2**20
# In a store, chunks after the pixels are searched in the last mebibyte: walking from one pixel chunk to the next would
# read all of them.
_TAIL = 2**20
# Names that are not those of chunks may occur in the tail, each followed by as many bytes as its length says.
_MOST_CHECKED = 8 * _TAIL


def read_png(source: Source) -> Contents:
    """Walk the chunks (PNG third edition, 5.3)."""
    blocks: dict[bytes, bytes] = {}
    texts: dict[str, bytes] = {}
    for kind, data in _chunks(source):
        if kind in _TEXTS:
            name = data.partition(b"\0")[0].decode("latin-1")
            # Unpacked only once for each name: a file may hold thousands of texts that unpack to mebibytes.
            if name in _NAMES and name not in texts:
                texts[name] = _text(kind, data)
        else:
            blocks.setdefault(kind, data)
    head = blocks.get(b"IHDR", b"")
    exif = blocks.get(b"eXIf") or _profile(texts, "exif") or _profile(texts, "APP1")
    return Contents(
        size=(int.from_bytes(head[:4]), int.from_bytes(head[4:8])) if len(head) >= 8 else None,
        exif=in_memory(exif),
        xmp=texts.get(_XMP) or _profile(texts, "xmp"),
        iptc=_data_sets(_profile(texts, "iptc")),
        texts={name: _plain(texts[name]) for name in _SHORT if name in texts},
    )


def _chunks(source: Source) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    for _ in range(_MOST_CHUNKS):
        here = source.read(at, 8)
        if len(here) < 8:
            return
        size, kind = int.from_bytes(here[:4]), here[4:]
        if kind == _PIXELS and source.remote and source.size - at > _TAIL:
            yield from _behind(source.read(source.size - _TAIL, _TAIL))
            return
        if kind in _WANTED and size <= MOST_BLOCK:
            yield kind, source.read(at + 8, size)
        if kind == b"IEND":
            return
        at += size + 12


def _behind(tail: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks in the last part of a file, found by name and verified by checksum."""
    left = _MOST_CHECKED
    for kind in (b"eXIf", *_TEXTS):
        at = tail.find(kind, 4)
        while at >= 4:
            end = at + 4 + int.from_bytes(tail[at - 4 : at])
            if end + 4 <= len(tail):
                left -= end - at
                if left < 0:
                    return
                if zlib.crc32(tail[at:end]) == int.from_bytes(tail[end : end + 4]):
                    yield kind, tail[at + 4 : end]
            at = tail.find(kind, at + 4)


def _text(kind: bytes, data: bytes) -> bytes:
    rest = data.partition(b"\0")[2]
    if kind == b"iTXt":
        packed, rest = rest[:1] == b"\1", rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    else:
        packed, rest = kind == b"zTXt", rest[1:] if kind == b"zTXt" else rest
    return _unpacked(rest) if packed else rest


def _unpacked(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MOST_BLOCK)
    except zlib.error:
        return b""


def _plain(text: bytes) -> str:
    """Decode text: the standard prescribes Latin-1, many programs write UTF-8."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _profile(texts: dict[str, bytes], name: str) -> bytes:
    """Decode a block that ImageMagick wrote into a text: its name, its length, and lines of hexadecimal digits."""
    _, _, rest = texts.get(_PROFILE + name, b"").lstrip().partition(b"\n")
    with suppress(ValueError):
        return bytes.fromhex(rest.strip().partition(b"\n")[2].decode("ascii"))
    return b""


def _data_sets(profile: bytes) -> bytes:
    """Return the IPTC data, which ImageMagick wraps into Photoshop's resources."""
    return resources(in_memory(profile)).get(IPTC, b"") if profile.startswith(b"8BIM") else profile
