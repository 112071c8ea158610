"""What each part of the encoder and each term of the loss is worth, on real and on drawn photos.

Trains every variant round by round, round r with seed r on the photos outside fold r of 3, asks it
those inside, and writes the tables of docs/evaluation.md between their markers. Trials are kept in
`--work`: a second call goes on where the first one stopped, or just writes the page; several calls
at once share the work.

    python benchmarks/encoder_ablation.py FEATURES.npz [--work DIR] [--only PART] [--rounds N]

FEATURES.npz holds `image_features` of GEOSEARCH_ENCODER=lite, `lat`, `lon`, `place`, `dataset`.
"""

from __future__ import annotations

import argparse
import fcntl
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from geosearch.encoder import geoclip
from geosearch.encoder.checkpoints import backbone_identity
from geosearch.encoder.embedder import Embedder, load_embedder
from geosearch.encoder.features import FeatureSet
from geosearch.encoder.location import LocationConfig, LocationEncoder, geoclip_anchors
from geosearch.encoder.losses import LossWeights
from geosearch.encoder.provenance import git_commit, versions
from geosearch.encoder.recipe import TrainingConfig
from geosearch.evaluation.ablation import FUSED, FUSED_AND_GPS, GPS_DENSITY, Task, Variant
from geosearch.evaluation.ablation_report import RAW, RESAMPLES, report_part
from geosearch.evaluation.datasets import Query
from geosearch.evaluation.drawn import DrawnPhotos, drawn_features
from geosearch.evaluation.harness import REFERENCE
from geosearch.evaluation.methods import CONSTANT
from geosearch.evaluation.trials import Part, Trials
from geosearch.geo import Coordinate
from geosearch.ingest.training_data import TrainingData
from geosearch.places import Gazetteer
from geosearch.postcards import CITIES
from geosearch.splits import block_folds, place_folds

FOLDS = 3
BLOCKS_DEG = 1.0
GALLERY = 25_000
VIEWS = 48
ONE_CITY_KM = 25.0
POSTCARD_EPOCHS = 20
PARTS = ("streets", "sweep", "tuned", "twins", "unseen")
ROUNDS = {"streets": 9, "sweep": 3, "tuned": 3, "twins": 3, "unseen": 3}

IMAGE_LOCATION = LossWeights(image_text=0.0, text_location=0.0, triplet=0.0)
MLP_SHAPE = LocationConfig(layers=0, neighbors=0)
SCALES_SHAPE = LocationConfig(neighbors=0)
FULL_SHAPE = LocationConfig()

MLP = "MLP encoder (GeoCLIP's)"
SCALES = "+ Transformer across scales"
ATTENTION = "+ location attention"
WITH_IMAGE_TEXT = "+ attention, with image–text"
WITH_TEXT_LOCATION = "+ attention, with text–location"
WITH_TRIPLET = "+ attention, with triplet"
ALL_TERMS = "+ attention, all four terms"
MLP_ALL_TERMS = "MLP encoder, all four terms"
MLP_AGAIN = "MLP encoder, other seeds"
ATTENTION_AGAIN = "+ attention, other seeds"
TUNED = "MLP, scales trained too"
TUNED_ATTENTION = "+ attention, scales trained too"


def recipe(**changes: object) -> TrainingConfig:
    """The training of every variant; `changes` are fields of it."""
    config = TrainingConfig(
        epochs=12,
        patience=12,
        batch_size=256,
        learning_rate=1e-3,
        location_learning_rate=1e-4,
        weight_decay=0.05,
        validation_share=0.2,
        blocks_deg=BLOCKS_DEG,
        feature_noise=0.5,
        feature_dropout=0.3,
        weights=IMAGE_LOCATION,
        freeze_scales=True,
        device="cpu",
    )
    return replace(config, **changes)  # type: ignore[arg-type]  # fields by name


def ablation_variants(base: TrainingConfig) -> tuple[Variant, ...]:
    """The steps of the main table: one thing is added at a time."""

    def terms(**weights: float) -> TrainingConfig:
        return replace(base, weights=replace(base.weights, **weights))

    everything = terms(image_text=1.0, text_location=1.0, triplet=0.5)
    return (
        Variant(MLP, MLP_SHAPE, base),
        Variant(SCALES, SCALES_SHAPE, base),
        Variant(ATTENTION, FULL_SHAPE, base),
        Variant(WITH_IMAGE_TEXT, FULL_SHAPE, terms(image_text=1.0)),
        Variant(WITH_TEXT_LOCATION, FULL_SHAPE, terms(text_location=1.0)),
        Variant(WITH_TRIPLET, FULL_SHAPE, terms(triplet=0.5)),
        Variant(ALL_TERMS, FULL_SHAPE, everything, with_neighbors=True),
        Variant(MLP_ALL_TERMS, MLP_SHAPE, everything),
    )


PAIRS = (
    (MLP, CONSTANT),
    (MLP, REFERENCE),
    (SCALES, MLP),
    (ATTENTION, SCALES),
    (ATTENTION, MLP),
    (WITH_IMAGE_TEXT, ATTENTION),
    (WITH_TEXT_LOCATION, ATTENTION),
    (WITH_TRIPLET, ATTENTION),
    (ALL_TERMS, ATTENTION),
    (ALL_TERMS, MLP_ALL_TERMS),
    (FUSED, RAW),
    (GPS_DENSITY, ALL_TERMS),
    (FUSED_AND_GPS, FUSED),
    (FUSED_AND_GPS, GPS_DENSITY),
)


def sweep_variants(base: TrainingConfig) -> tuple[Variant, ...]:
    """One knob of location attention at a time, from the variant with image–location alone."""

    def near(km: float) -> TrainingConfig:
        return replace(base, weights=replace(base.weights, same_place_km=km))

    full = Variant(ATTENTION, FULL_SHAPE, base)
    return (
        Variant(MLP, MLP_SHAPE, base),
        full,
        replace(full, name="λ begins near 0", decay=0.01),
        replace(full, name="λ begins 4 times as steep", decay=4.0),
        replace(full, name="k = 4", location=replace(FULL_SHAPE, neighbors=4)),
        replace(full, name="k = 64", location=replace(FULL_SHAPE, neighbors=64)),
        replace(full, name="500 anchors", location=replace(FULL_SHAPE, anchors=500)),
        replace(full, name="10,000 anchors", location=replace(FULL_SHAPE, anchors=10_000)),
        replace(full, name="no negatives within 25 km", training=near(25.0)),
        replace(full, name="no negatives within 200 km", training=near(200.0)),
        replace(full, name="batches of 64", training=replace(base, batch_size=64)),
        replace(full, name="attention alone", location=replace(FULL_SHAPE, layers=0)),
        replace(full, name="dropout 0.3 in the new parts",
                location=replace(FULL_SHAPE, dropout=0.3)),
        replace(full, name="ten times the rate for the new parts",
                training=replace(base, location_learning_rate=1e-3)),
        replace(full, name="a tenth of the rate for the new parts",
                training=replace(base, location_learning_rate=1e-5)),
        # What two trainings of one thing differ by.
        Variant(MLP_AGAIN, MLP_SHAPE, replace(base, seed=100)),
        replace(full, name=ATTENTION_AGAIN, training=replace(base, seed=100)),
    )  # fmt: skip


def tuned_variants(base: TrainingConfig) -> tuple[Variant, ...]:
    """The scale MLPs trained too: four times the parameters."""
    trained = replace(base, freeze_scales=False, bf16=True)
    return (
        Variant(MLP, MLP_SHAPE, base),
        Variant(TUNED, MLP_SHAPE, trained),
        Variant(TUNED_ATTENTION, FULL_SHAPE, trained),
    )  # fmt: skip


def streets_task(features: FeatureSet, gallery: NDArray[np.float32]) -> Task:
    """Views of a place fused into one query; folds of whole cells."""
    places = np.array(features.place)
    fold = block_folds(features.lat, features.lon, BLOCKS_DEG, places=places, folds=FOLDS, seed=0)
    views: dict[str, list[int]] = {}
    for row, place in enumerate(features.place):
        views.setdefault(place, []).append(row)
    queries = tuple(
        Query(
            place,
            Coordinate(float(features.lat[rows[0]]), float(features.lon[rows[0]])),
            rows=tuple(rows),
            place=place,
        )
        for place, rows in views.items()
    )
    return Task("streets", features, fold, queries, gallery)


def postcards_task(drawn: DrawnPhotos, *, whole_cities: bool) -> Task:
    """Each view a query; folds of single views, or of whole cities that nobody has seen."""
    features = drawn.features
    cities = np.array(features.place)
    if whole_cities:
        fold = place_folds(cities, folds=FOLDS, seed=0)
    else:
        names = tuple(f"{shot.city.name}-{shot.view}" for shot in drawn.shots)
        features = replace(features, place=names)
        fold = place_folds(np.array(names), folds=FOLDS, seed=0)
    queries = tuple(
        Query(f"{shot.city.name}-{shot.view}", shot.coordinate, rows=(row,), place=shot.city.name)
        for row, shot in enumerate(drawn.shots)
    )
    centers = np.array([(city.center.lat, city.center.lon) for city in CITIES], np.float32)
    name = "postcards, cities held out" if whole_cities else "postcards, views held out"
    return Task(name, features, fold, queries, centers)


def parts_of(options: argparse.Namespace) -> list[Part]:
    """The sections that were asked for, with their features ready."""
    wanted = options.only or PARTS
    rounds = {key: min(ROUNDS[key], options.rounds or ROUNDS[key]) for key in PARTS}
    embedder = load_embedder("lite", checkpoint=None, device="cpu")
    lookup, cache = Gazetteer().lookup, options.work / "features"
    parts: list[Part] = []
    if {"streets", "sweep", "tuned"} & set(wanted):
        gallery = geoclip.gallery().numpy()
        rows = np.random.default_rng(0).choice(len(gallery), GALLERY, replace=False)
        features = TrainingData(embedder, lookup, cache).from_npz(
            options.features, dataset=options.dataset
        )
        parts += _street_parts(streets_task(features, gallery[np.sort(rows)]), rounds)
    if {"twins", "unseen"} & set(wanted):
        parts += _postcard_parts(_postcards(embedder, lookup, cache), rounds)
    return [part for key in wanted for part in parts if part.key == key]


def _street_parts(task: Task, rounds: dict[str, int]) -> list[Part]:
    base = recipe()
    sweep = sweep_variants(base)
    return [
        Part(
            "streets", "Real street views, blocks of 1° held out", task,
            ablation_variants(base), rounds["streets"], PAIRS,
        ),
        Part(
            "sweep", "Location attention, one knob at a time", task, sweep, rounds["sweep"],
            (
                *((one.name, MLP) for one in sweep if one.name not in (MLP, ATTENTION_AGAIN)),
                (ATTENTION_AGAIN, ATTENTION),
            ),
        ),
        Part(
            "tuned", "Scale MLPs that train too", task, tuned_variants(base), rounds["tuned"],
            ((TUNED, MLP), (TUNED_ATTENTION, TUNED)),
        ),
    ]  # fmt: skip


def _postcards(embedder: Embedder, lookup: Callable[..., object], cache: Path) -> DrawnPhotos:
    return drawn_features(
        embedder,
        embedder.text_features,
        identity=backbone_identity(embedder.identity),
        cache=cache,
        lookup=lookup,  # type: ignore[arg-type]  # of the gazetteer
        views=VIEWS,
        progress=lambda done, total: _say(f"postcard {done} of {total}", done == total),
    )


def _postcard_parts(drawn: DrawnPhotos, rounds: dict[str, int]) -> list[Part]:
    # Views of one city are no negatives of each other: they differ in nothing that tells where.
    weights = replace(IMAGE_LOCATION, same_place_km=ONE_CITY_KM)
    variants = ablation_variants(
        recipe(weights=weights, blocks_deg=None, epochs=POSTCARD_EPOCHS, patience=POSTCARD_EPOCHS)
    )
    few = tuple(v for v in variants if v.name in (MLP, ATTENTION, ALL_TERMS, MLP_ALL_TERMS))
    alike = {
        f"{shot.city.name}-{shot.view}": drawn.look_alikes(row)
        for row, shot in enumerate(drawn.shots)
    }
    return [
        Part(
            "twins", "Postcards: landmarks with look-alikes, new views of known cities",
            postcards_task(drawn, whole_cities=False), variants, rounds["twins"], PAIRS, alike,
        ),
        Part(
            "unseen", "Postcards: landmarks with look-alikes, whole cities held out",
            postcards_task(drawn, whole_cities=True), few, rounds["unseen"], PAIRS, alike,
        ),
    ]  # fmt: skip


def _say(text: str, is_last: bool = False) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}{chr(10) if is_last else ''}")


def run_missing(parts: Sequence[Part], trials: Trials) -> None:
    """Run what is not kept yet and what no other process is running."""
    start, done = time.perf_counter(), 0
    for part, variant, number in list(trials.missing(parts)):
        path = trials.path(part, variant, number)
        with path.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if path.exists():
                continue
            trial = trials.run(part, variant, number)
        done += 1
        left = sum(1 for _ in trials.missing(parts))
        minutes = (time.perf_counter() - start) / done * left / 60.0
        sys.stderr.write(
            f"{left} left, {minutes:.0f} min alone: {part.key}, {variant.name}, round {number}: "
            f"validation {trial.figures['validation_geo_score']:.0f}\n"
        )


def write_page(page: Path, text: str) -> None:
    """Replace what stands between the markers of the page; the rest is written by people."""
    start, end = "<!-- measured: begin -->", "<!-- measured: end -->"
    old = page.read_text(encoding="utf-8") if page.exists() else f"{start}\n{end}\n"
    before, rest = old.split(start, 1)
    after = rest.split(end, 1)[1]
    page.write_text(f"{before}{start}\n\n{text}\n{end}{after}", encoding="utf-8")


def conditions(parts: Sequence[Part], features: Path) -> str:
    """What a reader needs to repeat it."""
    config = asdict(recipe())
    words = ", ".join(
        f"{k} {v}" for k, v in config.items() if not isinstance(v, dict) and k != "seed"
    )
    known = ", ".join(f"{name} {version}" for name, version in versions().items())
    run = "; ".join(
        f"{part.key}: {len(part.variants)} variants, {part.rounds} rounds" for part in parts
    )
    return (
        "### Conditions\n\n"
        f"- `python benchmarks/encoder_ablation.py {features.name}`; {run}\n"
        f"- commit `{git_commit()}`; {known}\n"
        f"- recipe: {words}; dropout 0.5 in heads of width 256\n"
        f"- postcards: {POSTCARD_EPOCHS} epochs; views nearer than {ONE_CITY_KM:g} km are no "
        "negatives of each other; single views, or whole cities, pick the best epoch\n"
        f"- {FOLDS} folds, dealt with seed 0; bootstrap of {RESAMPLES:,} resamples, seed 0\n"
    )


def main() -> None:
    """Run what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("features", type=Path, help="NPZ of image features of the encoder lite")
    parser.add_argument("--dataset", default="streets")
    parser.add_argument("--work", type=Path, default=Path("ablation"), help="keeps what was run")
    parser.add_argument("--page", type=Path, default=Path("docs/evaluation.md"))
    parser.add_argument("--only", action="append", choices=PARTS, help="may be given again")
    parser.add_argument("--rounds", type=int, help=f"at most so many; without it: {ROUNDS}")
    parser.add_argument("--no-page", action="store_true", help="only run what is missing")
    options = parser.parse_args()

    torch.set_num_threads(1)  # the models are small: threads would only wait for each other
    parts = parts_of(options)
    trials = Trials(
        options.work / "trials",
        anchors=lambda count: geoclip_anchors(count).numpy(),
        base=lambda: LocationEncoder.from_geoclip(MLP_SHAPE),
    )
    run_missing(parts, trials)
    if options.no_page:
        return
    if any(trials.missing(parts)):
        raise SystemExit("another process still runs some of the trials; write the page afterwards")
    images = options.page.parent / "images"
    sections = [report_part(part, trials.run).markdown(images) for part in parts]
    write_page(options.page, "\n".join([*sections, conditions(parts, options.features)]))


if __name__ == "__main__":
    main()
