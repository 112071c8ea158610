"""Photos and sources as they are to be written or were found on record, and their rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from geosearch.catalogue.models import PhotoRow
from geosearch.geo import Coordinate
from geosearch.records import Label, LabelSource, PhotoEntry, PhotoFact, PhotoState, Place


@dataclass(frozen=True, slots=True)
class PhotoDraft:
    """A photo as it is to be written; `id` and `sha256` never change, all else may."""

    id: UUID
    sha256: str
    uri: str
    size_bytes: int
    state: PhotoState
    width: int | None = None
    height: int | None = None
    label: Label | None = None
    place: Place | None = None
    captured_at: datetime | None = None
    author: str | None = None
    license: str | None = None
    caption: str | None = None
    camera: str | None = None
    dataset: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class KnownPhoto:
    """A photo as recorded, with what deciding about it needs.

    `is_embedded` is about the encoder asked for; `is_claimed` tells that the run asked for has
    already taken in a source with these bytes.
    """

    draft: PhotoDraft
    is_embedded: bool
    is_claimed: bool


@dataclass(frozen=True, slots=True)
class KnownSource:
    """A path or URL as recorded: its signature then, and the photo it held."""

    signature: str | None
    photo: KnownPhoto | None


@dataclass(frozen=True, slots=True)
class SourceDraft:
    """A path or URL as it is to be written; without a photo it has an error."""

    uri: str
    signature: str | None
    photo_id: UUID | None
    error: str | None = None


def values_of(photo: PhotoDraft) -> dict[str, Any]:
    """The columns of a photo that is to be written."""
    label, place = photo.label, photo.place
    return {
        "id": photo.id,
        "sha256": photo.sha256,
        "uri": photo.uri,
        "size_bytes": photo.size_bytes,
        "width": photo.width,
        "height": photo.height,
        "lat": None if label is None else label.coordinate.lat,
        "lon": None if label is None else label.coordinate.lon,
        "label_source": None if label is None else str(label.source),
        "captured_at": photo.captured_at,
        "author": photo.author,
        "license": photo.license,
        "caption": photo.caption,
        "camera": photo.camera,
        "country": None if place is None else place.country,
        "country_name": None if place is None else place.country_name,
        "region": None if place is None else place.region,
        "city": None if place is None else place.city,
        "dataset": photo.dataset,
        "attributes": dict(photo.attributes),
        "state": str(photo.state),
        "error": photo.error,
    }


def draft_of(row: PhotoRow) -> PhotoDraft:
    """A photo as it is on record."""
    label = None
    if row.lat is not None and row.lon is not None and row.label_source is not None:
        label = Label(Coordinate(row.lat, row.lon), LabelSource(row.label_source))
    return PhotoDraft(
        id=row.id,
        sha256=row.sha256,
        uri=row.uri,
        size_bytes=row.size_bytes,
        state=PhotoState(row.state),
        width=row.width,
        height=row.height,
        label=label,
        place=place_of(row),
        captured_at=row.captured_at,
        author=row.author,
        license=row.license,
        caption=row.caption,
        camera=row.camera,
        dataset=row.dataset,
        attributes=row.attributes,
        error=row.error,
    )


def place_of(row: Any) -> Place | None:
    """The names in a row with the columns of a place; None where there are none."""
    if row.country is None:
        return None
    return Place(row.country, row.country_name or row.country, row.region, row.city)


def entry_of(draft: PhotoDraft) -> PhotoEntry:
    """A photo of the record as it is told."""
    label, place = draft.label, draft.place
    return PhotoEntry(
        photo=PhotoFact(
            id=draft.id,
            path=draft.uri,
            coordinate=None if label is None else label.coordinate,
            place="" if place is None else str(place),
            country=None if place is None else place.country,
            captured_at=draft.captured_at,
            dataset=draft.dataset,
            author=draft.author,
            license=draft.license,
            caption=draft.caption,
        ),
        state=draft.state,
        label_source=None if label is None else label.source,
        region=None if place is None else place.region,
        city=None if place is None else place.city,
        width=draft.width,
        height=draft.height,
        error=draft.error,
    )
