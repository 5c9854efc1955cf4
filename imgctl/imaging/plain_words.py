"""What a decoder complains about, in words that a support person can pass on."""

import re

_SAYINGS = tuple(
    (re.compile(pattern, re.IGNORECASE), text)
    for pattern, text in (
        (
            r"premature end|truncated|unexpected end|not enough|end of file|read error|too short|unexpected eof",
            "the file is cut off or damaged: its data ends too early",
        ),
        (
            r"corrupt|broken|bad (?:code|marker|huffman)|\bcrc\b|checksum|inconsistent|invalid",
            "the file is damaged: its data does not add up",
        ),
        (r"out of memory|cannot allocate|memoryerror", "the file needs more memory than [work] memory allows"),
        (r"no frames|no image", "the file holds no picture"),
        (
            r"cannot identify|not a |create decoder|no loader|bad header",
            "the file is damaged at its very beginning: only its signature is readable",
        ),
        (
            r"unsupported|not supported|not implemented|no decode|unknown",
            "the file uses a feature that no decoder here knows",
        ),
    )
)
# libjpeg warns of these, and yet every pixel is right.
_HARMLESS = re.compile(
    r"extraneous bytes before marker 0xd9|unknown jfif|invalid sos parameters|unknown adobe", re.IGNORECASE
)
_PYTHON_OBJECT = re.compile(r" ?<[^<>]* object at 0x[^<>]*>")
_MAX_QUOTE = 160


def explain(*errors: BaseException, otherwise: str) -> str:
    """One plain sentence (`otherwise` when no error is understood), and the decoder's own words behind it."""
    lines = [line for error in errors for line in own_lines(error)]
    for pattern, plain in _SAYINGS:
        said = next((line for line in lines if pattern.search(line)), None)
        if said is not None:
            return f"{plain} (decoder: {said})"
    return f"{otherwise} (decoder: {lines[-1]})"


def own_lines(error: BaseException) -> list[str]:
    """What a decoder said, line by line; an error without words gives its name."""
    lines = [_PYTHON_OBJECT.sub("", line).strip()[:_MAX_QUOTE] for line in str(error).splitlines() if line.strip()]
    return lines or [type(error).__name__]


def is_harmless(error: BaseException) -> bool:
    """Whether a complaint leaves every pixel as it should be; libvips names its own step in the first line."""
    lines = own_lines(error)[1:]
    return bool(lines) and all(_HARMLESS.search(line) for line in lines)
