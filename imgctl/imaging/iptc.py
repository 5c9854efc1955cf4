"""The caption in a JPEG's Photoshop segments: IPTC IIM data set 2:120."""

_RESOURCE, _IPTC = b"8BIM", 0x0404
_MARK, _CAPTION, _CHARSET = 0x1C, (2, 120), (1, 90)
_UTF8 = b"\x1b%G"


def caption_of(resources: bytes) -> str | None:
    """The caption among Photoshop's image resources (without the segment's signature); damage reads as absence.

    Text is UTF-8 where the block says so or it reads as such, else Windows' Latin letters.
    """
    block = _block(resources)
    return _caption(block) if block else None


def _block(resources: bytes) -> bytes:
    """The IPTC block: after `8BIM` a number, a name padded to an even length, a size, and the data, padded too."""
    at = 0
    while resources[at : at + 4] == _RESOURCE and at + 12 <= len(resources):
        number = int.from_bytes(resources[at + 4 : at + 6])
        start = at + 6 + (resources[at + 6] + 2) // 2 * 2
        size = int.from_bytes(resources[start : start + 4])
        if number == _IPTC:
            return resources[start + 4 : start + 4 + size]
        at = start + 4 + (size + 1) // 2 * 2
    return b""


def _caption(block: bytes) -> str | None:
    """The first caption in a run of data sets: a mark, record, number, two bytes of length, then the value."""
    at, charset = 0, b""
    while at + 5 <= len(block) and block[at] == _MARK:
        name, size = (block[at + 1], block[at + 2]), int.from_bytes(block[at + 3 : at + 5])
        if size > 0x7FFF:
            # An extended length, which no caption needs.
            return None
        value = block[at + 5 : at + 5 + size]
        if name == _CHARSET:
            charset = value
        elif name == _CAPTION:
            return decoded(value, utf8=charset == _UTF8).strip() or None
        at += 5 + size
    return None


def decoded(value: bytes, *, utf8: bool = False) -> str:
    """Bytes of a metadata field as text: UTF-8 if they read as such, else Windows' Latin letters."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode(errors="replace") if utf8 else value.decode("cp1252", errors="replace")
