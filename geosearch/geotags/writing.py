"""A position written into the bytes of a photo, and read back before anyone sees the result."""

from __future__ import annotations

from dataclasses import dataclass

from geosearch.errors import InvalidCoordinate, UnreadableImage
from geosearch.formats import open_header
from geosearch.geo import Coordinate
from geosearch.geotags.heif import write_heif
from geosearch.geotags.jpeg import write_jpeg
from geosearch.geotags.png import write_png
from geosearch.geotags.tiff import GpsFacts, replace_gps
from geosearch.geotags.webp import write_webp
from geosearch.gps import PREDICTED_METHOD
from geosearch.metadata import read_metadata
from geosearch.records import LabelSource

_SAME_DEG = 1e-8
"""Degrees by which a position may differ once written: a millimetre."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place to write: how it was found, and its radius in metres if it is an estimate.

    A predicted position is marked as such in the file, so that reading it again never takes it for
    a measured one.
    """

    coordinate: Coordinate
    source: LabelSource
    radius_m: float | None = None


def write_position(data: bytes, position: Position) -> bytes:
    """The photo with this position in its EXIF block; the compressed picture is not touched.

    Args:
        data: a whole JPEG, PNG, WebP, TIFF or HEIC file.
        position: what to write.

    Raises:
        UnreadableImage: not a photo, damaged, or of a kind that cannot take a position.
        InvalidCoordinate: exactly (0, 0), which means "no position" in EXIF.
    """
    where = position.coordinate
    if where.lat == 0.0 and where.lon == 0.0:
        raise InvalidCoordinate("0, 0 means 'no position' in EXIF and cannot be written")
    is_predicted = position.source is LabelSource.PREDICTED
    method = PREDICTED_METHOD if is_predicted else "MANUAL"
    radius_m = position.radius_m if is_predicted else None
    facts = GpsFacts(where, method, None if radius_m is None else min(radius_m, 20_037_509.0))
    with open_header(data) as image:
        kind, size = image.format, image.size
    match kind:
        case "JPEG":
            written = write_jpeg(data, facts)
        case "PNG":
            written = write_png(data, facts)
        case "WEBP":
            written = write_webp(data, facts, size=size)
        case "TIFF":
            written = replace_gps(data, facts)
        case _:
            written = write_heif(data, facts)
    _check(written, where)
    return written


def _check(written: bytes, where: Coordinate) -> None:
    """Read the photo as anyone would; what is not found again was not written."""
    label = read_metadata(written).label
    if label is None:
        raise UnreadableImage("the position could not be read back; nothing was written")
    found = label.coordinate
    turned = abs(found.lon - where.lon)
    if abs(found.lat - where.lat) > _SAME_DEG or min(turned, 360.0 - turned) > _SAME_DEG:
        raise UnreadableImage(
            f"read back, the position is {found} and not {where}; nothing was written"
        )
