"""Measure locating with a trained re-ranker against what needs no training, on features.

Blocks of one degree are dealt out by seed: one half trains the re-ranker (metric, coefficients,
calibration), the other half is asked and never trained on. Each photo is asked twice: `known`, the
other views of its place may be found; `unknown`, nothing of its block may be. Methods: the place of
the nearest photo; the mode of the neighbours' density, which is the rule without training; the
nearest photo under the learned metric; the re-ranker. Intervals are bootstrapped by place. Of
postcards whose landmark stands in other cities, too (twins), it is told how often the right city
was answered and how often a look-alike.

    python benchmarks/localization.py FEATURES.npz [--seeds 0,1,2] [--json]
    python benchmarks/localization.py --postcards    # drawn, embedded by `lite`; a city is a place
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geosearch.evaluation.datasets import Query
from geosearch.evaluation.features import FeatureSet, load_features
from geosearch.evaluation.metrics import BANDS_KM, Estimate, GroupBootstrap
from geosearch.evaluation.twins import twin_shares
from geosearch.geo import Coordinate, haversine_km
from geosearch.localization.candidates import DensitySettings, find_places, neighbor_weights
from geosearch.localization.pool import FUSED, LEARNED
from geosearch.localization.questions import Questions, TrainingGallery, ask
from geosearch.localization.ranking import FEATURES
from geosearch.localization.reranker import Reranker
from geosearch.localization.reranker_training import chosen_places, train_reranker
from geosearch.records import PhotoFact, photo_id
from geosearch.splits import block_folds, blocks

NEAREST, DENSITY, METRIC, RERANKER = (
    "nearest photo", "density mode (rule)", "nearest under the metric", "re-ranker",
)  # fmt: skip
LEVELS = (50, 90)
VIEWS = 8
"""Labelled postcards of each city."""


LookAlikes = tuple[tuple[Coordinate, ...], ...]
"""For each photo the other cities in which the landmark in view stands, too."""


def postcards() -> FeatureSet:
    """The labelled postcards of this package as features of `lite`."""
    from geosearch.encoder.embedder import load_embedder
    from geosearch.encoder.fusion import block_of, normalize
    from geosearch.metadata import read_metadata
    from geosearch.postcards import write_postcards

    embedder = load_embedder("lite")
    with tempfile.TemporaryDirectory(prefix="geosearch-bench-") as scratch:
        written = write_postcards(Path(scratch), views_per_city=VIEWS, seed=0)
        files = [path.read_bytes() for path in written.labelled]
        fused = np.stack([embedder.embed(data) for data in files])
    labels = [label for data in files if (label := read_metadata(data).label) is not None]
    if len(labels) != len(files):
        raise SystemExit("a postcard has no label")
    return FeatureSet(
        name="postcards",
        image_features=normalize(block_of(fused, "visual")),
        lat=np.array([label.coordinate.lat for label in labels]),
        lon=np.array([label.coordinate.lon for label in labels]),
        place=np.array([path.stem.rsplit("-", 1)[0] for path in written.labelled]),
    )


def look_alikes_of(postcards: FeatureSet) -> LookAlikes:
    """Where else the landmark of each postcard stands, by the plan of the nearest postcard."""
    from geosearch.postcards import CITIES, plan_shot

    shots = [(city, plan_shot(city, view, seed=0)) for city in CITIES for view in range(VIEWS)]
    lat, lon = (
        np.array(some)
        for some in zip(*[(s.coordinate.lat, s.coordinate.lon) for _, s in shots], strict=True)
    )
    found = []
    for at_lat, at_lon in zip(postcards.lat, postcards.lon, strict=True):
        # Tags round coordinates by some centimetres.
        own, shot = shots[int(haversine_km(at_lat, at_lon, lat, lon).argmin())]
        others = [c for c in CITIES if c is not own and shot.landmark in c.landmarks]
        found.append(tuple(city.center for city in others))
    return tuple(found)


def gallery_of(features: FeatureSet, rows: NDArray[np.int64]) -> TrainingGallery:
    """Rows of a feature set as a gallery to train on or to ask of."""
    facts = tuple(
        PhotoFact(
            id=photo_id(f"{features.name}:{row}"),
            path=str(row),
            coordinate=Coordinate(float(features.lat[row]), float(features.lon[row])),
            place=str(features.place[row]),
            author=None if features.author is None else str(features.author[row]) or None,
            **dict.fromkeys(("country", "captured_at", "dataset", "license", "caption")),
        )
        for row in rows.tolist()
    )
    return TrainingGallery(
        features.image_features[rows],
        None,
        facts,
        blocks(features.lat[rows], features.lon[rows], 1.0),
    )


def density_modes(gallery: TrainingGallery, found: Questions) -> NDArray[np.float64]:
    """Modes (q, 2) of the density of the 200 nearest photos, as latitude and longitude."""
    lat = np.array([one.coordinate.lat for one in gallery.photos if one.coordinate is not None])
    lon = np.array([one.coordinate.lon for one in gallery.photos if one.coordinate is not None])
    settings, modes = DensitySettings(max_places=1), []
    for row, is_known in zip(found.row.tolist(), found.is_known.tolist(), strict=True):
        hidden = gallery.block == gallery.block[row]
        if is_known:
            hidden = np.arange(len(lat)) == row
        scores = np.where(hidden, -np.inf, gallery.vectors @ gallery.vectors[row])
        count = min(200, int((~hidden).sum()))
        near = np.argpartition(-scores, count - 1)[:count]
        weights = neighbor_weights(lat[near], lon[near], scores[near], settings)
        best = find_places(lat[near], lon[near], weights, settings)[0].coordinate
        modes.append((best.lat, best.lon))
    return np.array(modes)


def answers_of(reranker: Reranker, found: Questions) -> dict[str, NDArray[np.int64]]:
    """Rows (q,) of the places that the methods answer with which choose from the pool."""
    first = {}
    for name, channel in ((NEAREST, FUSED), (METRIC, LEARNED)):
        column = FEATURES.index(f"{channel}_log_rank")
        order = np.lexsort((found.features[:, column], found.question))
        _, at = np.unique(found.question[order], return_index=True)
        first[name] = order[at]
    return first | {RERANKER: chosen_places(reranker, found)}


def errors_of(reranker: Reranker, found: Questions) -> dict[str, NDArray[np.float64]]:
    """Errors (q,) of the methods that choose from the pool."""
    return {name: found.error_km[rows] for name, rows in answers_of(reranker, found).items()}


def twins(
    queries: list[Query], answers: NDArray[np.float64], groups: NDArray[np.str_], seed: int
) -> dict[str, Any]:
    """Shares of answers (q, 2) for the right city and for look-alikes, of photos that have some."""
    rows = [row for row, query in enumerate(queries) if query.look_alikes]
    given = [Coordinate(float(lat), float(lon)) for lat, lon in answers[rows]]
    shares = twin_shares(
        [queries[row] for row in rows], given, GroupBootstrap(groups[rows], seed=seed)
    )
    return {
        "queries": shares.queries,
        "right": _figures(shares.right_percent),
        "look_alike": _figures(shares.look_alike_percent),
        "elsewhere": _figures(shares.elsewhere_percent),
        "by_lot": round(shares.chance_percent, 1),
    }


def radii(reranker: Reranker, found: Questions, level: int) -> NDArray[np.float64]:
    """Stated radii (q,) of the re-ranker's answers."""
    probabilities = reranker.probabilities(found.features[chosen_places(reranker, found)])
    return np.array([reranker.radius_km(row, level) for row in probabilities], dtype=np.float64)


def measure(features: FeatureSet, look_alikes: LookAlikes, seed: int) -> list[dict[str, Any]]:
    """Rows of one seed: accuracy of each method, coverage and calibration of the re-ranker."""
    half = block_folds(features.lat, features.lon, 1.0, places=features.place, folds=2, seed=seed)
    reranker = train_reranker(
        gallery_of(features, np.flatnonzero(half == 0)),
        encoder="features",
        seed=seed,
        progress=_said(f"seed {seed}: training"),
    )
    everything = gallery_of(features, np.arange(len(features)))
    rows = np.flatnonzero(half == 1)
    found = ask(everything, rows, reranker.metric, progress=_said(f"seed {seed}: asking"))
    answers = {name: found.place[rows] for name, rows in answers_of(reranker, found).items()}
    answers[DENSITY] = density_modes(everything, found)
    lat, lon = features.lat[found.row], features.lon[found.row]
    errors = {name: haversine_km(lat, lon, at[:, 0], at[:, 1]) for name, at in answers.items()}
    table: list[dict[str, Any]] = []
    for is_known in (True, False):
        kind = found.is_known == is_known
        places = features.place[found.row[kind]]
        bootstrap = GroupBootstrap(places, seed=seed)
        common = {"seed": seed, "gallery": "known" if is_known else "unknown"}
        for method in (NEAREST, DENSITY, METRIC, RERANKER):
            error = errors[method][kind]
            within = bootstrap.means(np.stack([100.0 * (error <= b) for b in BANDS_KM], axis=-1))
            row: dict[str, Any] = {**common, "method": method, "questions": int(kind.sum())}
            row |= {f"within_{b:g}_km": _figures(w) for b, w in zip(BANDS_KM, within, strict=True)}
            near = 100.0 * (errors[NEAREST][kind] <= 25.0)
            if near.any():  # without a hit of the nearest photo there is no ratio to it
                row["ratio_25_km"] = _figures(bootstrap.ratio(100.0 * (error <= 25.0), near))
            if look_alikes:
                queries = [
                    Query(
                        id=str(at),
                        coordinate=Coordinate(float(features.lat[at]), float(features.lon[at])),
                        look_alikes=look_alikes[at],
                    )
                    for at in found.row[kind].tolist()
                ]
                row["twins"] = twins(queries, answers[method][kind], places, seed)
            table.append(row)
        table[-1]["blocks"] = reranker.about["blocks"]
        if reranker.conformal is None:  # too few blocks: it states no probability and no radius
            continue
        error = errors[RERANKER][kind]
        for level in LEVELS:
            radius = radii(reranker, found, level)[kind]
            table[-1][f"coverage_{level}"] = _figures(bootstrap.mean(100.0 * (error <= radius)))
            table[-1][f"median_radius_km_{level}"] = round(float(np.median(radius)), 1)
        chosen = reranker.probabilities(found.features[chosen_places(reranker, found)])[kind]
        table[-1]["mean_probability"] = {
            f"{band:g}": round(100.0 * float(chosen[:, at].mean()), 1)
            for at, band in enumerate(BANDS_KM)
        }
    return table


def _figures(estimate: Estimate) -> list[float]:
    digits = 2 if estimate.value < 10.0 else 1
    return [round(one, digits) for one in (estimate.value, estimate.low, estimate.high)]


def _said(what: str) -> Any:
    def say(done: int, total: int) -> None:
        if done % 500 == 0 or done == total:
            sys.stderr.write(f"{what} {done}/{total}\n")

    return say


def main() -> None:
    """Run the comparison and print its rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "features", type=Path, nargs="?", help="an .npz of image features with labels"
    )
    parser.add_argument("--postcards", action="store_true", help="instead of a file of features")
    parser.add_argument("--dataset", default="streets")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parser.parse_args()
    if options.postcards == (options.features is not None):
        parser.error("give either FEATURES.npz or --postcards")
    look_alikes: LookAlikes = ()
    if options.postcards:
        features = postcards()
        look_alikes = look_alikes_of(features)
    else:
        features = load_features(options.features, dataset=options.dataset)
    rows = [
        row
        for seed in options.seeds.split(",")
        for row in measure(features, look_alikes, int(seed))
    ]
    if options.json:
        sys.stdout.write(json.dumps({"dataset": features.name, "rows": rows}) + "\n")
        return
    for row in rows:
        sys.stdout.write("  ".join(f"{key}={value}" for key, value in row.items()) + "\n")


if __name__ == "__main__":
    main()
