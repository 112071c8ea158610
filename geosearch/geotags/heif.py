"""HEIC: a new EXIF block appended behind the picture, and the item's location pointed at it.

Only an EXIF item that is there already can be replaced: a new one would move the picture.
Source: ISO/IEC 14496-12, sections 8.11.3 (iloc) and 8.11.6 (iinf); 23008-12, annex A.2.1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from geosearch.errors import UnreadableImage
from geosearch.geotags.tiff import GpsFacts, replace_gps


def write_heif(data: bytes, facts: GpsFacts) -> bytes:
    """The file with another position in its EXIF item.

    Raises:
        UnreadableImage: damaged, without an EXIF item, or with one stored in an unusual way.
    """
    try:
        place = _exif_place(data)
        raw = data[place.start : place.start + place.length]
        (skipped,) = struct.unpack_from(">L", raw)
        block = replace_gps(raw[4 + skipped :], facts)
        payload = raw[: 4 + skipped] + block
        grown = bytearray(data)
        at = len(grown) + 8
        grown += struct.pack(">L4s", len(payload) + 8, b"mdat") + payload
        place.point(grown, at, len(payload))
    except (struct.error, IndexError) as error:
        raise UnreadableImage("the HEIC image is damaged; nothing was written") from error
    except OverflowError as error:
        raise UnreadableImage("the HEIC image is too large to grow; nothing was written") from error
    return bytes(grown)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the EXIF item lies, and where the numbers that say so are written."""

    start: int
    length: int
    base: int
    offset_at: int
    offset_size: int
    length_at: int
    length_size: int

    def point(self, file: bytearray, start: int, length: int) -> None:
        for at, size, value in (
            (self.offset_at, self.offset_size, start - self.base),
            (self.length_at, self.length_size, length),
        ):
            file[at : at + size] = value.to_bytes(size, "big")


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of the contents of each box."""
    while start + 8 <= end:
        size, name = struct.unpack_from(">L4s", data, start)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        elif size == 0:
            raise UnreadableImage("its last part is open-ended; nothing can be appended to it")
        if size < head or start + size > end:
            raise UnreadableImage("the HEIC image is damaged or cut short; nothing was written")
        yield name, start + head, start + size
        start += size


def _exif_place(data: bytes) -> _Place:
    found = {name: (start, end) for name, start, end in _boxes(data, 0, len(data))}
    if b"meta" not in found:
        raise UnreadableImage("the HEIC image has no directory; nothing was written")
    start, end = found[b"meta"]
    inner = {name: (first, last) for name, first, last in _boxes(data, start + 4, end)}
    item = _exif_item(data, *inner[b"iinf"]) if b"iinf" in inner else None
    if item is None or b"iloc" not in inner:
        raise UnreadableImage(
            "the HEIC image has no EXIF block, and one cannot be added without moving its picture; "
            "export it as JPEG first"
        )
    return _location(data, inner[b"iloc"][0], item)


def _exif_item(data: bytes, start: int, end: int) -> int | None:
    version = data[start]
    start += 6 if version == 0 else 8
    for name, at, _ in _boxes(data, start, end):
        if name != b"infe" or data[at] < 2:
            continue
        wide = data[at] >= 3
        (number,) = struct.unpack_from(">L" if wide else ">H", data, at + 4)
        kind = at + (10 if wide else 8)
        if data[kind : kind + 4] == b"Exif":
            return int(number)
    return None


def _location(data: bytes, at: int, item: int) -> _Place:
    """Walk the table of locations to one item."""
    version = data[at]
    offset_size, length_size = data[at + 4] >> 4, data[at + 4] & 15
    base_size = data[at + 5] >> 4
    index_size = data[at + 5] & 15 if version else 0
    wide = version == 2
    at += 6

    def number(size: int) -> int:
        nonlocal at
        if at + size > len(data):
            raise IndexError("the table of locations is cut short")
        value = int.from_bytes(data[at : at + size], "big")
        at += size
        return value

    for _ in range(number(4 if wide else 2)):
        found = number(4 if wide else 2)
        method = number(2) & 15 if version else 0
        number(2)  # the file that holds it; 0 is this one
        base_at = at
        base = number(base_size)
        extents = number(2)
        if found != item:
            at += extents * (index_size + offset_size + length_size)
            continue
        number(index_size)
        offset_at, offset = at, number(offset_size)
        length_at, length = at, number(length_size)
        if method != 0 or extents != 1 or not length_size or not (offset_size or base_size):
            raise UnreadableImage(
                "its EXIF block is stored in a way that cannot be replaced; export it as JPEG first"
            )
        if not offset_size:
            return _Place(base, length, 0, base_at, base_size, length_at, length_size)
        return _Place(base + offset, length, base, offset_at, offset_size, length_at, length_size)
    raise UnreadableImage(
        "the HEIC image does not say where its EXIF block is; nothing was written"
    )
