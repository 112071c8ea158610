"""PNG: the eXIf chunk replaced or added behind the header; all other chunks are copied."""

from __future__ import annotations

import struct
import zlib

from geosearch.errors import UnreadableImage
from geosearch.geotags.tiff import GpsFacts, new_block, replace_gps

_SIGNATURE_BYTES = 8


def write_png(data: bytes, facts: GpsFacts) -> bytes:
    """The file with another position in its eXIf chunk.

    Raises:
        UnreadableImage: a damaged file.
    """
    chunks: list[tuple[bytes, bytes]] = []
    position = _SIGNATURE_BYTES
    tail = b""
    while position < len(data):
        if position + 12 > len(data):
            raise UnreadableImage("the PNG image is cut short; nothing was written")
        length, name = struct.unpack_from(">L4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise UnreadableImage("the PNG image is cut short; nothing was written")
        chunks.append((name, data[position:end]))
        position = end
        if name == b"IEND":
            tail = data[position:]
            break
    if not chunks or chunks[0][0] != b"IHDR":
        raise UnreadableImage("the PNG image has no header; nothing was written")
    old = next((raw[8:-4] for name, raw in chunks if name == b"eXIf"), None)
    block = new_block(facts) if old is None else replace_gps(old, facts)
    body = b"eXIf" + block
    chunk = struct.pack(">L", len(block)) + body + struct.pack(">L", zlib.crc32(body))
    rest = [raw for name, raw in chunks[1:] if name != b"eXIf"]
    return b"".join([data[:_SIGNATURE_BYTES], chunks[0][1], chunk, *rest, tail])
