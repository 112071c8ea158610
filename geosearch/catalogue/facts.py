"""What answers and exports read of a photo: the columns, and the value made of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ARRAY, Uuid, any_, bindparam, select

from geosearch.catalogue.drafts import place_of
from geosearch.catalogue.models import PhotoRow
from geosearch.geo import Coordinate
from geosearch.records import PhotoFact

FACT_COLUMNS = (
    PhotoRow.id,
    PhotoRow.uri,
    PhotoRow.lat,
    PhotoRow.lon,
    PhotoRow.city,
    PhotoRow.region,
    PhotoRow.country_name,
    PhotoRow.country,
    PhotoRow.captured_at,
    PhotoRow.dataset,
    PhotoRow.author,
    PhotoRow.license,
    PhotoRow.caption,
)

FACTS_OF = select(*FACT_COLUMNS).where(PhotoRow.id == any_(bindparam("ids", type_=ARRAY(Uuid()))))
"""The rows of the photos `ids`: one text however many they are, so the server prepares it once."""

EXPORT_COLUMNS = (
    PhotoRow.uri.label("path"),
    PhotoRow.lat,
    PhotoRow.lon,
    PhotoRow.captured_at,
    PhotoRow.dataset,
    PhotoRow.country,
    PhotoRow.region,
    PhotoRow.city,
    PhotoRow.state,
    PhotoRow.label_source,
    PhotoRow.author,
    PhotoRow.license,
    PhotoRow.caption,
    PhotoRow.error,
    PhotoRow.sha256,
)


def fact_of(row: Any) -> PhotoFact:
    """What answers say of a photo, from a row of `FACT_COLUMNS`."""
    place = place_of(row)
    return PhotoFact(
        id=row.id,
        path=row.uri,
        coordinate=None if row.lat is None else Coordinate(row.lat, row.lon),
        place="" if place is None else str(place),
        country=row.country,
        captured_at=row.captured_at,
        dataset=row.dataset,
        author=row.author,
        license=row.license,
        caption=row.caption,
    )
