"""The largest variant's pixels: the first decode that succeeds, shrunk, coloured, turned and held in memory."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from imgctl.errors import ImageRejected, ImgctlError, out_of_files
from imgctl.imaging.colour.srgb import ProfileUnusable, has_alpha, in_range, on_background, to_srgb, without_profile
from imgctl.imaging.decoders.bands import WHOLE
from imgctl.imaging.decoders.choose import decodes
from imgctl.imaging.decoders.decode import Decoded, Limits, MemoryNeeded
from imgctl.imaging.decoders.film import with_film
from imgctl.imaging.encode import Raster, computed
from imgctl.imaging.formats import Format
from imgctl.imaging.metadata.exif import Exif
from imgctl.imaging.source import Data, Source
from imgctl.imaging.vips import pyvips
from imgctl.model import Recipe, fit

HINT = "the original is safe in the store; look at it, and upload a whole copy if there is one"
"""The next step for a picture that cannot be rendered."""

PROFILE_LEFT_OUT = "its colour profile is damaged or not made for it, and is left out"

_LOOK_EDGE_PX = 256
# In 8-bit steps: encoders and profiles remove smaller differences.
_VISIBLE_STEPS = 4
# As libjpeg, libpng, OpenJPEG, LibRaw, FFmpeg and Python say it. Not libheif's "memory allocation error", which it also
# reports for the absurd sizes of a damaged file.
_NO_MEMORY = (
    r"out of memory|(?:in|un)sufficient memory|not enough memory|memory ?error"
    r"|(?:cannot|could not|unable to|failed to) allocate"
)
_SAYINGS = tuple(
    (re.compile(pattern, re.IGNORECASE), text)
    for pattern, text in (
        # Before the others: a file for which memory was not enough is not damaged.
        (_NO_MEMORY, "the file needs more memory than [work] memory allows"),
        (
            r"premature end|truncated|unexpected end|not enough|end of file|read error|too short|unexpected eof",
            "the file is cut off or damaged: its data ends too early",
        ),
        (
            r"corrupt|broken|bad (?:code|marker|huffman)|\bcrc\b|checksum|inconsistent|invalid",
            "the file is damaged: its data does not add up",
        ),
        (r"no frames|no image", "the file holds no picture"),
        (
            r"cannot identify|not a |create decoder|no loader|bad header",
            "the file is damaged at its very beginning: only its signature is readable",
        ),
        (
            r"unsupported|not supported|not implemented|no decode|unknown",
            "the file uses a feature that no decoder here supports",
        ),
    )
)
# libjpeg warns of these, but every pixel is correct.
_HARMLESS = re.compile(
    r"extraneous bytes before marker 0xd9|unknown jfif|invalid sos parameters|unknown adobe", re.IGNORECASE
)
_PYTHON_OBJECT = re.compile(r" ?<[^<>]* object at 0x[^<>]*>")
_MAX_QUOTE = 160
# Less CPU than lanczos3 for an RMS difference of 0.8 of 255 (measured on an 8-megapixel photo).
_KERNEL = "cubic"
_TURNS: dict[int, Callable[[pyvips.Image], pyvips.Image]] = {
    2: lambda image: image.fliphor(),
    3: lambda image: image.rot180(),
    4: lambda image: image.flipver(),
    5: lambda image: image.rot90().fliphor(),
    6: lambda image: image.rot90(),
    7: lambda image: image.rot270().fliphor(),
    8: lambda image: image.rot270(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Master:
    """The largest variant's pixels in memory, upright sRGB, and the original's properties as seen.

    `shape` is the size that variants are fitted to: the original's, or that of the smaller preview they are built from.
    """

    raster: Raster
    width: int
    height: int
    shape: tuple[int, int]
    exif: Exif
    see_through: bool = False
    damage: str | None = None


def master_of(data: Data, kind: Format, recipe: Recipe, limits: Limits) -> Master:
    """The first decode that succeeds, strict ones before lenient ones.

    ImageRejected when all fail, MemoryError when the reason may be too little memory; ImportError if a decoder cannot be
    loaded, OSError if no file can be opened.
    """
    edge = max(spec.max_edge_px for spec in recipe.variants)
    complaints: list[Exception] = []
    first: Callable[[], Decoded] | None = None
    for lenient, decode in decodes(data, kind, edge, limits):
        first = decode if first is None else first
        try:
            master = _finished(decode(), recipe.background, edge)
        except MemoryNeeded as error:
            complaints.append(error)
            continue
        except ImageRejected:
            raise
        except Exception as error:  # Pillow's plugins raise any exception; libvips raises pyvips.Error.
            complaints.append(error)
            continue
        if lenient and is_flat(master.raster) and not is_harmless(complaints[0]):
            continue
        if is_flat(master.raster) and _is_hidden(data, kind, master.raster, limits):
            raise _hidden(master, recipe.background)
        if not lenient or is_harmless(complaints[0]):
            return master
        if for_want_of_memory(complaints[0]):
            # The previous picture's memory is free by now: only an error that occurs again is the file's.
            with suppress(Exception):
                return _finished(first(), recipe.background, edge)
        damage = explain(*complaints, otherwise="a part of the file cannot be decoded")
        return replace(master, damage="; ".join(filter(None, (damage, master.damage))))
    if isinstance(complaints[0], MemoryNeeded):
        # Errors of the other decoders may be due to memory too.
        raise complaints[0]
    _raise_local(complaints)
    raise _undecodable(complaints) from complaints[0]


def _undecodable(complaints: list[Exception]) -> Exception:
    reason = explain(*complaints, otherwise="no decoder here can read it")
    if for_want_of_memory(complaints[0]):
        # The file may be intact: earlier pictures may have left too little memory.
        return MemoryError(reason)
    return ImageRejected(f"the picture cannot be decoded: {reason}", hint=HINT)


def master_of_film(source: Source, kind: Format, recipe: Recipe, limits: Limits) -> Master:
    """Decode a film's poster; ImageRejected if none can be decoded, or any error of reading the source."""
    edge = max(spec.max_edge_px for spec in recipe.variants)
    try:
        return _finished(with_film(source, kind, limits=limits), recipe.background, edge)
    except (ImgctlError, MemoryError, ImportError):
        raise
    except Exception as error:  # PyAV raises Python's own errors too.
        if out_of_files(error):
            raise
        reason = explain(error, otherwise="no decoder here can read it")
        raise ImageRejected(f"the film cannot be decoded: {reason}", hint=HINT) from error


def _is_hidden(data: Data, kind: Format, raster: Raster, limits: Limits) -> bool:
    """Whether the original is not flat when decoded again, small, by each decoder."""
    # So small that any difference must also show in the rendered picture.
    edge = min(_LOOK_EDGE_PX, max(1, max(raster.width, raster.height) // 2))
    return any(_varies(decode, edge) for _, decode in decodes(data, kind, edge, limits))


def _hidden(master: Master, background: str) -> ImageRejected:
    if master.see_through:
        return ImageRejected(
            f"its variants would be one flat colour: its transparency hides it on the background {background}",
            hint="set another [variants] background, or upload it without transparency",
        )
    return ImageRejected("its variants would be one flat colour, and the picture is not", hint=HINT)


def _finished(decoded: Decoded, background: str, edge: int) -> Master:
    """Run the decode; without the colour profile if that is unusable."""
    try:
        return _computed(decoded, background, edge)
    except ProfileUnusable:
        plain = replace(decoded, image=without_profile(decoded.image))
        damage = "; ".join(filter(None, (PROFILE_LEFT_OUT, decoded.damage)))
        return replace(_computed(plain, background, edge), damage=damage)


def _computed(decoded: Decoded, background: str, edge: int) -> Master:
    """Shrink, colour, turn, and hold the result in memory."""
    image, points = decoded.image, decoded.points
    # Transparency first: shrinking before flattening would bleed the colour of invisible pixels.
    see_through = has_alpha(image)
    if see_through:
        image, points = on_background(image, background, points), None
    swapped = decoded.orientation >= 5
    shape = (decoded.height, decoded.width) if swapped else (decoded.width, decoded.height)
    seen = decoded.seen or shape
    if max(shape) >= min(edge, max(seen)):
        shape = seen
    fitted = fit(*shape, edge)
    width, height = fitted[::-1] if swapped else fitted
    raster = computed(to_srgb(resized(image, width, height), points))
    turn = _TURNS.get(decoded.orientation)
    return Master(
        raster=computed(turn(raster.image)) if turn else raster,
        width=seen[0],
        height=seen[1],
        shape=shape,
        exif=decoded.exif,
        see_through=see_through,
        damage=decoded.damage,
    )


def resized(image: pyvips.Image, width: int, height: int) -> pyvips.Image:
    if (image.width, image.height) == (width, height):
        return image
    return image.resize(width / image.width, vscale=height / image.height, kernel=_KERNEL)


def is_flat(raster: Raster) -> bool:
    """Whether every pixel has the colour of the first one; stops at the first that differs."""
    pixels = memoryview(raster.data)
    return pixels[3:] == pixels[:-3]


def _varies(decode: Callable[[], Decoded], edge: int) -> bool:
    """Whether colour or transparency varies by more than encoders and profiles remove; False if decoding fails."""
    try:
        image = decode().image
        image = in_range(image.resize(min(1.0, edge / max(image.width, image.height)), kernel="linear"))
        visible = WHOLE.get(image.format, 1.0) * _VISIBLE_STEPS / 255
        # The first row is for all bands, then one per band: the first two columns are the minimum and the maximum.
        stats = image.stats()
        return any(stats(1, row)[0] - stats(0, row)[0] > visible for row in range(1, stats.height))
    except (pyvips.Error, ImgctlError, MemoryError, OSError, ValueError, SyntaxError):
        return False


def explain(*errors: BaseException, otherwise: str) -> str:
    """Return one plain sentence (`otherwise` if no error is recognised), followed by the decoder's message."""
    lines = [line for error in errors for line in own_lines(error)]
    for pattern, plain in _SAYINGS:
        message = next((line for line in lines if pattern.search(line)), None)
        if message is not None:
            return f"{plain} (decoder: {message})"
    return f"{otherwise} (decoder: {lines[-1]})"


def own_lines(error: BaseException) -> list[str]:
    """Return the lines of a decoder's message; for an error without a message its name."""
    lines = [_PYTHON_OBJECT.sub("", line).strip()[:_MAX_QUOTE] for line in str(error).splitlines() if line.strip()]
    return lines or [type(error).__name__]


def _raise_local(complaints: list[Exception]) -> None:
    """Raise an error that is this machine's: a decoder cannot be imported, or no file can be opened."""
    for error in complaints:
        if isinstance(error, ImportError) or out_of_files(error):
            raise error


def for_want_of_memory(error: BaseException) -> bool:
    """Whether a decoder failed because the process was out of memory, which is not the file's fault."""
    return any(re.search(_NO_MEMORY, line, re.IGNORECASE) for line in own_lines(error))


def is_harmless(error: BaseException) -> bool:
    """Whether all pixels are correct despite a warning; libvips names its own step in the first line."""
    lines = own_lines(error)[1:]
    return bool(lines) and all(_HARMLESS.search(line) for line in lines)
