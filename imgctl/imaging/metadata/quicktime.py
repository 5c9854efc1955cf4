"""QuickTime, MP4, M4V and 3GP by their `moov` box: size as shown, when and by which Live Photo it was taken, texts."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from imgctl.dates import w3c_moment
from imgctl.imaging.metadata.heif import XMP_UUID, boxes
from imgctl.imaging.source import Contents, Source

# ISO/IEC 14496-12, 8.2.2 and 8.3.2: seconds since 1904, UTC; a device without a clock writes zero.
_EPOCH = datetime(1904, 1, 1, tzinfo=UTC)
# QuickTime File Format, "Metadata": keys of Apple's own, and the user data of older cameras.
_KEY = "com.apple.quicktime."
_DATES = (f"{_KEY}creationdate", "\xa9day")
_CAPTIONS = (f"{_KEY}description", f"{_KEY}title", f"{_KEY}comment", "\xa9des", "desc", "\xa9nam", "\xa9cmt")
_CONTENT_IDENTIFIER = f"{_KEY}content.identifier"
_LONGEST_TEXT = 2**16
_MATRIX_BYTES = 36


@dataclass(frozen=True, slots=True)
class _Track:
    size: tuple[int, int]
    orientation: int


def read_quicktime(source: Source) -> Contents:
    """Walk the boxes, wherever the `moov` lies; damaged boxes count as missing."""
    track: _Track | None = None
    texts: dict[str, str] = {}
    created_at: datetime | None = None
    xmp = b""
    for kind, start, end in boxes(source):
        if kind == b"uuid" and not xmp and source.read(start, 16) == XMP_UUID:
            xmp = source.block(start + 16, end)
        if kind != b"moov":
            continue
        for name, at, after in boxes(source, start, end):
            if name == b"mvhd":
                created_at = created_at or _created_at(source.read(at, 12))
            elif name == b"trak" and track is None:
                track = _track(source, at, after)
            elif name == b"meta":
                texts |= _metadata(source, at, after)
            elif name == b"udta":
                _add(texts, _user_data(source, at, after))
                packet = next((one for one in boxes(source, at, after) if one[0] == b"XMP_"), None)
                xmp = xmp or (source.block(*packet[1:]) if packet else b"")
    caption = next(filter(None, map(texts.get, _CAPTIONS)), "")
    return Contents(
        size=_seen(track) if track else None,
        turned=True,
        xmp=xmp,
        texts={"Description": caption} if caption else {},
        taken_at=next(filter(None, (w3c_moment(texts.get(name, "")) for name in _DATES)), None),
        created_at=created_at,
        content_identifier=texts.get(_CONTENT_IDENTIFIER, ""),
    )


def orientation_of(matrix: bytes, *, native: bool = False) -> int:
    """Return the EXIF orientation (1-8) of a display matrix: its first four numbers are the directions of the axes.

    `matrix` is 36 bytes, big-endian (ISO/IEC 14496-12, 6.2.2), or in this machine's byte order (`native`). One that is
    not a quarter turn gives 1.
    """
    form = "=9i" if native else ">9i"
    a, b, _, c, d = struct.unpack(form, matrix)[:5] if len(matrix) == _MATRIX_BYTES else (1, 0, 0, 0, 1)
    return _TURNS.get(tuple((number > 0) - (number < 0) for number in (a, b, c, d)), 1)


_TURNS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}


def _created_at(head: bytes) -> datetime | None:
    long = head[:1] == b"\1"
    seconds = int.from_bytes(head[4 : 12 if long else 8])
    try:
        return _EPOCH + timedelta(seconds=seconds) if seconds else None
    except OverflowError:
        return None


def _track(source: Source, start: int, end: int) -> _Track | None:
    """Return the track, if it holds visible pictures."""
    found = {kind: (at, after) for kind, at, after in boxes(source, start, end)}
    header = source.read(found[b"tkhd"][0], 96) if b"tkhd" in found else b""
    media = {kind: at for kind, at, _ in boxes(source, *found[b"mdia"])} if b"mdia" in found else {}
    if b"hdlr" not in media or source.read(media[b"hdlr"] + 8, 4) != b"vide":
        return None
    at = 52 if header[:1] == b"\1" else 40
    matrix, edges = header[at : at + _MATRIX_BYTES], header[at + _MATRIX_BYTES : at + _MATRIX_BYTES + 8]
    # 16.16 fixed point, the size as shown: anamorphic streams are stretched here.
    width, height = (round(int.from_bytes(edges[at : at + 4]) / 65536) for at in (0, 4))
    return _Track((width, height), orientation_of(matrix)) if width and height else None


def _seen(track: _Track) -> tuple[int, int]:
    width, height = track.size
    return (height, width) if track.orientation >= 5 else (width, height)


def _metadata(source: Source, start: int, end: int) -> Mapping[str, str]:
    """Texts by key: QuickTime's `keys` with an `ilst` of their numbers, or iTunes' `ilst` of names."""
    # In MPEG-4 it is a full box, with a version before its content.
    start += 0 if source.read(start + 4, 4) == b"hdlr" else 4
    names: list[str] = []
    texts: dict[str, str] = {}
    for kind, at, after in boxes(source, start, end):
        if kind == b"keys":
            names = list(_keys(source, at + 8, after))
        elif kind == b"ilst":
            for item, begin, stop in boxes(source, at, after):
                number = int.from_bytes(item)
                name = names[number - 1] if 0 < number <= len(names) else item.decode("latin-1")
                value = next((one for one in boxes(source, begin, stop) if one[0] == b"data"), None)
                if value is not None and name not in texts:
                    texts[name] = _text(source, value[1] + 8, value[2])
    return texts


def _keys(source: Source, start: int, end: int) -> Iterator[str]:
    for _, at, after in boxes(source, start, end):
        yield _text(source, at, after)


def _user_data(source: Source, start: int, end: int) -> Mapping[str, str]:
    """Texts of `udta`: its own, each behind its length and language, and an iTunes list within it."""
    texts: dict[str, str] = {}
    for kind, at, after in boxes(source, start, end):
        if kind == b"meta":
            _add(texts, _metadata(source, at, after))
        elif kind[:1] == b"\xa9":
            length = int.from_bytes(source.read(at, 2))
            texts.setdefault(kind.decode("latin-1"), _text(source, at + 4, min(at + 4 + length, after)))
    return texts


def _add(texts: dict[str, str], more: Mapping[str, str]) -> None:
    """Add the texts of other names; a copy for each box would take quadratic time."""
    for name, text in more.items():
        texts.setdefault(name, text)


def _text(source: Source, start: int, end: int) -> str:
    if end - start > _LONGEST_TEXT:
        return ""
    return source.read(start, end - start).decode("utf-8", "replace").strip("\0 \n")
