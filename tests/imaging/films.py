"""Films of a few frames, written by PyAV, with boxes that the tests edit."""

import io
import struct
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import av

from imgctl.imaging.formats import Format

WIDTH, HEIGHT = 64, 48
LEFT_TOP, RIGHT_TOP, BOTTOM = (200, 40, 40), (40, 160, 40), (40, 40, 200)


@dataclass(frozen=True, slots=True)
class Kept:
    """The format of a film: PyAV's names of container and encoder, and the encoder's pixel format."""

    container: str
    encoder: str
    layout: str = "yuv420p"


KEPT = {
    Format.MP4: Kept("mp4", "libx264"),
    Format.MOV: Kept("mov", "libx264"),
    Format.M4V: Kept("mp4", "mpeg4"),
    Format.THREE_GP: Kept("3gp", "mpeg4"),
    Format.AVI: Kept("avi", "mjpeg", "yuvj420p"),
    Format.MTS: Kept("mpegts", "libx264"),
    Format.MPEG: Kept("mpeg", "mpeg2video"),
    Format.WEBM: Kept("webm", "libvpx"),
    Format.MKV: Kept("matroska", "libx264"),
}


@lru_cache(maxsize=64)
def film(kept: Kept, *, frames: int = 10, black: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    """A film of a picture with three colours, the first `black` frames black."""
    out = io.BytesIO()
    with av.open(out, "w", format=kept.container) as container:
        stream = container.add_stream(kept.encoder, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = kept.layout
        stream.bit_rate = 20_000_000
        stream.codec_context.thread_count = 1
        for number in range(frames):
            frame = _frame(size, dark=number < black).reformat(format=kept.layout)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def of_format(known: Format, *, black: int = 0) -> bytes:
    """A film of this format."""
    data = film(KEPT[known], black=black)
    return data.replace(b"ftypisom", b"ftypM4V ", 1) if known is Format.M4V else data


def _frame(size: tuple[int, int], *, dark: bool) -> av.VideoFrame:
    width, height = size
    top = bytes(LEFT_TOP) * (width // 2) + bytes(RIGHT_TOP) * (width - width // 2)
    rows = [bytes(3 * width) if dark else top if row < height // 2 else bytes(BOTTOM) * width for row in range(height)]
    frame = av.VideoFrame(width, height, "rgb24")
    line = frame.planes[0].line_size
    frame.planes[0].update(b"".join(row.ljust(line, b"\0") for row in rows))
    return frame


def box(name: bytes, *content: bytes) -> bytes:
    """A box of an ISO file."""
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), name) + body


def turned(data: bytes, a: int, b: int, c: int, d: int) -> bytes:
    """The film with another display matrix, given by its four rotation values."""
    at = data.index(b"tkhd") + 4 + 40
    matrix = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    return data[:at] + matrix + data[at + 36 :]


def made_at(data: bytes, seconds: int) -> bytes:
    """The film with another time of creation, in seconds since 1904."""
    at = data.index(b"mvhd") + 4
    return data[: at + 4] + struct.pack(">I", seconds) + data[at + 8 :]


def with_keys(data: bytes, **values: str) -> bytes:
    """The film with Apple's metadata, named without their common beginning, `_` for `.`."""
    names = [f"com.apple.quicktime.{name.replace('_', '.')}".encode() for name in values]
    handler = box(b"hdlr", bytes(8), b"mdta", bytes(13))
    keys = box(b"keys", struct.pack(">II", 0, len(names)), *(box(b"mdta", name) for name in names))
    texts = (box(b"data", struct.pack(">II", 1, 0), text.encode()) for text in values.values())
    items = box(b"ilst", *(box(struct.pack(">I", number), text) for number, text in enumerate(texts, 1)))
    return in_moov(data, box(b"meta", handler, keys, items))


def in_moov(data: bytes, more: bytes) -> bytes:
    """The film with one more box at the end of its `moov`, which is the last of the file."""
    at = data.rindex(b"moov") - 4
    size = int.from_bytes(data[at : at + 4])
    assert at + size == len(data)
    return data[:at] + struct.pack(">I", size + len(more)) + data[at + 4 :] + more


def apple_exif(identifier: str, *, taken: bytes = b"2021:05:01 10:00:00", offset: bytes = b"+02:00") -> bytes:
    """The EXIF of an iPhone's picture: a date, and a maker's note with the identifier of its Live Photo."""
    value = identifier.encode() + b"\0"
    note = b"Apple iOS\0\0\x01MM" + struct.pack(">HHHII", 1, 0x0011, 2, len(value), 14 + 2 + 12 + 4) + bytes(4) + value
    values = ((0x9003, 2, taken + b"\0"), (0x9011, 2, offset + b"\0"), (0x927C, 7, note))
    at = 8 + 2 + 12 + 4
    place = at + 2 + 12 * len(values) + 4
    entries, held = b"", b""
    for tag, kind, one in values:
        entries += struct.pack(">HHII", tag, kind, len(one), place + len(held))
        held += one
    first = struct.pack(">HHHII", 1, 0x8769, 4, 1, at) + bytes(4)
    return b"Exif\0\0MM\0*\0\0\0\x08" + first + struct.pack(">H", len(values)) + entries + bytes(4) + held
