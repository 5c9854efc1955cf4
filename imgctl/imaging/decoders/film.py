"""A film's poster: its first frame that is not black, decoded by PyAV (extra `video`) from memory, disk or store."""

import io
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from imgctl.errors import ImageRejected
from imgctl.imaging.colour.code_points import CodePoints, means_srgb
from imgctl.imaging.decoders.decode import Decoded, Limits, check_memory, check_pixels
from imgctl.imaging.formats import Format
from imgctl.imaging.metadata.exif import NO_EXIF
from imgctl.imaging.metadata.quicktime import orientation_of
from imgctl.imaging.source import Source
from imgctl.imaging.vips import pyvips

if TYPE_CHECKING:
    from av.sidedata.sidedata import SideDataContainer
    from av.video.frame import VideoFrame

# The only demuxer of each format: a film's content never chooses the demuxer.
_DEMUXER = {
    Format.MP4: "mov",
    Format.M4V: "mov",
    Format.MOV: "mov",
    Format.THREE_GP: "mov",
    Format.AVI: "avi",
    Format.MTS: "mpegts",
    Format.MPEG: "mpeg",
    Format.WEBM: "matroska",
    Format.MKV: "matroska",
}
LOOKED_AT_SECONDS = 10.0
"""How long to search for a frame that is not black, in the film's time and in wall-clock time."""
MOST_FRAMES = 600
MOST_READ = 256 * 2**20
_READ_BYTES = 128 * 2**10
# The frames in a decoder's memory: up to sixteen reference frames (H.264, A.3.1), and two for conversion.
_FRAMES_HELD = 18
_BYTES_A_PIXEL = 3
# As in FFmpeg's blackdetect: a frame is black if 98 % of it is below a tenth of white.
_DARK = bytes(range(26))
_BLACK_SHARE = 0.98
_LOOK_WIDTH, _LOOK_HEIGHT = 64, 48
_UNSPECIFIED, _BT709, _BT601 = 2, 1, 5
# A film without a declared matrix uses BT.709 in high definition, and BT.601 below.
_HIGH_DEFINITION_WIDTH, _STANDARD_HEIGHT = 1280, 576


def with_film(source: Source, kind: Format, *, limits: Limits) -> Decoded:
    """Decode the poster: the first frame that is not black, else the brightest of the searched ones.

    Raises ImageRejected, PyAV's errors, or any error of reading the source.
    """
    import av
    from av.video.stream import VideoStream

    file = _File(source)
    try:
        # Opened by one demuxer, which may not open any file or URL that the film names.
        with av.open(
            file,
            "r",
            format=_DEMUXER[kind],
            options={"protocol_whitelist": "none", "enable_drefs": "0"},
            metadata_errors="replace",
            buffer_size=_READ_BYTES,
            io_open=_open_nothing,
        ) as container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream):
                raise ImageRejected("the film holds no pictures, only sound or nothing", hint="keep it elsewhere")
            width, height = stream.width, stream.height
            check_pixels(width, height, limits.max_pixels)
            check_memory(width * height * _BYTES_A_PIXEL * _FRAMES_HELD, limits.memory_bytes)
            stream.codec_context.thread_count = 1
            stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
            return _decoded(_poster(_frames(container.decode(stream))), stream.sample_aspect_ratio)
    finally:
        # FFmpeg treats some failed reads as the end of the film.
        if file.error is not None:
            raise file.error


def _open_nothing(address: str, *_: object) -> object:
    raise PermissionError(address)


class _File(io.RawIOBase):
    """A source as a file object for FFmpeg, which ends after MOST_READ bytes; `error` is the error that stopped it."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.error: Exception | None = None
        self._source = source
        self._at = 0
        self._left = MOST_READ

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        length = min(self._left, _READ_BYTES if size < 0 else size)
        try:
            piece = self._source.read(self._at, length) if length else b""
        except Exception as error:
            self.error = error
            raise
        self._at += len(piece)
        self._left -= len(piece)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at


def _frames(frames: Iterator["VideoFrame"]) -> Iterator["VideoFrame"]:
    """Yield the frames to search from the start on; damage after the first frame ends them."""
    import av

    ends = time.monotonic() + LOOKED_AT_SECONDS
    first: float | None = None
    count = 0
    try:
        for frame in frames:
            yield frame
            count += 1
            first = frame.time if first is None else first
            shown = (frame.time or 0.0) - (first or 0.0)
            if count >= MOST_FRAMES or shown > LOOKED_AT_SECONDS or time.monotonic() > ends:
                return
    except av.FFmpegError:
        if not count:
            raise


def _poster(frames: Iterator["VideoFrame"]) -> "VideoFrame":
    best: tuple[int, VideoFrame] | None = None
    for frame in frames:
        light = _light(frame)
        if light > (1 - _BLACK_SHARE) * _LOOK_WIDTH * _LOOK_HEIGHT * 3 and not frame.is_corrupt:
            return frame
        if best is None or light > best[0]:
            best = light, frame
    if best is None:
        raise ImageRejected(
            "the film holds no frame that can be decoded: it is cut off or damaged", hint="copy it again"
        )
    return best[1]


def _light(frame: "VideoFrame") -> int:
    """Return how many samples of a small copy are not dark."""
    small = frame.reformat(width=_LOOK_WIDTH, height=_LOOK_HEIGHT, format="rgb24", threads=1)
    return len(bytes(small.planes[0]).translate(None, _DARK))


def _decoded(frame: "VideoFrame", shape: Fraction | None) -> Decoded:
    """Convert the frame to RGB, with 16 bits if it has more than 8; includes its turn and its displayed width."""
    from av.sidedata.sidedata import Type

    deep = any(component.bits > 8 for component in frame.format.components)
    matrix = frame.colorspace
    if matrix == _UNSPECIFIED:
        large = frame.width >= _HIGH_DEFINITION_WIDTH or frame.height > _STANDARD_HEIGHT
        matrix = _BT709 if large else _BT601
    plain = frame.reformat(format="rgb48le" if deep else "rgb24", src_colorspace=matrix, threads=1)
    line = frame.width * (6 if deep else 3)
    plane = plain.planes[0]
    view = memoryview(plane)
    lines = (view[at : at + line] for at in range(0, plane.line_size * frame.height, plane.line_size))
    pixels = b"".join(lines)
    image = pyvips.Image.new_from_memory(pixels, frame.width, frame.height, 3, "ushort" if deep else "uchar")
    points = CodePoints(primaries=frame.color_primaries, transfer=frame.color_trc, full_range=True)
    # PyAV's type stubs declare another type.
    side_data = cast("SideDataContainer", frame.side_data)
    turn = next((bytes(one) for one in side_data if one.type is Type.DISPLAYMATRIX), b"")
    return Decoded(
        image=image.copy(interpretation="rgb16" if deep else "srgb"),
        orientation=orientation_of(turn, native=True),
        width=max(1, round(frame.width * shape)) if shape else frame.width,
        height=frame.height,
        exif=NO_EXIF,
        points=None if means_srgb(points) else points,
    )
