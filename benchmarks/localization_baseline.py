"""Measure locating by retrieval alone against "the place of the nearest photo".

Reads image features of labelled photos (`image_features (n, d)`, `lat`, `lon`, `place`, `dataset`)
and asks the same photos in four settings. `in_gallery`: the other views of the place may be found
(leave one view out). `near_copy`: an altered copy of a gallery photo is asked. `held_out_blocks`:
nothing in the query's block of 1 x 1 degree may be found, and the views of a place are fused into
one query. `noise`: shuffled features, which show no place. Blocks are split into a fold to tune on
and a fold to report, by seed; intervals are bootstrapped by place.

    python benchmarks/localization_baseline.py FEATURES.npz [--tune] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geosearch.geo import Coordinate
from geosearch.localization.background import background_score
from geosearch.localization.candidates import DensitySettings, Neighbor
from geosearch.localization.locator import (
    Locator,
    LocatorSettings,
    NeighborSource,
)
from geosearch.records import PhotoFact, Prediction, photo_id

BANDS_KM = (1.0, 25.0, 200.0, 750.0, 2500.0)
SETTINGS = ("in_gallery", "near_copy", "held_out_blocks", "noise")
COPY_NOISE = 0.35  # of the logarithm of each feature; a cosine of about 0.94 with the original
RESAMPLES = 1000
TUNE_EVERY = 4  # one view of four is enough to compare knobs


@dataclass(frozen=True)
class Photos:
    """Labelled photos: features (n, d) float32 L2-normalised, and what is known of each row."""

    features: NDArray[np.float32]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    place: NDArray[np.int64]
    block: NDArray[np.int64]
    facts: tuple[PhotoFact, ...]


@dataclass(frozen=True)
class Query:
    """One question: features (d,), the true coordinate, its place, the rows it may not find."""

    features: NDArray[np.float32]
    truth: Coordinate
    place: int
    hidden: NDArray[np.bool_]


def load(path: Path, dataset: str) -> Photos:
    """Read the features of one data set."""
    with np.load(path) as arrays:
        keep = arrays["dataset"] == dataset
        if not keep.any():
            known = ", ".join(sorted(set(arrays["dataset"].tolist())))
            raise SystemExit(f"no data set {dataset!r} in {path}; it has {known}")
        features = unit_rows(arrays["image_features"][keep].astype(np.float32))
        lat, lon = arrays["lat"][keep], arrays["lon"][keep]
        _, place = np.unique(arrays["place"][keep], return_inverse=True)
    facts = tuple(
        PhotoFact(photo_id(str(row)), str(row), Coordinate(*where), "", *(None,) * 6)
        for row, where in enumerate(zip(lat.tolist(), lon.tolist(), strict=True))
    )
    block = (np.floor(lat) * 360 + np.floor(lon)).astype(np.int64)
    return Photos(features, lat, lon, place.astype(np.int64), block, facts)


def unit_rows(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (n, d) scaled to length 1."""
    return np.asarray(features / np.linalg.norm(features, axis=-1, keepdims=True), np.float32)


def fold_rows(photos: Photos, *, tune: bool, seed: int) -> NDArray[np.int64]:
    """Rows of the blocks of one of the two folds."""
    blocks = np.random.default_rng(seed).permutation(np.unique(photos.block))
    half = blocks[: len(blocks) // 2] if tune else blocks[len(blocks) // 2 :]
    return np.flatnonzero(np.isin(photos.block, half))


def queries(photos: Photos, rows: NDArray[np.int64], setting: str, seed: int) -> Iterator[Query]:
    """The questions of a setting; `noise` asks with shuffled features, which show no place."""
    generator = np.random.default_rng(seed)
    if setting == "held_out_blocks":
        for place in np.unique(photos.place[rows]):
            views = np.flatnonzero(photos.place == place)
            fused = unit_rows(photos.features[views].mean(axis=0))
            hidden = photos.block == photos.block[views[0]]
            yield Query(fused, truth_of(photos, views[0]), int(place), hidden)
        return
    for row in rows:
        features = photos.features[row]
        hidden = np.arange(len(photos.lat)) == row
        if setting == "noise":
            features = generator.permutation(features)
        if setting == "near_copy":
            change = np.exp(COPY_NOISE * generator.normal(size=features.shape))
            features, hidden = (
                unit_rows(features * change.astype(np.float32)),
                np.zeros_like(hidden),
            )
        yield Query(features, truth_of(photos, row), int(photos.place[row]), hidden)


def truth_of(photos: Photos, row: np.int64) -> Coordinate:
    """The label of a row."""
    return Coordinate(float(photos.lat[row]), float(photos.lon[row]))


def answer(
    photos: Photos, asked: Sequence[Query], settings: LocatorSettings, background: float | None
) -> list[Prediction]:
    """Predictions of the locator, each from a gallery without the rows its query may not find."""
    return [
        Locator(
            source_without(photos, query.hidden),
            lambda coordinate: "",
            encoder="features",
            settings=settings,
            background=background,
        ).locate(query.features, image=str(query.place))
        for query in asked
    ]


def source_without(photos: Photos, hidden: NDArray[np.bool_]) -> NeighborSource:
    """Exact nearest neighbours among the photos that are not hidden."""

    def neighbors(query: NDArray[np.float32], limit: int) -> list[Neighbor]:
        scores = np.where(hidden, -np.inf, photos.features @ query)
        nearest = np.argpartition(-scores, limit)[:limit]
        return [Neighbor(photos.facts[row], float(scores[row])) for row in nearest]

    return neighbors


def measure(
    asked: Sequence[Query], predictions: Sequence[Prediction], seed: int
) -> dict[str, object]:
    """Accuracy, coverage and abstention; each figure as [value, low, high] at 95 %, by place."""
    answered = [
        (query, prediction.best)
        for query, prediction in zip(asked, predictions, strict=True)
        if prediction.best is not None
    ]
    silent = [float(prediction.best is None) for prediction in predictions]
    row: dict[str, object] = {
        "queries": len(asked),
        "places": len({query.place for query in asked}),
        "abstained_percent": interval(np.array(silent), [query.place for query in asked], seed),
    }
    if not answered:
        return row
    places = [query.place for query, _ in answered]
    error_km = np.array([query.truth.distance_km(best.coordinate) for query, best in answered])
    for band in BANDS_KM:
        row[f"within_{band:g}_km"] = interval(error_km <= band, places, seed)
    for level in (50, 90):
        radius_km = np.array([best.radius_km[level] for _, best in answered])
        row[f"coverage_{level}"] = interval(error_km <= radius_km, places, seed)
        row[f"median_radius_km_{level}"] = round(float(np.median(radius_km)), 1)
    row["median_error_km"] = interval(error_km, places, seed, median=True)
    return row


def gains(
    asked: Sequence[Query],
    predictions: Sequence[Prediction],
    baseline: Sequence[Prediction],
    seed: int,
) -> dict[str, object]:
    """Percentage points above the baseline on the same queries; no answer counts as a miss."""
    places = [query.place for query in asked]
    return {
        f"gain_{band:g}_km": interval(
            hits(asked, predictions, band) - hits(asked, baseline, band), places, seed
        )
        for band in BANDS_KM
    }


def hits(
    asked: Sequence[Query], predictions: Sequence[Prediction], band_km: float
) -> NDArray[np.float64]:
    """1 for each answer within a distance of the truth, 0 for the rest."""
    return np.array(
        [
            prediction.best is not None
            and query.truth.distance_km(prediction.best.coordinate) <= band_km
            for query, prediction in zip(asked, predictions, strict=True)
        ],
        dtype=np.float64,
    )


def interval(
    values: NDArray[np.bool_] | NDArray[np.float64],
    places: Sequence[int],
    seed: int,
    *,
    median: bool = False,
) -> list[float]:
    """Mean in percent, or median, of `values` (n,), with a bootstrap interval by place."""
    order = np.argsort(values, kind="stable")
    ranked = np.asarray(values, dtype=np.float64)[order]
    _, place = np.unique(np.asarray(places)[order], return_inverse=True)
    n_places = int(place.max()) + 1
    generator = np.random.default_rng(seed)
    figures = []
    for resample in range(RESAMPLES + 1):
        drawn = (
            np.ones(n_places)
            if resample == 0
            else np.bincount(generator.integers(0, n_places, n_places), minlength=n_places)
        )
        weight = drawn[place]
        if median:
            mass = np.cumsum(weight)
            figures.append(float(ranked[np.searchsorted(mass, mass[-1] / 2.0)]))
        else:
            figures.append(100.0 * float(ranked @ weight / weight.sum()))
    low, high = np.quantile(figures[1:], [0.025, 0.975])
    return [round(figures[0], 1), round(float(low), 1), round(float(high), 1)]


@dataclass(frozen=True)
class Variant:
    """One way to answer; `with_background` lets a query fail that resembles nothing."""

    name: str
    settings: LocatorSettings
    with_background: bool = False


def variants() -> Iterator[Variant]:
    """The baseline and the defaults: answering always, and free to abstain."""
    always = LocatorSettings(max_spread_km=None)
    yield Variant("nearest_photo", replace(always, neighbors=1))
    yield Variant("locator", always)
    yield Variant("locator_may_abstain", LocatorSettings(), with_background=True)


def knobs(setting: str) -> Iterator[Variant]:
    """One knob at a time round the defaults."""
    default = LocatorSettings()
    for spread in (2000.0, 4000.0, 6000.0, 8000.0, 9000.0):
        yield Variant(f"max_spread_km={spread:g}", replace(default, max_spread_km=spread))
    yield Variant("background", replace(default, max_spread_km=None), with_background=True)
    if setting == "noise":
        return
    always = replace(default, max_spread_km=None)
    for count in (20, 50, 100, 400):
        yield Variant(f"neighbors={count}", replace(always, neighbors=count))
    density = default.density
    changes: list[tuple[str, DensitySettings]] = [
        (f"temperature={value}", replace(density, temperature=value))
        for value in (0.05, 0.08, 0.15, 0.2, 0.4)
    ]
    changes += [
        (f"bandwidths_km={value}", replace(density, bandwidths_km=value))
        for value in ((1.0,), (25.0,), (200.0,), (1.0, 25.0, 200.0))
    ]
    changes += [(f"burst_cap={value:g}", replace(density, burst_cap=value)) for value in (1.0, 1e9)]
    for name, changed in changes:
        yield Variant(name, replace(always, density=changed))


def main() -> None:
    """Run the comparison and print its rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("features", type=Path, help="an .npz of image features with labels")
    parser.add_argument("--dataset", default="streets")
    parser.add_argument("--tune", action="store_true", help="vary the knobs on the tuning fold")
    parser.add_argument("--seed", type=int, default=0, help="of folds, noise and resampling")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parser.parse_args()

    photos = load(options.features, options.dataset)
    rows_asked = fold_rows(photos, tune=options.tune, seed=options.seed)
    background = background_score(photos.features, photos.lat, photos.lon, seed=options.seed)
    rows: list[dict[str, object]] = []
    for setting in SETTINGS:
        asked = list(queries(photos, rows_asked, setting, options.seed))
        if options.tune and setting != "held_out_blocks":
            asked = asked[::TUNE_EVERY]
        baseline: list[Prediction] = []
        for variant in (*variants(), *(knobs(setting) if options.tune else ())):
            floor = background if variant.with_background else None
            predictions = answer(photos, asked, variant.settings, floor)
            baseline = baseline or predictions  # the first variant
            found = measure(asked, predictions, options.seed)
            found |= gains(asked, predictions, baseline, options.seed)
            rows.append({"setting": setting, "method": variant.name, **found})
            sys.stderr.write(f"{setting} {variant.name} {json.dumps(found)}\n")
    document = {
        "dataset": options.dataset,
        "fold": "tune" if options.tune else "report",
        "seed": options.seed,
        "background_score": background,
        "rows": rows,
    }
    indent = None if options.json else 2
    sys.stdout.write(json.dumps(document, indent=indent) + "\n")


if __name__ == "__main__":
    main()
