"""XMP packets, IPTC blocks and JPEGs with them, written byte by byte."""

import struct

PAD = b"\n" + b" " * 40


def xmp_packet(body: str, attributes: str = "") -> bytes:
    """An XMP packet as Adobe's tools write it, its properties in `body` or as `attributes`."""
    text = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" {attributes}>{body}
</rdf:Description></rdf:RDF></x:xmpmeta>"""
    return text.encode() + PAD + b'<?xpacket end="w"?>'


def described(text: str) -> str:
    """The property that holds a description."""
    return f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt></dc:description>'


def dataset(record: int, number: int, value: bytes) -> bytes:
    """One IPTC data set."""
    return struct.pack(">BBBH", 0x1C, record, number, len(value)) + value


def resource(number: int, data: bytes, name: bytes = b"") -> bytes:
    """One of Photoshop's image resources, padded to even lengths."""
    title = bytes([len(name)]) + name
    title += b"\0" * (len(title) % 2)
    return b"8BIM" + struct.pack(">H", number) + title + struct.pack(">I", len(data)) + data + b"\0" * (len(data) % 2)


def exif_block(description: bytes) -> bytes:
    """An EXIF payload with only an ImageDescription."""
    value = description + b"\0"
    entry = struct.pack("<HHI", 0x010E, 2, len(value))
    place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", 26)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + place + bytes(4) + value


def jpeg(*, xmp: bytes = b"", iptc: bytes = b"", description: bytes = b"") -> bytes:
    """The header of a JPEG with these segments, up to its frame."""
    segments = [(0xE0, b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0")]
    if description:
        segments.append((0xE1, b"Exif\0\0" + exif_block(description)))
    if xmp:
        segments.append((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp))
    if iptc:
        segments.append((0xED, b"Photoshop 3.0\0" + resource(0x0425, b"odd") + resource(0x0404, iptc, b"name")))
    segments.append((0xC0, b"\x08\0\x10\0\x20\x01\x01\x11\0"))
    body = b"".join(b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data for marker, data in segments)
    return b"\xff\xd8" + body + b"\xff\xd9"
