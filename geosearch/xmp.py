"""XMP packets: the few properties of a photo that we use, out of untrusted XML.

No tree is built, no DOCTYPE and so no entity is accepted, and nothing is fetched. What the
properties mean is decided in `metadata.py`.
"""

from __future__ import annotations

from xml.etree import ElementTree

from geosearch.errors import InvalidInput

MAX_BYTES = 8 * 1024 * 1024
"""The largest packet that is read; editors that store masks write a few megabytes."""

_NAMESPACES = {
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/xap/1.0/rights/": "xmpRights",
    "http://creativecommons.org/ns#": "cc",
    "http://web.resource.org/cc/": "cc",
    "http://purl.org/dc/elements/1.1/": "dc",
}
_PROPERTIES = {
    "exif:GPSLatitude", "exif:GPSLongitude", "exif:GPSLatitudeRef", "exif:GPSLongitudeRef",
    "exif:DateTimeOriginal", "photoshop:DateCreated", "dc:creator", "dc:description", "dc:rights",
    "cc:license", "xmpRights:UsageTerms",
}  # fmt: skip
_RESOURCE = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}resource"
_MAX_TEXT = 5_000  # characters of one property; a caption is cut far below


def read_packet(packet: bytes) -> dict[str, str]:
    """The properties we use, by prefixed name (`exif:GPSLatitude`); the first value of a list.

    Raises:
        InvalidInput: not an XMP packet, larger than `MAX_BYTES`, or with a DOCTYPE.
    """
    if len(packet) > MAX_BYTES:
        raise InvalidInput(f"XMP of {len(packet):,} bytes; at most {MAX_BYTES:,} are read")
    utf16 = packet.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = packet.decode("utf-16" if utf16 else "utf-8-sig").strip("\x00\r\n\t ")
    except UnicodeDecodeError:
        raise InvalidInput("XMP that is neither UTF-8 nor UTF-16 text") from None
    # Decoded here, so that no encoding declaration can hide the word from this test.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InvalidInput("XMP with a DOCTYPE, which may declare entities")
    collector = _Collector()
    parser = ElementTree.XMLParser(target=collector)
    try:
        parser.feed(text)
        parser.close()
    except (ElementTree.ParseError, ValueError) as error:
        raise InvalidInput(f"XMP that is not well-formed XML ({error})") from error
    return collector.found


class _Collector:
    """Parser target that keeps the first non-blank value of each property, attribute or element."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._property: str | None = None
        self._depth = 0
        self._text = ""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        for name, value in attributes.items():
            self._keep(_prefixed(name), value)
        if self._property is not None:
            self._depth += 1
            self._text = ""  # white space before rdf:Alt or rdf:li
        elif (name := _prefixed(tag)) in _PROPERTIES:
            self._property, self._depth, self._text = name, 0, ""
            self._keep(name, attributes.get(_RESOURCE, ""))

    def data(self, text: str) -> None:
        if self._property is not None and len(self._text) < _MAX_TEXT:
            self._text += text

    def end(self, tag: str) -> None:
        if self._property is None:
            return
        self._keep(self._property, self._text)
        self._text = ""
        if self._depth == 0:
            self._property = None
        self._depth -= 1

    def close(self) -> None:
        """Called by the parser at the end of the document; everything is in `found`."""

    def _keep(self, name: str, value: str) -> None:
        if name in _PROPERTIES and value.strip():
            self.found.setdefault(name, value.strip()[:_MAX_TEXT])


def _prefixed(name: str) -> str:
    space, _, local = name.removeprefix("{").partition("}")
    return f"{_NAMESPACES.get(space, '')}:{local}"
