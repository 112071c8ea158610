from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geosearch import retrieval
from geosearch.client import GeoSearch
from geosearch.client.queries import PhotoVectors
from geosearch.encoder.fakes import ColorGridEmbedder
from geosearch.geo import Coordinate
from geosearch.services import Services
from geosearch.store import planning
from geosearch.store.base import Match
from geosearch.store.filters import Country, Dataset, Filter


class Counted(ColorGridEmbedder):
    embedded = 0

    def embed(self, data):
        self.embedded += 1
        return super().embed(data)


def test_the_same_photo_is_encoded_once_and_the_oldest_are_forgotten(
    services: Services, make_jpeg: Callable[..., bytes]
) -> None:
    encoder = services.index.embedder = Counted()  # type: ignore[assignment]
    vectors = PhotoVectors(most=2)
    photos = [make_jpeg(seed) for seed in range(3)]
    for photo in (photos[0], photos[1], photos[0], photos[2], photos[0]):
        assert np.array_equal(
            vectors.vector(services.index, photo), ColorGridEmbedder().embed(photo)
        )
    assert encoder.embedded == 3
    vectors.vector(services.index, photos[1])
    assert encoder.embedded == 4


@pytest.mark.parametrize("where", [None, Country("SE"), Dataset("trip"), Dataset("none")])
@pytest.mark.parametrize("separation_km", [None, 25.0])
def test_the_newest_photos_are_the_same_however_few_match(
    geosearch: GeoSearch,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: Filter | None,
    separation_km: float | None,
) -> None:
    geosearch.ingest(folder, dataset="trip")
    services = geosearch.services

    def newest() -> tuple[list[str], int]:
        found = retrieval.list_newest(
            services.catalogue,
            services.store,
            where=where,
            limit=4,
            separation_km=separation_km,
            center=Coordinate(0.0, 0.0),
        )
        return [hit.photo.path for hit in found.hits], found.matched

    from_the_index = newest()
    monkeypatch.setattr(retrieval, "FEW", -1)
    assert newest() == from_the_index
    services.store.delete([services.store.scroll().__next__().id])
    if where != Dataset("none"):
        assert newest() == from_the_index  # the record decides when the index lacks photos


def test_a_photo_alone_is_looked_for_with_less_work_than_a_mix(
    geosearch: GeoSearch, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    geosearch.ingest(folder)
    photo = next(path for path in sorted(folder.rglob("*.jpg")))
    monkeypatch.setattr(planning, "EXACT_UP_TO", 0)  # a handful of photos is compared otherwise
    store, asked = geosearch.services.store, []
    rank = store.rank

    def watched(*arguments: Any, ef: int | None = None, **options: Any) -> list[Match]:
        asked.append(ef)
        return rank(*arguments, ef=ef, **options)

    monkeypatch.setattr(store, "rank", watched)
    encoder = geosearch.services.index.embedder
    place = encoder.embed(photo.read_bytes())
    monkeypatch.setattr(encoder, "encode_locations", lambda _: [place], raising=False)
    geosearch.search(image=photo, k=1)
    geosearch.search(image=photo, at=(55.7, 13.2), k=1)
    assert asked == [planning.PHOTO_EF, planning.UNFILTERED_EF]
