"""The GPS directory of a TIFF structure replaced by appending: nothing that was there moves.

Maker notes hold offsets that no one else understands, and a TIFF file is its own EXIF block; both
survive only if every byte keeps its place. What changes is one pointer.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from geosearch.errors import UnreadableImage
from geosearch.geo import Coordinate

GPS_POINTER = 0x8825
_BYTE, _ASCII, _LONG, _RATIONAL, _UNDEFINED, _IFD = 1, 2, 4, 5, 7, 13
_SECOND_UNITS = 10_000_000
"""Parts of an arc second: 1e-7 of it is 3 micrometres, and 60 s still fit 32 bits."""

# Direction of the camera and the satellite clock stay true; altitude, precision and status were
# of the position that is replaced.
_KEPT = frozenset({7, 16, 17, 29})
_LARGEST = 2**32 - 2**16


@dataclass(frozen=True, slots=True)
class GpsFacts:
    """What is written: the place, how it was found, and its error in metres if known."""

    coordinate: Coordinate
    method: str
    error_m: float | None


def new_block(facts: GpsFacts) -> bytes:
    """An EXIF block that holds a position and nothing else."""
    return replace_gps(b"MM\x00*" + struct.pack(">LHL", 8, 0, 0), facts)


def replace_gps(block: bytes, facts: GpsFacts) -> bytes:
    """A TIFF structure with another position; all bytes but two pointers stay where they were.

    Raises:
        UnreadableImage: the structure is damaged, or of a kind that cannot be extended.
    """
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(block[:4])
    if order is None:
        raise UnreadableImage(
            "its EXIF block is no TIFF structure (or a BigTIFF); nothing was written"
        )
    if len(block) > _LARGEST:
        raise UnreadableImage("a TIFF of 4 GB cannot grow; nothing was written")
    try:
        (start,) = struct.unpack_from(order + "L", block, 4)
        entries, following = _directory(block, order, start)
        pointer = next((e for e in entries if e.tag == GPS_POINTER), None)
        kept = _kept(block, order, pointer)
    except struct.error as error:
        raise UnreadableImage("its EXIF block is damaged; nothing was written") from error
    grown = bytearray(block) + bytes(len(block) % 2)  # directories begin at even offsets
    place = len(grown)
    grown += _gps_directory(order, place, kept, facts)
    if pointer is not None:
        struct.pack_into(order + "HLL", grown, pointer.offset + 2, _LONG, 1, place)
        return bytes(grown)
    grown += bytes(len(grown) % 2)
    main = len(grown)
    raw = [(entry.tag, entry.raw) for entry in entries]
    raw.append((GPS_POINTER, struct.pack(order + "HHLL", GPS_POINTER, _LONG, 1, place)))
    raw.sort(key=lambda pair: pair[0])
    grown += struct.pack(order + "H", len(raw)) + b"".join(each for _, each in raw)
    grown += struct.pack(order + "L", following)
    struct.pack_into(order + "L", grown, 4, main)
    return bytes(grown)


@dataclass(frozen=True, slots=True)
class _Entry:
    tag: int
    offset: int
    raw: bytes


def _directory(block: bytes, order: str, start: int) -> tuple[list[_Entry], int]:
    """The entries of a directory and the offset of the next one."""
    (count,) = struct.unpack_from(order + "H", block, start)
    entries = []
    for index in range(count):
        at = start + 2 + 12 * index
        (tag,) = struct.unpack_from(order + "H", block, at)
        entries.append(_Entry(tag, at, block[at : at + 12]))
    (following,) = struct.unpack_from(order + "L", block, start + 2 + 12 * count)
    return entries, following


def _kept(block: bytes, order: str, pointer: _Entry | None) -> list[tuple[int, bytes]]:
    """Entries of the old GPS directory that stay true, as they are: their values do not move."""
    if pointer is None:
        return []
    (start,) = struct.unpack_from(order + "L", pointer.raw, 8)
    entries, _ = _directory(block, order, start)
    return [(entry.tag, entry.raw) for entry in entries if entry.tag in _KEPT]


def _gps_directory(order: str, place: int, kept: list[tuple[int, bytes]], facts: GpsFacts) -> bytes:
    where = facts.coordinate
    values: list[tuple[int, int, int, bytes]] = [
        (0, _BYTE, 4, bytes((2, 3, 0, 0))),
        (1, _ASCII, 2, b"N\x00" if where.lat >= 0.0 else b"S\x00"),
        (2, _RATIONAL, 3, _sexagesimal(order, where.lat)),
        (3, _ASCII, 2, b"E\x00" if where.lon >= 0.0 else b"W\x00"),
        (4, _RATIONAL, 3, _sexagesimal(order, where.lon)),
        (18, _ASCII, 7, b"WGS-84\x00"),
    ]
    method = b"ASCII\x00\x00\x00" + facts.method.encode("ascii")
    values.append((27, _UNDEFINED, len(method), method))
    if facts.error_m is not None:
        values.append((31, _RATIONAL, 1, struct.pack(order + "LL", round(facts.error_m), 1)))
    data_at = place + 2 + 12 * (len(values) + len(kept)) + 4
    data = b""
    entries = list(kept)
    for tag, kind, count, value in values:
        head = struct.pack(order + "HHL", tag, kind, count)
        if len(value) <= 4:
            entries.append((tag, head + value.ljust(4, b"\x00")))
        else:
            entries.append((tag, head + struct.pack(order + "L", data_at + len(data))))
            data += value + bytes(len(value) % 2)
    entries.sort(key=lambda pair: pair[0])
    body = struct.pack(order + "H", len(entries)) + b"".join(raw for _, raw in entries)
    return body + struct.pack(order + "L", 0) + data


def _sexagesimal(order: str, degrees: float) -> bytes:
    """Degrees, minutes and seconds as three rationals."""
    units = round(abs(degrees) * 3600 * _SECOND_UNITS)
    minutes, rest = divmod(units, 60 * _SECOND_UNITS)
    whole, minutes = divmod(minutes, 60)
    return struct.pack(order + "6L", whole, 1, minutes, 1, rest, _SECOND_UNITS)
