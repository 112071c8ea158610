from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from geosearch.client import GeoSearch
from geosearch.errors import InvalidInput
from geosearch.evaluation.datasets import Dataset, Query, load_manifest
from geosearch.evaluation.features import FeatureSet
from geosearch.evaluation.galleries import (
    PHOTOGRAPHER_FILTERED,
    CatalogueGallery,
    FeatureGallery,
)
from geosearch.evaluation.harness import Method, Unanswered, evaluate
from geosearch.evaluation.methods import (
    CONSTANT,
    LOCATOR,
    LOCATOR_ALWAYS,
    ORACLE,
    POPULATION_PRIOR,
    blind_methods,
    gallery_methods,
)
from geosearch.evaluation.settlements import Settlements
from geosearch.geo import Coordinate
from geosearch.records import Prediction
from geosearch.splits import place_folds

LUND, ROME = Coordinate(55.7, 13.2), Coordinate(41.9, 12.5)
TWO = Dataset("two", (Query("1", LUND, place="a"), Query("2", ROME, place="b")))


def test_any_callable_can_be_measured() -> None:
    report = evaluate(lambda queries: [query.coordinate for query in queries], TWO)
    (method,) = report.methods
    assert method.accuracy.within_percent[1.0].value == 100.0
    assert method.accuracy.geoscore.value == 5000.0
    assert (report.asked, report.groups, report.grouping) == (2, 2, "place")


def test_no_answer_stays_in_the_denominator_with_its_reason() -> None:
    report = evaluate(lambda queries: [LUND, Unanswered("too dark")], TWO)
    method = report.methods[0]
    assert method.accuracy.within_percent[25.0].value == 50.0
    assert method.accuracy.unanswered_percent.value == 50.0
    assert method.outcomes[1].reason == "too dark"
    assert math.isinf(method.outcomes[1].error_km)


def test_a_method_that_answers_too_few_photos_is_named() -> None:
    with pytest.raises(InvalidInput, match="the method 'lazy': 1 answers for 2 photos"):
        evaluate([Method("lazy", lambda queries: [LUND])], TWO)


def test_a_single_place_is_refused() -> None:
    one = Dataset("one", (Query("1", LUND, place="a"), Query("2", LUND, place="a")))
    with pytest.raises(InvalidInput, match="one place or photographer"):
        evaluate(lambda queries: [LUND, LUND], one)


def test_a_report_says_which_methods_there_are() -> None:
    report = evaluate(lambda queries: [LUND, ROME], TWO)
    with pytest.raises(InvalidInput, match="there are locate"):
        report.method("oracle")


def make_features(*, author: bool = False, views: int = 4, places: int = 12) -> FeatureSet:
    """Places in pairs, 50 km apart and alike; views of a place are nearly the same."""
    generator = np.random.default_rng(0)
    looks = generator.normal(size=(places // 2, 16)).repeat(2, axis=0)
    looks += 0.2 * generator.normal(size=looks.shape)
    rows = looks.repeat(views, axis=0)
    rows = rows + 0.05 * generator.normal(size=rows.shape)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    lat = np.arange(places) // 2 * 12.0 - 30.0
    lon = np.arange(places) // 2 * 50.0 - 120.0
    lat = lat + (np.arange(places) % 2) * 0.45
    return FeatureSet(
        name="made",
        image_features=rows.astype(np.float32),
        lat=lat.repeat(views).astype(np.float64),
        lon=lon.repeat(views).astype(np.float64),
        place=np.array([f"p{at}" for at in range(places)]).repeat(views),
        author=np.array([f"a{at // 2}" for at in range(places)]).repeat(views) if author else None,
    )


def test_a_query_finds_nothing_of_its_own_fold_and_the_best_first() -> None:
    features = make_features()
    fold = place_folds(features.place, folds=12)
    gallery = FeatureGallery(features, fold)
    for query, found in zip(
        features.queries().queries, gallery.find(features.queries().queries, 10), strict=True
    ):
        scores = [neighbor.score for neighbor in found.neighbors]
        assert scores == sorted(scores, reverse=True)
        own = {f"made:{row}" for row in np.flatnonzero(fold == fold[query.rows[0]])}
        assert not own & {neighbor.photo.path for neighbor in found.neighbors}


def test_neighbours_are_those_of_a_plain_sort() -> None:
    features = make_features()
    fold = place_folds(features.place, folds=3)
    (query,) = features.queries().queries[5:6]
    (found,) = FeatureGallery(features, fold).find([query], 7)
    scores = features.image_features @ features.image_features[5]
    expected = [row for row in np.argsort(-scores) if fold[row] != fold[5]][:7]
    assert [neighbor.photo.path for neighbor in found.neighbors] == [f"made:{r}" for r in expected]


def test_standard_methods_on_features_know_their_order() -> None:
    """Each place's double stands 50 km away and is found: right within 200 km, never within 25."""
    features = make_features()
    gallery = FeatureGallery(features, place_folds(features.place, folds=12))
    settlements = Settlements(np.array([0.0]), np.array([0.0]), np.array([5.0]))
    report = evaluate(
        [*blind_methods(gallery, settlements=settlements), *gallery_methods(gallery)],
        features.queries(fused=True),
    )
    within = {
        one.method: [one.accuracy.within_percent[band].value for band in (25.0, 200.0)]
        for one in report.methods
    }
    assert within["nearest photo"] == within[LOCATOR_ALWAYS] == within[ORACLE] == [0.0, 100.0]
    assert within[CONSTANT][1] < 50.0
    assert within[POPULATION_PRIOR] == [0.0, 0.0]
    recall = {(one.k, one.radius_km): one.percent.value for one in report.methods[3].recall}
    assert (recall[1, 25.0], recall[1, 200.0]) == (0.0, 100.0)
    assert report.method(LOCATOR_ALWAYS).coverage[1].level == 90
    assert report.method("nearest photo").gain_percent is None
    gain = report.method(CONSTANT).gain_percent
    assert gain is not None
    assert gain[200.0].excludes_zero


def test_without_the_photographer_the_double_is_not_found() -> None:
    features = make_features(author=True)
    fold = place_folds(features.place, folds=12)
    methods = gallery_methods(FeatureGallery(features, fold))
    methods += gallery_methods(
        FeatureGallery(features, fold, without_author=True), with_oracle=False
    )
    report = evaluate(methods, features.queries())
    assert report.grouping == "photographer"
    assert report.method("nearest photo").accuracy.within_percent[200.0].value == 100.0
    filtered = report.method("nearest photo", PHOTOGRAPHER_FILTERED)
    assert filtered.accuracy.within_percent[200.0].value == 0.0


def test_features_without_photographers_cannot_be_filtered_by_them() -> None:
    features = make_features()
    with pytest.raises(InvalidInput, match="name no photographers"):
        FeatureGallery(features, place_folds(features.place), without_author=True)


def test_the_oracle_is_never_beaten_by_answers_from_the_gallery() -> None:
    features = make_features()
    gallery = FeatureGallery(features, place_folds(features.place, folds=4, seed=2))
    report = evaluate(gallery_methods(gallery), features.queries())
    oracle = [one.error_km for one in report.method(ORACLE).outcomes]
    nearest = [one.error_km for one in report.method("nearest photo").outcomes]
    assert all(a <= b + 1e-6 for a, b in zip(oracle, nearest, strict=True))


@pytest.fixture
def manifest(folder: Path) -> Path:
    """Every photo of `folder` is its own city's query."""
    path = folder / "labels.csv"
    rows = [(p, p.stem.split("-")[0]) for p in sorted(folder.glob("*.jpg"))]
    at = {"lund": (55.705, 13.193), "nairobi": (-1.286, 36.817), "suva": (-18.141, 178.442),
          "honolulu": (21.307, -157.858)}  # fmt: skip
    lines = [f"{p.name},{at[city][0]},{at[city][1]},{city},{city}-author" for p, city in rows]
    path.write_text("path,lat,lon,city,author\n" + "\n".join(lines) + "\n")
    return path


def _catalogue_gallery(geosearch: GeoSearch, *, without_author: bool = False) -> CatalogueGallery:
    services = geosearch.services
    return CatalogueGallery(
        services.store,
        services.catalogue,
        services.embedder.embed,
        encoder=str(services.embedder.identity),
        without_author=without_author,
    )


def test_a_photo_of_the_catalogue_never_finds_itself(
    geosearch: GeoSearch, folder: Path, manifest: Path
) -> None:
    geosearch.ingest(folder)
    dataset = load_manifest(manifest)
    for query, found in zip(
        dataset.queries, _catalogue_gallery(geosearch).find(dataset.queries, 3), strict=True
    ):
        assert query.id not in [neighbor.photo.path for neighbor in found.neighbors]
        assert len(found.neighbors) == 3


def test_on_new_photos_the_catalogue_gallery_answers_as_the_client_does(
    geosearch: GeoSearch, folder: Path, manifest: Path
) -> None:
    held_out = sorted(folder.glob("*-2.jpg"))
    geosearch.ingest([path for path in folder.glob("*.jpg") if path not in held_out])
    dataset = load_manifest(manifest)
    asked = Dataset("new", tuple(query for query in dataset.queries if query.image in held_out))

    def locate(queries: Sequence[Query]) -> Iterator[Prediction]:
        return geosearch.locate([query.image for query in queries if query.image is not None])

    client = evaluate(locate, asked).methods[0]
    gallery = evaluate(gallery_methods(_catalogue_gallery(geosearch), with_oracle=False), asked)
    answers = zip(gallery.method(LOCATOR).outcomes, client.outcomes, strict=True)
    apart_km = [
        one.answer.distance_km(other.answer)
        for one, other in answers
        if one.answer and other.answer
    ]
    assert len(apart_km) == 4
    # The client takes coordinates of neighbours from the index, which keeps them to the last bit
    # but one (tests/store/test_contract.py): 21.307000000000002 comes back as 21.307.
    assert max(apart_km) < 1e-9
    assert client.accuracy.within_percent[25.0].value == 100.0
    assert client.accuracy.queries == 4


def test_photos_of_the_query_s_photographer_can_be_left_out(
    geosearch: GeoSearch, folder: Path, manifest: Path
) -> None:
    geosearch.ingest(folder, manifest=manifest)
    dataset = load_manifest(manifest)
    report = evaluate(
        gallery_methods(_catalogue_gallery(geosearch, without_author=True), with_oracle=False),
        dataset,
    )
    nearest = report.method("nearest photo", PHOTOGRAPHER_FILTERED)
    assert nearest.accuracy.within_percent[25.0].value == 0.0
    assert nearest.accuracy.unanswered_percent.value == 0.0


def test_a_photo_that_cannot_be_read_is_unanswered_with_the_reason(
    geosearch: GeoSearch, folder: Path, manifest: Path
) -> None:
    geosearch.ingest(folder)
    (folder / "lund-0.jpg").write_bytes(b"no photo")
    report = evaluate(
        gallery_methods(_catalogue_gallery(geosearch), with_oracle=False), load_manifest(manifest)
    )
    for method in report.methods:
        bad = [one for one in method.outcomes if one.query.id.endswith("lund-0.jpg")]
        assert bad[0].answer is None
        assert "image" in str(bad[0].reason)
