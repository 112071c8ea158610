"""JPEG: one APP1 segment changed or added; the compressed picture is copied as it is."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from geosearch.errors import UnreadableImage
from geosearch.geotags.tiff import GpsFacts, new_block, replace_gps

_EXIF = b"Exif\x00\x00"
_APP0, _APP1, _SOS = 0xE0, 0xE1, 0xDA
_LARGEST = 0xFFFF - 2


def write_jpeg(data: bytes, facts: GpsFacts) -> bytes:
    """The file with another position in its EXIF segment.

    Raises:
        UnreadableImage: damaged, EXIF in several segments, or no room in the segment of 64 kB.
    """
    segments = list(_segments(data))
    found = [(a, b) for marker, a, b in segments if marker == _APP1 and _is_exif(data, a)]
    if len(found) > 1:
        raise UnreadableImage(
            "its EXIF block is split over several segments; rewrite it with exiftool first"
        )
    if found:
        start, end = found[0]
        if any(a < start and data.startswith(b"MPF\x00", a + 4) for _, a, _ in segments):
            raise UnreadableImage(
                "its index of further pictures (MPF) comes before EXIF, and its offsets would no "
                "longer be right; nothing was written"
            )
        block = replace_gps(data[start + 4 + len(_EXIF) : end], facts)
    else:
        start = end = 2
        if segments and segments[0][0] == _APP0:
            start = end = segments[0][2]
        block = new_block(facts)
    body = _EXIF + block
    if len(body) > _LARGEST:
        raise UnreadableImage(
            f"its EXIF block would have {len(body):,} bytes, more than the {_LARGEST:,} of a JPEG "
            "segment; remove its thumbnail first"
        )
    segment = struct.pack(">BBH", 0xFF, _APP1, len(body) + 2) + body
    return data[:start] + segment + data[end:]


def _is_exif(data: bytes, start: int) -> bool:
    return data.startswith(_EXIF, start + 4)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment before the picture."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == _SOS:
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            position += 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        end = position + 2 + length
        if length < 2 or end > len(data):
            break
        yield marker, position, end
        position = end
    raise UnreadableImage("the JPEG image is damaged before its picture; nothing was written")
