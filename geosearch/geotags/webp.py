"""WebP: the EXIF chunk replaced or added; a simple file gets the extended header it needs.

Source: RFC 9649, section 2.7.
"""

from __future__ import annotations

import struct

from geosearch.errors import UnreadableImage
from geosearch.geotags.tiff import GpsFacts, new_block, replace_gps

_HAS_EXIF, _HAS_ALPHA = 0x08, 0x10


def write_webp(data: bytes, facts: GpsFacts, *, size: tuple[int, int]) -> bytes:
    """The file with another position in its EXIF chunk.

    Args:
        data: the whole file.
        facts: what to write.
        size: width and height in pixels, for the extended header.

    Raises:
        UnreadableImage: a damaged file.
    """
    chunks = _chunks(data)
    old = next((body for name, body in chunks if name == b"EXIF"), None)
    prefix = b"Exif\x00\x00" if old is not None and old.startswith(b"Exif\x00\x00") else b""
    block = new_block(facts) if old is None else replace_gps(old[len(prefix) :], facts)
    head, rest = chunks[0], [chunk for chunk in chunks if chunk[0] != b"EXIF"]
    if head[0] == b"VP8X":
        flags = bytes((head[1][0] | _HAS_EXIF,))
        rest[0] = (b"VP8X", flags + head[1][1:])
    else:
        rest.insert(0, (b"VP8X", _extended_header(head, size)))
    # XMP is the last chunk that the format allows.
    at = next((i for i, (name, _) in enumerate(rest) if name == b"XMP "), len(rest))
    rest.insert(at, (b"EXIF", prefix + block))
    body = b"WEBP" + b"".join(
        name + struct.pack("<L", len(payload)) + payload + bytes(len(payload) % 2)
        for name, payload in rest
    )
    return b"RIFF" + struct.pack("<L", len(body)) + body


def _extended_header(head: tuple[bytes, bytes], size: tuple[int, int]) -> bytes:
    name, payload = head
    alpha = name == b"VP8L" and len(payload) > 4 and bool(payload[4] & 0x10)
    flags = _HAS_EXIF | (_HAS_ALPHA if alpha else 0)
    width, height = ((edge - 1).to_bytes(3, "little") for edge in size)
    return bytes((flags, 0, 0, 0)) + width + height


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    (length,) = struct.unpack_from("<L", data, 4)
    chunks = []
    position, end = 12, min(len(data), 8 + length)
    while position + 8 <= end:
        name, size = struct.unpack_from("<4sL", data, position)
        if position + 8 + size > len(data):
            raise UnreadableImage("the WebP image is cut short; nothing was written")
        chunks.append((name, data[position + 8 : position + 8 + size]))
        position += 8 + size + size % 2
    if not chunks:
        raise UnreadableImage("the WebP image has no picture; nothing was written")
    return chunks
