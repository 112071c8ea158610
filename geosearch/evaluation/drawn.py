"""Postcards as a data set of features: drawn, encoded and forgotten, with the landmark each shows.

The files of `geosearch postcards` say less: of a photo in memory the plan is known.
"""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from geosearch.encoder.feature_cache import (
    ImageEncoder,
    LabelledPhoto,
    TextFeatures,
    compute_features,
    with_text,
)
from geosearch.encoder.features import FeatureSet, caption_of
from geosearch.errors import ConfigError
from geosearch.geo import Coordinate
from geosearch.postcards import CITIES, City, Shot, draw, plan_shot
from geosearch.postcards.files import LICENSE
from geosearch.records import Place

SIZE = (768, 512)
QUALITY = 87
SAMPLES = 8
"""Postcards that are drawn again to see whether the drawing changed since features were kept."""

Lookup = Callable[[Sequence[Coordinate]], Sequence[Place | None]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class DrawnPhotos:
    """Postcards as features; `shots` has the plan of each row."""

    features: FeatureSet
    shots: tuple[Shot, ...]

    def look_alikes(self, row: int) -> tuple[Coordinate, ...]:
        """The centres of the other cities where the landmark of a row stands; () for none."""
        shot = self.shots[row]
        if shot.landmark is None:
            return ()
        standing = landmark_cities()[shot.landmark]
        return tuple(city.center for city in standing if city.name != shot.city.name)


def landmark_cities() -> Mapping[str, tuple[City, ...]]:
    """Each landmark and the cities where it stands, in the order of `CITIES`."""
    standing: dict[str, list[City]] = defaultdict(list)
    for city in CITIES:
        for landmark in city.landmarks:
            standing[landmark].append(city)
    return {landmark: tuple(cities) for landmark, cities in standing.items()}


def drawn_features(
    encoder: ImageEncoder,
    text_features: TextFeatures,
    *,
    identity: str,
    cache: Path,
    lookup: Lookup,
    views: int = 48,
    cities: Sequence[City] = CITIES,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> DrawnPhotos:
    """Draw `views` of each city and encode them, or open what an earlier call has kept.

    A photo's place is its city, its caption names the place as `train` would.

    Args:
        encoder: reads and encodes pictures.
        text_features: captions to features, of the same backbone.
        identity: of the backbone.
        cache: folder of the caches.
        lookup: names of places.
        views: of each city.
        cities: which.
        seed: of the drawings.
        threads: that draw.
        progress: told (photos done, photos in all).

    Raises:
        ConfigError: no view is asked for, or one was left out.
    """
    if views < 1 or not cities:
        raise ConfigError(f"{views} views of {len(cities)} cities; give at least one of each")
    shots = [plan_shot(city, view, seed=seed) for city in cities for view in range(views)]
    folder = cache / f"postcards-{_key(shots, identity, seed)}"
    if folder.is_dir():
        return DrawnPhotos(FeatureSet.open(folder, encoder=identity), tuple(shots))
    places = lookup([shot.coordinate for shot in shots])
    photos = [
        LabelledPhoto(
            uri=f"{shot.city.name}-{shot.view}",
            read=lambda shot=shot: _jpeg(shot, seed),  # type: ignore[misc]  # bound per shot
            coordinate=shot.coordinate,
            caption=caption_of(place),
            country="" if place is None else place.country,
            dataset="postcards",
            license=LICENSE,
        )
        for shot, place in zip(shots, places, strict=True)
    ]
    features, left_out = compute_features(
        photos, encoder, identity=identity, cache=cache, threads=threads, progress=progress
    )
    if left_out:
        raise ConfigError(f"the postcard {left_out[0][0]} cannot be used: {left_out[0][1]}")
    named = replace(features, place=tuple(shot.city.name for shot in shots))
    with_text(named, text_features, cache=cache).save(folder)
    return DrawnPhotos(FeatureSet.open(folder, encoder=identity), tuple(shots))


def _key(shots: Sequence[Shot], identity: str, seed: int) -> str:
    """Changes with the plans, the encoder, and the way in which postcards are drawn."""
    digest = hashlib.sha256(f"{identity}|{seed}".encode())
    for shot in shots:
        digest.update(f"{shot.city.name}|{shot.view}|{shot.coordinate}|{shot.landmark}".encode())
    for shot in shots[:: max(1, len(shots) // SAMPLES)]:
        digest.update(_jpeg(shot, seed))
    return digest.hexdigest()[:16]


def _jpeg(shot: Shot, seed: int) -> bytes:
    """The postcard as a file without tags."""
    image = draw(shot.city, shot.view, seed=seed, size=SIZE)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY, subsampling="4:2:0")
    return file.getvalue()
