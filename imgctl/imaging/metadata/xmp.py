"""The two XMP facts imgctl reads, capture time and description, from a packet or a sidecar file."""

from dataclasses import dataclass, field
from xml.parsers import expat

from imgctl.dates import w3c_moment
from imgctl.imaging.metadata.facts import NO_FACTS, Facts, dates_of

LONGEST = 2**20
_UTF16 = b"\xff\xfe"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_DESCRIPTION = "http://purl.org/dc/elements/1.1/ description"
_ITEM, _RESOURCE, _LANGUAGE = f"{_RDF} li", f"{_RDF} Description", "http://www.w3.org/XML/1998/namespace lang"
# By rank: time of the shutter, of the picture's creation, of the file's creation (XMP part 2, tables 8, 9 and 12).
_DATES = (
    "http://ns.adobe.com/exif/1.0/ DateTimeOriginal",
    "http://ns.adobe.com/photoshop/1.0/ DateCreated",
    "http://ns.adobe.com/xap/1.0/ CreateDate",
)


def read_xmp(packet: bytes) -> Facts:
    """Read a packet; one that is damaged, longer than 1 MiB or has a document type gives empty facts."""
    if not packet or len(packet) > LONGEST:
        return NO_FACTS
    reader = _Reader()
    try:
        # The packet's padding may contain NULs, which XML parsers reject; in UTF-16 they are half of a character.
        reader.parse(packet if packet.startswith(_UTF16) else packet.rstrip(b"\0"))
    except (expat.ExpatError, ValueError, LookupError):
        return NO_FACTS
    dates = dates_of(*(w3c_moment(reader.dates.get(name, "")) for name in _DATES))
    return Facts(dates=dates, caption=reader.description())


class _DoctypeRefused(ValueError):
    """The packet has a document type, which may define harmful entities."""


@dataclass(slots=True)
class _Reader:
    """Collects dates by name and descriptions by language while parsing the packet."""

    dates: dict[str, str] = field(default_factory=dict)
    descriptions: dict[str, str] = field(default_factory=dict)
    _within: str | None = None
    _language: str = ""
    _text: str = ""

    def parse(self, packet: bytes) -> None:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._doctype
        parser.Parse(packet, True)  # noqa: FBT003  # positional only

    def description(self) -> str | None:
        """The default language's text, else the first."""
        texts = self.descriptions
        return texts.get("x-default") or next((text for text in texts.values() if text), None)

    def _doctype(self, *_: object) -> None:
        raise _DoctypeRefused("a packet has no document type")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name in _DATES or name == _DESCRIPTION:
            self._within, self._language, self._text = name, "", ""
        elif name == _ITEM and self._within == _DESCRIPTION:
            self._language, self._text = attributes.get(_LANGUAGE, ""), ""
        elif name == _RESOURCE:
            # Plain values may stand as attributes instead (XMP part 1, section 7.9.2.2).
            self.dates |= {one: attributes[one] for one in _DATES if one in attributes}
            if _DESCRIPTION in attributes:
                self.descriptions.setdefault("", attributes[_DESCRIPTION].strip())

    def _end(self, name: str) -> None:
        if name == _ITEM and self._within == _DESCRIPTION:
            self.descriptions.setdefault(self._language.lower(), self._text.strip())
            self._text = ""
        elif name == self._within:
            if name in _DATES:
                self.dates.setdefault(name, self._text)
            elif self._text.strip():
                self.descriptions.setdefault("", self._text.strip())
            self._within = None

    def _characters(self, text: str) -> None:
        if self._within is not None:
            self._text += text
