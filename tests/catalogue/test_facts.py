from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, event, insert

from geosearch.catalogue.models import PhotoRow
from geosearch.catalogue.repository import Catalogue


def _write(engine: Engine, number: int) -> UUID:
    photo = uuid4()
    with engine.begin() as connection:
        connection.execute(
            insert(PhotoRow).values(
                id=photo,
                sha256=f"{number:064x}",
                uri=f"/{number}.jpg",
                size_bytes=1,
                lat=float(number),
                lon=13.2,
                label_source="exif",
                state="pending",
            )
        )
    return photo


def test_facts_are_of_the_photos_asked_for_and_unknown_ones_are_left_out(
    engine: Engine, catalogue: Catalogue
) -> None:
    photos = [_write(engine, number) for number in range(4)]
    found = catalogue.facts({*photos[1:3], uuid4()})
    assert {photo: fact.path for photo, fact in found.items()} == {
        photos[1]: "/1.jpg",
        photos[2]: "/2.jpg",
    }
    assert catalogue.facts([]) == {}


def test_facts_are_asked_for_in_the_same_words_however_many_photos(
    engine: Engine, catalogue: Catalogue
) -> None:
    photos = [_write(engine, number) for number in range(4)]
    said: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def listen(*arguments: Any) -> None:
        said.append(arguments[2])

    for count in (1, 2, 4):
        assert len(catalogue.facts(photos[:count])) == count
    assert len(said) == 3
    assert len({*said}) == 1
