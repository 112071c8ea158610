"""Rows about being right, where the peer is a method of saying where a photo was taken.

Photos are cut into blocks of one degree, dealt out by seed: one half trains what learns, the other
is asked and never trained on. `known`: the other views of a photo's place may be found; `unknown`:
nothing of its block. All methods are asked the same photos; intervals are bootstrapped by place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from localization import RERANKER, errors_of, gallery_of, postcards
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN
from torch import nn

from geosearch.encoder import geoclip
from geosearch.encoder.location import LocationEncoder
from geosearch.evaluation.features import FeatureSet, load_features
from geosearch.evaluation.metrics import BANDS_KM, GroupBootstrap
from geosearch.geo import EARTH_RADIUS_KM, coordinate_of, haversine_km, unit_vectors
from geosearch.localization.questions import Questions, TrainingGallery, ask
from geosearch.localization.reranker_training import train_reranker
from geosearch.splits import block_folds
from peers.contest import Contest

TOP, CLUSTERED, GEOCLIP = "top-1 neighbour", "DBSCAN centre (50 km, 2)", "GeoCLIP's gallery"
NEIGHBORS = 50
SEED = 0


def streets(contest: Contest) -> dict[str, Any]:
    """Street views of the features that are given."""
    if contest.features is None:
        raise FileNotFoundError("give --features NPZ for the row about real photos")
    features = load_features(contest.features, dataset="streets")
    if contest.scale < 1.0:
        features = _thinned(features, contest.scale)
    return _row(contest, features, "street views")


def drawn(contest: Contest) -> dict[str, Any]:
    """The labelled postcards of the package; a city is a place."""
    return _row(contest, postcards(), "postcards, drawn")


def _row(contest: Contest, features: FeatureSet, what: str) -> dict[str, Any]:
    half = block_folds(features.lat, features.lon, 1.0, places=features.place, folds=2, seed=SEED)
    trained, asked = np.flatnonzero(half == 0), np.flatnonzero(half == 1)
    contest.say(f"  training on {len(trained)} photos")
    reranker = train_reranker(gallery_of(features, trained), encoder="features", seed=SEED)
    everything = gallery_of(features, np.arange(len(features)))
    found = ask(everything, asked, reranker.metric)
    errors = errors_of(reranker, found)
    named = {
        "GeoSearch, re-ranker": errors[RERANKER],
        TOP: top_errors(everything, found),
        CLUSTERED: clustered_errors(everything, found),
        GEOCLIP: gallery_errors(features, trained, found.row),
    }
    lines = []
    for is_known in (True, False):
        kind = found.is_known == is_known
        bootstrap = GroupBootstrap(features.place[found.row[kind]], seed=SEED)
        for name, error_km in named.items():
            within = bootstrap.means(
                np.stack([100.0 * (error_km[kind] <= band) for band in BANDS_KM], axis=-1)
            )
            median = bootstrap.quantiles(error_km[kind], [0.5])[0]
            near = {"headline": f"{within[1].value:.1f} % within 25 km (known)"} if is_known else {}
            lines.append(
                {
                    **near,
                    "contender": name,
                    "gallery": "known" if is_known else "unknown",
                    **{
                        f"within_{band:g}_km": [one.value, one.low, one.high]
                        for band, one in zip(BANDS_KM, within, strict=True)
                    },
                    "unit": "km", "median": median.value, "low": median.low, "high": median.high,
                }
            )  # fmt: skip
    return {
        "title": f"where {len(asked):,} {what} were taken, one photo at a time",
        "sizes": {"trained on": len(trained), "asked": len(asked)},
        "lines": lines,
        "aims": [],
        "versions": {},
    }


def top_errors(gallery: TrainingGallery, found: Questions) -> NDArray[np.float64]:
    """Errors (questions,) in km of the place of the nearest photo."""
    answers = [near[0] for near in _neighbors(gallery, found, 1)]
    return _errors(gallery, found.row, np.array(answers))


def clustered_errors(gallery: TrainingGallery, found: Questions) -> NDArray[np.float64]:
    """Errors (questions,) in km of the centre of the largest cluster among the nearest photos."""
    answers = [dbscan_center(near) for near in _neighbors(gallery, found, NEIGHBORS)]
    return _errors(gallery, found.row, np.array(answers))


def dbscan_center(
    lat_lon: NDArray[np.float64], *, eps_km: float = 50.0, least: int = 2
) -> NDArray[np.float64]:
    """Centre (2,) in degrees of the largest cluster of (n, 2); the first place where there is none.

    Of equally large clusters the one that holds the earliest row, the nearest photo, counts.
    """
    labels = DBSCAN(
        eps=eps_km / EARTH_RADIUS_KM, min_samples=least, metric="haversine"
    ).fit_predict(np.radians(lat_lon))
    names, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    order = sorted(zip(-sizes, first, names, strict=True))
    chosen = next((name for _, _, name in order if name >= 0), None)
    if chosen is None:
        first_place: NDArray[np.float64] = lat_lon[0]
        return first_place
    center = coordinate_of(unit_vectors(*lat_lon[labels == chosen].T).mean(axis=0))
    return np.array([center.lat, center.lon])


def gallery_errors(
    features: FeatureSet, trained: NDArray[np.int64], asked: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Errors (asked,) in km of GeoCLIP's way: an MLP into its location space, its 100,000 places.

    The location encoder is GeoCLIP's own and frozen; the MLP has the shape of its image MLP and is
    trained contrastively on the same half as the others, and stopped by a tenth of its blocks.
    """
    torch.manual_seed(SEED)
    places = geoclip.gallery()
    encoder = LocationEncoder.from_geoclip().eval()  # untrained by us it equals GeoCLIP's

    def located(lat_lon: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return nn.functional.normalize(encoder(lat_lon), dim=1)

    images = torch.from_numpy(features.image_features)
    truth = located(torch.from_numpy(np.stack([features.lat, features.lon], axis=1)).float())
    fold = block_folds(
        features.lat[trained], features.lon[trained], 1.0, places=features.place[trained],
        folds=10, seed=SEED,
    )  # fmt: skip
    mlp = nn.Sequential(nn.Linear(images.shape[1], 768), nn.ReLU(), nn.Linear(768, truth.shape[1]))
    _train(mlp, images, truth, trained[fold != 0], trained[fold == 0])
    candidates = located(places)
    answers = np.empty((len(asked), 2))
    with torch.no_grad():
        for start in range(0, len(asked), 256):
            rows = asked[start : start + 256]
            best = (nn.functional.normalize(mlp(images[rows]), dim=1) @ candidates.T).argmax(dim=1)
            answers[start : start + 256] = places[best].numpy()
    return np.asarray(
        haversine_km(features.lat[asked], features.lon[asked], answers[:, 0], answers[:, 1])
    )


def _train(
    mlp: nn.Module,
    images: torch.Tensor,
    truth: torch.Tensor,
    rows: NDArray[np.int64],
    held_out: NDArray[np.int64],
) -> None:
    """Contrastively, batches of 256, until the loss on what is held out stops falling."""
    optimizer = torch.optim.AdamW(mlp.parameters(), lr=3e-4, weight_decay=1e-3)
    generator = torch.Generator().manual_seed(SEED)

    def loss(some: NDArray[np.int64]) -> torch.Tensor:
        logits = nn.functional.normalize(mlp(images[some]), dim=1) @ truth[some].T / 0.07
        wanted = torch.arange(len(some))
        both = (
            nn.functional.cross_entropy(logits, wanted),
            nn.functional.cross_entropy(logits.T, wanted),
        )
        return (both[0] + both[1]) / 2.0

    best, kept, patience = float("inf"), None, 0
    for _ in range(100):
        mlp.train()
        order = torch.randperm(len(rows), generator=generator).numpy()
        for start in range(0, len(rows), 256):
            optimizer.zero_grad()
            step = loss(rows[order[start : start + 256]])
            step.backward()  # type: ignore[no-untyped-call]  # torch gives it no types
            optimizer.step()
        mlp.eval()
        with torch.no_grad():
            now = float(loss(held_out))
        if now < best:
            best, patience = now, 0
            kept = {name: value.clone() for name, value in mlp.state_dict().items()}
        elif (patience := patience + 1) == 5:
            break
    if kept is not None:
        mlp.load_state_dict(kept)


def _neighbors(gallery: TrainingGallery, found: Questions, k: int) -> list[NDArray[np.float64]]:
    """Places (k, 2) in degrees of the nearest photos that each question may find, best first."""
    lat_lon = _places(gallery)
    near = []
    for row, is_known in zip(found.row.tolist(), found.is_known.tolist(), strict=True):
        hidden = gallery.block == gallery.block[row]
        if is_known:
            hidden = np.arange(len(lat_lon)) == row
        scores = np.where(hidden, -np.inf, gallery.vectors @ gallery.vectors[row])
        best = np.argsort(-scores, kind="stable")[: min(k, int((~hidden).sum()))]
        near.append(lat_lon[best])
    return near


def _places(gallery: TrainingGallery) -> NDArray[np.float64]:
    found = [one.coordinate for one in gallery.photos]
    return np.array([(np.nan, np.nan) if one is None else (one.lat, one.lon) for one in found])


def _errors(
    gallery: TrainingGallery, rows: NDArray[np.int64], answers: NDArray[np.float64]
) -> NDArray[np.float64]:
    truth = _places(gallery)[rows]
    return np.asarray(haversine_km(truth[:, 0], truth[:, 1], answers[:, 0], answers[:, 1]))


def _thinned(features: FeatureSet, share: float) -> FeatureSet:
    """The features of some of the places, for a trial.

    Drawn from all over: neighbouring names are neighbouring places, too few cells to deal out.
    """
    names = np.random.default_rng(SEED).permutation(np.unique(features.place))
    kept = names[: max(200, int(share * len(names)))]
    rows = np.flatnonzero(np.isin(features.place, kept))
    return FeatureSet(
        features.name,
        features.image_features[rows],
        features.lat[rows],
        features.lon[rows],
        features.place[rows],
        None if features.author is None else features.author[rows],
    )
