"""Landmarks that stand in several cities: does the right city win over its look-alikes?

Search by look alone cannot tell the twins apart; what a locator adds shows here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from geosearch.errors import InvalidInput
from geosearch.evaluation.datasets import Dataset, Query, load_manifest
from geosearch.evaluation.metrics import Estimate, GroupBootstrap
from geosearch.geo import Coordinate
from geosearch.ingest.manifest import read_manifest
from geosearch.ingest.sources import BadSource
from geosearch.postcards import CITIES, plan_shot
from geosearch.postcards.files import HELD_OUT_FIRST_VIEW

CITY_KM = 25.0
"""An answer so near to a city's photo, or to a look-alike, is an answer for that city."""

_VIEW = re.compile(r"-(\d+)$")


@dataclass(frozen=True, slots=True)
class TwinShares:
    """What was answered for photos whose landmark has look-alikes; the four shares sum to 100 %.

    `chance_percent` is what choosing among the twins by lot would reach in `right_percent`, if
    every answer were for one of them.
    """

    queries: int
    right_percent: Estimate
    look_alike_percent: Estimate
    elsewhere_percent: Estimate
    unanswered_percent: Estimate
    chance_percent: float


def load_twins(manifest: Path, *, images: Path | None = None, seed: int = 0) -> Dataset:
    """Photos of a manifest whose landmark stands in other cities too.

    With columns `landmark` and `city` (or `place`) the rows themselves say what stands where. The
    table of our postcards (`truth.csv`) has the city only: there the landmark in view is known
    from the postcard's plan, which is trusted only if it puts the camera where the label does.

    Args:
        manifest: as for `ingest`.
        images: where its files are, if not where it says.
        seed: that postcards were drawn with.

    Raises:
        InvalidInput: no photo has a landmark with a look-alike.
    """
    dataset = load_manifest(manifest, images=images, name="twins")
    landmarks = _landmark_column(manifest)
    standing = _standing_where_rows_say(dataset, landmarks) if landmarks else _standing_postcards()
    queries = []
    for query in dataset.queries:
        landmark = landmarks.get(query.id) if landmarks else _postcard_landmark(query, seed)
        cities = standing.get(landmark or "", {})
        others = tuple(where for city, where in sorted(cities.items()) if city != query.place)
        if query.place in cities and others:
            queries.append(replace(query, look_alikes=others))
    if not queries:
        raise InvalidInput(
            f"no photo of {manifest} shows a landmark that stands in another city too; give "
            "columns landmark and city, or the truth.csv of `geosearch postcards` with its seed"
        )
    note = (
        f"{len(queries)} of {len(dataset.queries)} photos show a landmark with look-alikes in "
        "other cities; only these were asked"
    )
    return replace(dataset, queries=tuple(queries), notes=(*dataset.notes, note))


def twin_shares(
    queries: Sequence[Query], answers: Sequence[Coordinate | None], bootstrap: GroupBootstrap
) -> TwinShares:
    """Whether answers are for the right city, for a look-alike, for neither, or missing."""
    outcome = np.zeros((len(queries), 4))
    for row, (query, answer) in enumerate(zip(queries, answers, strict=True)):
        outcome[row, _outcome(query, answer)] = 100.0
    chance = [100.0 / (1 + len(query.look_alikes)) for query in queries]
    right, look_alike, elsewhere, unanswered = bootstrap.means(outcome)
    return TwinShares(
        queries=len(queries),
        right_percent=right,
        look_alike_percent=look_alike,
        elsewhere_percent=elsewhere,
        unanswered_percent=unanswered,
        chance_percent=float(np.mean(chance)),
    )


def _outcome(query: Query, answer: Coordinate | None) -> int:
    if answer is None:
        return 3
    right_km = answer.distance_km(query.coordinate)
    look_alike_km = min(answer.distance_km(other) for other in query.look_alikes)
    if min(right_km, look_alike_km) > CITY_KM:
        return 2
    return 0 if right_km <= look_alike_km else 1


def _landmark_column(manifest: Path) -> dict[str, str]:
    """Photo to the landmark that its row names."""
    found = {}
    for source in read_manifest(manifest):
        if not isinstance(source, BadSource) and source.claims.attributes.get("landmark"):
            found[source.uri] = str(source.claims.attributes["landmark"])
    return found


def _standing_where_rows_say(
    dataset: Dataset, landmarks: Mapping[str, str]
) -> dict[str, dict[str, Coordinate]]:
    """Landmark to the cities it is photographed in, each with the place of its first photo."""
    standing: dict[str, dict[str, Coordinate]] = defaultdict(dict)
    for query in dataset.queries:
        if query.id in landmarks and query.place is not None:
            standing[landmarks[query.id]].setdefault(query.place, query.coordinate)
    return standing


def _standing_postcards() -> dict[str, dict[str, Coordinate]]:
    standing: dict[str, dict[str, Coordinate]] = defaultdict(dict)
    for city in CITIES:
        for landmark in city.landmarks:
            standing[landmark][city.name] = city.center
    return standing


def _postcard_landmark(query: Query, seed: int) -> str | None:
    """The landmark that a held-out postcard shows; None when it is not the postcard of that name.

    The plan of the view has to put the camera where the label says, to a metre or so.
    """
    city = next((city for city in CITIES if city.name == query.place), None)
    match = None if query.image is None else _VIEW.search(query.image.stem)
    if city is None or match is None:
        return None
    shot = plan_shot(city, HELD_OUT_FIRST_VIEW + int(match[1]), seed=seed)
    return shot.landmark if shot.coordinate.distance_km(query.coordinate) < 0.001 else None
