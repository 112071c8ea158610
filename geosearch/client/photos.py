"""The photos of a collection one by one: list them, look one up, say where one was taken."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from uuid import UUID

from geosearch.catalogue.drafts import PhotoDraft, entry_of
from geosearch.errors import ConfigError, InvalidInput, LabelRefused, UnknownPhoto
from geosearch.geo import Coordinate
from geosearch.ingest.decisions import RANKS
from geosearch.ingest.sources import Claims, PhotoSource, path_of
from geosearch.records import LabelSource, PhotoEntry, PhotoState
from geosearch.services import Services

PAGE = 256

GIVEN = (LabelSource.MANUAL, LabelSource.PREDICTED)
"""Whose word a place may be that is given to a single photo."""


def page(
    services: Services,
    states: Collection[PhotoState],
    *,
    ids: Collection[UUID] = (),
    after: UUID | None,
    limit: int,
) -> list[PhotoEntry]:
    """Photos in these states, of these ids if any are given, by id, beginning after one."""
    found = services.catalogue.unfinished(states, ids=ids, after=after, limit=limit)
    return [entry_of(draft) for draft in found]


def entries(services: Services, states: Collection[PhotoState]) -> Iterator[PhotoEntry]:
    """All photos in these states, in order of id."""
    after: UUID | None = None
    while found := page(services, states, after=after, limit=PAGE):
        yield from found
        after = found[-1].photo.id


def recorded(services: Services, photo_id: UUID) -> PhotoDraft:
    """A photo as it is on record.

    Raises:
        UnknownPhoto: there is none by that id.
    """
    found = services.catalogue.known_photos([photo_id], encoder=services.index.identity, run_id=0)
    if photo_id not in found:
        raise UnknownPhoto(f"there is no photo {photo_id}")
    return found[photo_id].draft


def relabel(
    services: Services, photo_id: UUID, place: Coordinate, source: LabelSource
) -> PhotoEntry:
    """Say where a photo was taken, and index it there.

    Raises:
        UnknownPhoto: there is none by that id.
        LabelRefused: its label counts more than this one, or its file cannot be read.
    """
    photo = recorded(services, photo_id)
    claims = Claims(coordinate=place, label_source=source)
    with services.taking_in() as pipeline:
        report = pipeline.run(
            [PhotoSource(photo.uri, path_of(photo.uri), claims)], inputs={"labels": 1}
        )
    if report.errors:
        raise LabelRefused("the photo's file can no longer be read, so it cannot be indexed")
    changed = recorded(services, photo_id)
    if changed.label is None or RANKS[changed.label.source] > RANKS[source]:
        raise LabelRefused("the photo has a label that counts more than a prediction")
    return entry_of(changed)


def id_of(photo: UUID | str) -> UUID:
    """The id of a photo, given as such or as text.

    Raises:
        InvalidInput: the text is none.
    """
    try:
        return photo if isinstance(photo, UUID) else UUID(photo)
    except ValueError:
        raise InvalidInput(f"{str(photo)[:60]!r} is not the id of a photo") from None


def states_of(state: PhotoState | str | None) -> list[PhotoState]:
    """The states asked for; all of them for None.

    Raises:
        ConfigError: there is no such state.
    """
    if state is None:
        return list(PhotoState)
    try:
        return [PhotoState(state)]
    except ValueError:
        raise ConfigError(
            f"{state!r} is no state of a photo; choose from {', '.join(PhotoState)}"
        ) from None


def given_source(source: LabelSource | str) -> LabelSource:
    """Whose word a place is that is given to a photo.

    Raises:
        ConfigError: places of that source come from files and tables.
    """
    if source not in GIVEN:
        raise ConfigError(
            f"label source {str(source)!r}: a place given here is "
            f"{' or '.join(map(repr, map(str, GIVEN)))}"
        )
    return LabelSource(source)
