"""EXIF blocks: the tags of a TIFF structure, read without trusting a byte of it.

Pillow's reader warns and raises on damaged blocks; photos with one bad tag and a good position are
common, so here a bad tag is skipped and said so. What tags mean is decided in `metadata.py`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

Value = bytes | tuple[float, ...]
"""Text and opaque tags are bytes; numbers are tuples of floats, NaN for a rational over zero."""

ORIENTATION = 0x0112
_EXIF_POINTER = 0x8769
_GPS_POINTER = 0x8825
_MAX_ENTRIES = 1000  # a directory of a real photo has fewer than 100
_MAX_BYTES = 1 << 20  # longer values are thumbnails and maker notes, which nobody asked for

_NUMBERS = {3: "H", 4: "L", 8: "h", 9: "l", 11: "f", 12: "d"}  # TIFF type -> struct code
_BYTES = {1, 2, 6, 7, 129}  # BYTE, ASCII, SBYTE, UNDEFINED and the UTF-8 of Exif 3.0
_RATIONALS = {5: "L", 10: "l"}


@dataclass(frozen=True, slots=True)
class ExifTags:
    """The three directories that describe a photo: tag number to value; `damage` in words."""

    image: dict[int, Value] = field(default_factory=dict)
    photo: dict[int, Value] = field(default_factory=dict)
    gps: dict[int, Value] = field(default_factory=dict)
    damage: tuple[str, ...] = ()


def read_tags(block: bytes) -> ExifTags:
    """All tags of an EXIF block (or of a whole TIFF file), as far as they can be read."""
    while block.startswith(b"Exif\x00\x00"):
        block = block[6:]
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(block[:4])
    if order is None or len(block) < 8:
        return ExifTags(damage=("the EXIF block has no TIFF header",))
    damage: list[str] = []
    (start,) = struct.unpack_from(order + "L", block, 4)
    image = _directory(block, order, start, "main", damage)
    photo, gps = (
        {}
        if (offset := number(image, pointer)) is None
        else _directory(block, order, offset, name, damage)
        for pointer, name in ((_EXIF_POINTER, "photo"), (_GPS_POINTER, "GPS"))
    )
    return ExifTags(image, photo, gps, tuple(damage))


def number(tags: dict[int, Value], tag: int) -> int | None:
    """The single whole number that a tag holds, if it is one."""
    value = tags.get(tag)
    if isinstance(value, tuple) and len(value) == 1 and float(value[0]).is_integer():
        return int(value[0])
    return None


def orientation(block: bytes) -> int:
    """How the picture is stored, 1 (upright) to 8; anything else in the tag reads as 1."""
    value = number(read_tags(block).image, ORIENTATION)
    return value if value is not None and 1 <= value <= 8 else 1


def _directory(
    block: bytes, order: str, start: int, name: str, damage: list[str]
) -> dict[int, Value]:
    tags: dict[int, Value] = {}
    if not 8 <= start <= len(block) - 2:
        damage.append(f"the {name} EXIF directory lies outside the block")
        return tags
    (count,) = struct.unpack_from(order + "H", block, start)
    fits = (len(block) - start - 2) // 12
    if count > min(fits, _MAX_ENTRIES):
        damage.append(f"the {name} EXIF directory is cut short")
    for index in range(min(count, fits, _MAX_ENTRIES)):
        entry = start + 2 + 12 * index
        tag, kind, length = struct.unpack_from(order + "HHL", block, entry)
        value = _value(block, order, entry, kind, length)
        if value is not None:
            tags.setdefault(tag, value)
        elif length <= _MAX_BYTES:
            damage.append(f"tag 0x{tag:04x} of the {name} EXIF directory is damaged")
    return tags


def _value(block: bytes, order: str, entry: int, kind: int, length: int) -> Value | None:
    """One entry's value, or None where its type is unknown or its bytes lie outside the block."""
    if kind in _BYTES:
        size = length
    elif kind in _NUMBERS:
        size = length * struct.calcsize(order + _NUMBERS[kind])
    elif kind in _RATIONALS:
        size = length * 8
    else:
        return None
    offset = entry + 8
    if size > 4:
        (offset,) = struct.unpack_from(order + "L", block, offset)
    if size > _MAX_BYTES or offset + size > len(block):
        return None
    if kind in _BYTES:
        return block[offset : offset + size]
    if kind in _NUMBERS:
        return struct.unpack_from(f"{order}{length}{_NUMBERS[kind]}", block, offset)
    parts = struct.unpack_from(f"{order}{2 * length}{_RATIONALS[kind]}", block, offset)
    return tuple(
        above / below if below else float("nan")
        for above, below in zip(parts[::2], parts[1::2], strict=True)
    )
