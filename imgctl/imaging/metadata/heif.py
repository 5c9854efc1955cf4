"""Files made of boxes (ISO/IEC 14496-12, 4.2): HEIC and AVIF by their `meta` box (ISO/IEC 23008-12), and JPEG 2000."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from imgctl.imaging.source import MOST_BLOCK, MOST_PARTS, Contents, Source, in_memory

_XMP = b"application/rdf+xml"
_TURNS = frozenset((b"irot", b"imir"))
_IN_FILE, _IN_META = 0, 1

Extent = tuple[int, int]
# The first two have a second spelling, written by Photoshop's plug-in (ExifTool's Jpeg2000.pm lists both).
_JP2_EXIF = (b"JpgTiffExif->JP2", bytes.fromhex("0537cdab9d0c4431a72afa561f2a113e"))
_JP2_IPTC = (bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38"), bytes.fromhex("09a14e97c0b442e0bebf36df6f0ce36f"))
XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""The UUID of an XMP packet in any file made of boxes (XMP Specification, part 3)."""
_CODESTREAM = b"\xff\x4f\xff\x51"


def boxes(source: Source, at: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield each box's type, and the start and end of its content; a box longer than its parent is the last one."""
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
        exif=in_memory(_first(blocks, _JP2_EXIF)),
        xmp=_first(blocks, (XMP_UUID,)),
        iptc=_first(blocks, _JP2_IPTC),
    )


def _first(blocks: dict[bytes, bytes], names: tuple[bytes, ...]) -> bytes:
    return next((blocks[name] for name in names if name in blocks), b"")


def _ihdr(data: bytes) -> tuple[int, int]:
    return int.from_bytes(data[4:8]), int.from_bytes(data[:4])


def _difference(far: bytes, near: bytes) -> tuple[int, int]:
    """The image area of a reference grid: its end minus its start."""
    width, height = (int.from_bytes(far[at : at + 4]) - int.from_bytes(near[at : at + 4]) for at in (0, 4))
    return width, height


@dataclass(slots=True)
class _Meta:
    """The needed item tables of one file."""

    primary: int = 0
    kinds: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    extents: dict[int, tuple[int, list[Extent]]] = field(default_factory=dict)
    describes: dict[int, set[int]] = field(default_factory=dict)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    of_items: dict[int, list[int]] = field(default_factory=dict)
    data: tuple[int, int] = (0, 0)

    def of_primary(self) -> list[tuple[bytes, bytes]]:
        """The primary picture's properties, in the order they apply."""
        wanted = self.of_items.get(self.primary, ())
        return [self.properties[index - 1] for index in wanted if 0 < index <= len(self.properties)]

    def item(self, kind: bytes, content: bytes = b"") -> int | None:
        """Return the item of a kind that describes the primary picture, else the first of that kind."""
        found = [one for one, what in self.kinds.items() if what == (kind, content)]
        return next((one for one in found if self.primary in self.describes.get(one, ())), next(iter(found), None))


def read_heif(source: Source) -> Contents:
    """Read the `meta` box, then only the items with metadata of the picture."""
    block = _meta_box(source)
    meta = _tables(block)
    properties = meta.of_primary()
    return Contents(
        size=_size(properties),
        turned=any(kind in _TURNS for kind, _ in properties),
        exif=in_memory(_tiff(_bytes(source, block, meta, meta.item(b"Exif")))),
        xmp=_bytes(source, block, meta, meta.item(b"mime", _XMP)),
    )


def primary_properties(source: Source) -> list[tuple[bytes, bytes]]:
    """Return name and first 32 bytes of each property of the primary picture; none if the boxes are damaged."""
    return _tables(_meta_box(source)).of_primary()


def _meta_box(source: Source) -> Source:
    """Return the content of the `meta` box; empty if it is missing or implausibly long."""
    place = next(((start, end) for kind, start, end in boxes(source) if kind == b"meta"), (0, 0))
    length = place[1] - place[0]
    return in_memory(source.read(place[0], length)) if length <= MOST_BLOCK else in_memory(b"")


def _size(properties: list[tuple[bytes, bytes]]) -> tuple[int, int] | None:
    """Return the size after the container's own crop and turns."""
    size: tuple[int, int] | None = None
    for kind, data in properties:
        if kind == b"ispe" and len(data) >= 12 and size is None:
            size = int.from_bytes(data[4:8]), int.from_bytes(data[8:12])
        elif kind == b"clap" and len(data) >= 16 and size is not None:
            size = _ratio(data[:8], size[0]), _ratio(data[8:16], size[1])
        elif kind == b"irot" and data and data[0] & 1 and size is not None:
            size = size[1], size[0]
    return size


def _ratio(data: bytes, most: int) -> int:
    """Return a clean aperture's edge, which is a fraction; an invalid one keeps the original edge."""
    above, below = int.from_bytes(data[:4]), int.from_bytes(data[4:])
    edge = round(above / below) if below else 0
    return edge if 0 < edge <= most else most


def _tiff(data: bytes) -> bytes:
    """Return an EXIF item without its leading offset."""
    return data[4 + int.from_bytes(data[:4]) :] if len(data) > 8 else b""


def _bytes(source: Source, block: Source, meta: _Meta, item: int | None) -> bytes:
    if item is None or item not in meta.extents:
        return b""
    method, extents = meta.extents[item]
    if method not in (_IN_FILE, _IN_META):
        return b""
    within, (start, end) = (block, meta.data) if method == _IN_META else (source, (0, source.size))
    pieces, left = [], MOST_BLOCK
    for at, length in extents:
        # Without a length it is the rest.
        size = max(0, min(length or MOST_BLOCK, end - start - at))
        left -= size
        if left < 0:
            return b""
        pieces.append(within.read(start + at, size))
    return b"".join(pieces)


def _tables(block: Source) -> _Meta:
    """Read the tables of the box; incomplete if it is damaged."""
    meta = _Meta()
    try:
        _fill(meta, block)
    except (IndexError, ValueError):
        return _Meta()
    return meta


def _fill(meta: _Meta, block: Source) -> None:
    for kind, start, end in boxes(block, 4):
        if kind == b"idat":
            meta.data = start, end
        elif kind == b"iprp":
            _properties(block, start, end, meta)
        elif kind in _PARSERS:
            _PARSERS[kind](_Fields(block.read(start, end - start)), meta)


class _Fields:
    """Reads consecutive integers of a full box; IndexError if it ends too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self.version = self.take(1)
        self.flags = self.take(3)

    def take(self, size: int) -> int:
        return int.from_bytes(self.piece(size))

    def piece(self, size: int) -> bytes:
        self._at += size
        if self._at > len(self._data):
            raise IndexError(self._at)
        return self._data[self._at - size : self._at]

    def rest(self) -> bytes:
        return self._data[self._at :]

    def repeated(self, count: int) -> range:
        if count > MOST_PARTS:
            raise ValueError(count)
        return range(count)


def _primary(box: _Fields, meta: _Meta) -> None:
    meta.primary = box.take(4 if box.version else 2)


def _kinds(box: _Fields, meta: _Meta) -> None:
    box.take(4 if box.version else 2)
    for kind, start, end in boxes(entries := in_memory(box.rest())):
        if kind != b"infe":
            continue
        entry = _Fields(entries.read(start, end - start))
        if entry.version >= 2:
            item = entry.take(2 if entry.version == 2 else 4)
            entry.take(2)
            what = entry.piece(4)
            content = entry.rest().split(b"\0")[1:2] if what == b"mime" else []
            meta.kinds[item] = what, content[0] if content else b""


def _places(box: _Fields, meta: _Meta) -> None:
    sizes, more = box.take(1), box.take(1)
    offset, length, base, index = sizes >> 4, sizes & 15, more >> 4, more & 15 if box.version else 0
    wide = 4 if box.version == 2 else 2
    for _ in box.repeated(box.take(wide)):
        item = box.take(wide)
        method = box.take(2) & 15 if box.version else _IN_FILE
        box.take(2)
        start = box.take(base)
        extents: list[Extent] = []
        count = box.take(2)
        if count > 1 and not index + offset + length:
            # Extents that occupy no bytes could be any number.
            raise ValueError(count)
        for _ in box.repeated(count):
            box.take(index)
            extents.append((start + box.take(offset), box.take(length)))
        meta.extents[item] = method, extents


def _references(box: _Fields, meta: _Meta) -> None:
    wide = 4 if box.version else 2
    for kind, start, end in boxes(entries := in_memory(box.rest())):
        if kind == b"cdsc":
            # A plain box: prepend the four bytes that a full box has before its fields.
            entry = _Fields(bytes(4) + entries.read(start, end - start))
            item = entry.take(wide)
            meta.describes[item] = {entry.take(wide) for _ in entry.repeated(entry.take(2))}


def _properties(block: Source, start: int, end: int, meta: _Meta) -> None:
    for kind, at, after in boxes(block, start, end):
        if kind == b"ipco":
            found = boxes(block, at, after)
            # A longer property is a colour profile or a decoder's configuration.
            meta.properties = [(name, block.read(begin, min(stop - begin, 32))) for name, begin, stop in found]
        elif kind == b"ipma":
            meta.of_items |= dict(_associations(_Fields(block.read(at, after - at))))


def _associations(box: _Fields) -> Iterator[tuple[int, list[int]]]:
    wide, each = (4 if box.version else 2), (2 if box.flags & 1 else 1)
    mask = 0x7FFF if each == 2 else 0x7F
    for _ in box.repeated(box.take(4)):
        item = box.take(wide)
        yield item, [box.take(each) & mask for _ in box.repeated(box.take(1))]


_PARSERS: dict[bytes, Callable[[_Fields, _Meta], None]] = {
    b"pitm": _primary,
    b"iinf": _kinds,
    b"iloc": _places,
    b"iref": _references,
}
