"""What each part of the encoder and each term of the loss is worth, on real and on drawn photos.

Trains every variant on the photos outside a fold and asks it those inside, for each fold and each
seed, and writes the tables of docs/evaluation.md between their markers. Trials are kept in
`--work`: a second call goes on where the first one stopped, or just writes the page.

    python benchmarks/encoder_ablation.py FEATURES.npz [--seeds 3] [--only streets] [--work DIR]

FEATURES.npz holds `image_features` of GEOSEARCH_ENCODER=lite, `lat`, `lon`, `place`, `dataset`.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from geosearch.encoder import geoclip
from geosearch.encoder.embedder import Embedder, load_embedder
from geosearch.encoder.features import FeatureSet
from geosearch.encoder.location import LocationConfig, LocationEncoder, geoclip_anchors
from geosearch.encoder.losses import LossWeights
from geosearch.encoder.provenance import git_commit, versions
from geosearch.encoder.recipe import TrainingConfig
from geosearch.encoder.registry import backbone_identity
from geosearch.evaluation import features as labelled
from geosearch.evaluation.ablation import (
    FUSED,
    FUSED_AND_GPS,
    GPS,
    GPS_DENSITY,
    Task,
    Trial,
    Variant,
    coordinates,
    run_trial,
)
from geosearch.evaluation.comparison import (
    Difference,
    accuracy_table,
    difference,
    difference_table,
    repeated,
    twin_table,
)
from geosearch.evaluation.datasets import Dataset, Query
from geosearch.evaluation.drawn import DrawnPhotos, drawn_features
from geosearch.evaluation.figures import plot_differences
from geosearch.evaluation.galleries import FeatureGallery
from geosearch.evaluation.harness import REFERENCE, Answer, EvaluationReport, Method, evaluate
from geosearch.evaluation.methods import CONSTANT, LOCATOR_ALWAYS, blind_methods, gallery_methods
from geosearch.evaluation.metrics import GroupBootstrap
from geosearch.evaluation.splits import block_folds, place_folds
from geosearch.geo import Coordinate
from geosearch.ingest.training_data import TrainingData
from geosearch.places import Gazetteer
from geosearch.postcards import CITIES

TRIALS = 1
"""Part of the key of a kept trial; raised when the code changes what a trial comes to."""

FOLDS = 3
BLOCKS_DEG = 1.0
GALLERY = 25_000
VIEWS = 48
ONE_CITY_KM = 25.0
RESAMPLES = 2000
POSTCARD_SEEDS = 2
"""At most: their figures hang on the cities, and hardly on the seed."""

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
RAW = "neighbours by look, densest place"


@dataclass(frozen=True)
class Part:
    """A section of the page: a task, its variants, and what is compared with what."""

    key: str
    title: str
    task: Task
    variants: tuple[Variant, ...]
    seeds: int
    pairs: tuple[tuple[str, str], ...]
    look_alikes: Mapping[str, tuple[Coordinate, ...]] | None = None


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
    )  # fmt: skip


def tuned_variants(base: TrainingConfig) -> tuple[Variant, ...]:
    """The scale MLPs trained too: four times the parameters."""
    trained = replace(base, freeze_scales=False, bf16=True)
    return (
        Variant(MLP, MLP_SHAPE, base),
        Variant("MLP, scales trained too", MLP_SHAPE, trained),
        Variant("+ attention, scales trained too", FULL_SHAPE, trained),
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


class Trials:
    """Runs trials, keeps their answers, and finds them again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._anchors = functools.cache(lambda count: geoclip_anchors(count).numpy())
        self._bases: dict[str, LocationEncoder] = {}

    def path(self, task: Task, variant: Variant, fold: int, seed: int) -> Path:
        """Where a trial is kept: by everything that it depends on, but the variant's name."""
        return self._folder / f"{_key(task, variant, fold, seed)}.npz"

    def run(self, task: Task, variant: Variant, fold: int, seed: int) -> Trial:
        """A trial that is kept, or a new one."""
        path = self.path(task, variant, fold, seed)
        if path.exists():
            with np.load(path) as file:
                answers = {name: file[name] for name in file.files if name != "figures"}
                return Trial(answers, json.loads(str(file["figures"])))
        shared = Path("/dev/shm")  # a state of 200 MB each epoch is better not synced to a disk
        with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as scratch:
            trial = run_trial(
                task,
                variant,
                fold=fold,
                seed=seed,
                scratch=Path(scratch),
                anchors=self._anchors,
                base=self._base(task),
            )
        draft = path.with_suffix(f".{fold}{seed}.tmp.npz")
        arrays = {"figures": np.array(json.dumps(dict(trial.figures)))} | dict(trial.answers)
        np.savez(draft, **arrays)  # type: ignore[arg-type]  # numpy has one hint for all keywords
        draft.rename(path)
        return trial

    def _base(self, task: Task) -> LocationEncoder:
        """GeoCLIP's scale MLPs with their tokens of the gallery, made once for a task."""
        if task.name not in self._bases:
            base = LocationEncoder.from_geoclip(MLP_SHAPE)
            known = (task.gallery, task.features.lat_lon, self._anchors(FULL_SHAPE.anchors))
            base.freeze_scales(torch.from_numpy(np.concatenate(known)))
            self._bases[task.name] = base
        return self._bases[task.name]


def _key(task: Task, variant: Variant, fold: int, seed: int) -> str:
    settings = asdict(variant)
    del settings["name"]
    del settings["training"]["device"]
    settings |= {
        "task": task.name,
        "features": task.features.fingerprint(),
        "folds": hashlib.sha256(task.fold.tobytes() + task.gallery.tobytes()).hexdigest(),
        "fold": fold,
        "seed": seed,
        "trials": TRIALS,
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:20]


def planned(parts: Sequence[Part]) -> Iterator[tuple[Part, Variant, int, int]]:
    """Trials in the order in which they tell most: all variants of a seed before the next seed."""
    for seed in range(max(part.seeds for part in parts)):
        for part in parts:
            if seed < part.seeds:
                for fold in range(FOLDS):
                    for variant in part.variants:
                        yield part, variant, fold, seed


def report_of(part: Part, trials: Trials) -> EvaluationReport:
    """Every method of a part, asked all queries under every seed; twins alone if it has any."""
    task, chosen = part.task, _order(part.task)
    queries = [task.queries[row] for row in chosen]
    methods = list(_baselines(task, part.seeds))
    for variant in part.variants:
        per_seed = [
            [trials.run(task, variant, fold, seed) for fold in range(FOLDS)]
            for seed in range(part.seeds)
        ]
        for method in per_seed[0][0].answers:
            answers = np.concatenate(
                [trial.answers[method] for folds in per_seed for trial in folds]
            )
            name = variant.name if method == GPS else method
            methods.append(_fixed(name, coordinates(answers)))
    data = Dataset(task.name, tuple(queries))
    if part.look_alikes is not None:
        queries = [replace(q, look_alikes=part.look_alikes[q.id]) for q in queries]
        asked = [row for row, query in enumerate(queries) if query.look_alikes]
        data = Dataset(task.name, tuple(queries[row] for row in asked))
        methods = [_restricted(method, asked, len(queries), part.seeds) for method in methods]
    return evaluate(methods, repeated(data, part.seeds), resamples=RESAMPLES)


def _order(task: Task) -> list[int]:
    """Queries fold by fold, as the answers of trials come."""
    fold = [int(task.fold[query.rows[0]]) for query in task.queries]
    return sorted(range(len(fold)), key=fold.__getitem__)


def _baselines(task: Task, seeds: int) -> Iterator[Method]:
    """Constant, nearest photo by look, and the densest place among those."""
    features = labelled.FeatureSet(
        task.name,
        _normalized(np.asarray(task.features.image_features, np.float32)),
        task.features.lat,
        task.features.lon,
        np.array(task.features.place),
    )
    gallery = FeatureGallery(features, task.fold)
    queries = [task.queries[row] for row in _order(task)]
    wanted = {CONSTANT: CONSTANT, REFERENCE: REFERENCE, LOCATOR_ALWAYS: RAW}
    for method in (*blind_methods(gallery), *gallery_methods(gallery, with_oracle=False)):
        if method.name in wanted:
            yield _fixed(wanted[method.name], list(method.locate(queries)) * seeds)


def _fixed(name: str, answers: Sequence[Answer]) -> Method:
    return Method(name, lambda _: answers)


def _restricted(method: Method, rows: Sequence[int], n: int, seeds: int) -> Method:
    """The same answers, of some of the n queries of each seed."""
    answers = list(method.locate([]))
    return Method(
        method.name, lambda _: [answers[seed * n + row] for seed in range(seeds) for row in rows]
    )


def _normalized(features: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True), np.float32)


def differences(report: EvaluationReport, part: Part) -> list[Difference]:
    """The pairs of a part, paired by place and seed."""
    queries = report.methods[0].outcomes
    bootstrap = GroupBootstrap(
        [outcome.query.place for outcome in queries], resamples=RESAMPLES, seed=0
    )
    names = {method.method for method in report.methods}
    return [
        difference(report.method(one), report.method(over), bootstrap, seeds=part.seeds)
        for one, over in part.pairs
        if one in names and over in names
    ]


def section(part: Part, trials: Trials, images: Path) -> str:
    """The Markdown of a part; draws its picture."""
    report = report_of(part, trials)
    pairs = differences(report, part)
    picture = images / f"ablation-{part.key}.png"
    plot_differences(pairs, picture, title=part.title)
    task = part.task
    words = [
        f"## {part.title}\n",
        f"{report.asked // part.seeds:,} queries, each asked under {part.seeds} "
        f"{'seed' if part.seeds == 1 else 'seeds'}; intervals by {report.groups:,} "
        f"{'cities' if part.look_alikes is not None else 'places'}; "
        f"GPS gallery of {len(task.gallery):,} coordinates; "
        f"data `{task.features.fingerprint()}`.\n",
        accuracy_table(report.methods, part.seeds),
    ]
    if part.look_alikes is not None:
        words += ["Which city wins:\n", twin_table(report.methods)]
    words += [
        "Differences, paired by place and seed:\n",
        difference_table(pairs),
        f"![{part.title}](images/{picture.name})\n",
        _inside(part, trials),
    ]
    return "\n".join(words)


def _inside(part: Part, trials: Trials) -> str:
    """What the trainings say of themselves, averaged over folds and seeds."""
    names = (
        ("best_epoch", "best epoch", 1), ("train_loss", "training loss", 2),
        ("validation_loss", "validation loss", 2),
        ("validation_geo_score", "validation GeoScore", 0),
        ("transformer_share", "Transformer adds", 2), ("attention_share", "attention adds", 2),
        ("anchors_seen", "anchors heard", 1), ("decay", "λ", 2),
    )  # fmt: skip
    lines = ["| variant | " + " | ".join(name for _, name, _ in names) + " |"]
    lines.append("|---|" + "---:|" * len(names))
    for variant in part.variants:
        figures = [
            trials.run(part.task, variant, fold, seed).figures
            for seed in range(part.seeds)
            for fold in range(FOLDS)
        ]
        cells = [
            f"{np.mean([f[key] for f in figures]):,.{digits}f}" if key in figures[0] else ""
            for key, _, digits in names
        ]
        lines.append(f"| {variant.name} | " + " | ".join(cells) + " |")
    return "How the trainings went:\n\n" + "\n".join(lines) + "\n"


def write_page(page: Path, text: str) -> None:
    """Replace what stands between the markers of the page; the rest is written by people."""
    start, end = "<!-- measured: begin -->", "<!-- measured: end -->"
    old = page.read_text(encoding="utf-8") if page.exists() else f"{start}\n{end}\n"
    before, rest = old.split(start, 1)
    after = rest.split(end, 1)[1]
    page.write_text(f"{before}{start}\n\n{text}\n{end}{after}", encoding="utf-8")


def conditions(command: str) -> str:
    """What a reader needs to repeat it."""
    config = asdict(recipe())
    words = ", ".join(f"{k} {v}" for k, v in config.items() if not isinstance(v, dict))
    known = ", ".join(f"{name} {version}" for name, version in versions().items())
    return (
        "## Conditions\n\n"
        f"- `{command}`\n"
        f"- commit `{git_commit()}`; {known}\n"
        f"- recipe: {words}; dropout 0.5 in heads of width 256\n"
        f"- {FOLDS} folds, dealt with seed 0; bootstrap of {RESAMPLES:,} resamples, seed 0\n"
    )


def parts_of(options: argparse.Namespace) -> list[Part]:
    """The sections that were asked for, with their features ready."""
    embedder = load_embedder("lite", checkpoint=None, device="cpu")
    cache, lookup = options.work / "features", Gazetteer().lookup
    coordinates_100k = geoclip.gallery().numpy()
    rows = np.random.default_rng(0).choice(len(coordinates_100k), GALLERY, replace=False)
    gallery = coordinates_100k[np.sort(rows)]
    parts: list[Part] = []
    wanted = set(options.only or ("streets", "sweep", "tuned", "twins", "unseen"))
    if wanted & {"streets", "sweep", "tuned"}:
        data = TrainingData(embedder, lookup, cache)
        streets = streets_task(data.from_npz(options.features, dataset=options.dataset), gallery)
        main = Part(
            "streets", "Real street views, blocks of 1° held out", streets,
            ablation_variants(recipe()), options.seeds, PAIRS,
        )  # fmt: skip
        sweep = sweep_variants(recipe())
        tuned = tuned_variants(recipe())
        parts += [
            main,
            Part(
                "sweep", "Why: location attention, one knob at a time", streets, sweep, 1,
                tuple((v.name, MLP) for v in sweep[1:]),
            ),
            Part(
                "tuned", "Scale MLPs that train too", streets, tuned, 1,
                (
                    ("MLP, scales trained too", MLP),
                    ("+ attention, scales trained too", "MLP, scales trained too"),
                ),
            ),
        ]  # fmt: skip
    if wanted & {"twins", "unseen"}:
        drawn = _postcards(embedder, lookup, cache)
        parts += _postcard_parts(drawn, options.seeds)
    return [part for part in parts if part.key in wanted]


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


def _postcard_parts(drawn: DrawnPhotos, seeds: int) -> list[Part]:
    # Views of one city are no negatives of each other: they differ in nothing that tells where.
    weights = replace(IMAGE_LOCATION, same_place_km=ONE_CITY_KM)
    base = recipe(weights=weights, blocks_deg=None, epochs=20, patience=20)
    alike = {
        f"{shot.city.name}-{shot.view}": drawn.look_alikes(row)
        for row, shot in enumerate(drawn.shots)
    }
    seeds = min(seeds, POSTCARD_SEEDS)
    variants = ablation_variants(base)
    few = tuple(v for v in variants if v.name in (MLP, ATTENTION, ALL_TERMS, MLP_ALL_TERMS))
    return [
        Part(
            "twins", "Postcards: landmarks with look-alikes, new views of known cities",
            postcards_task(drawn, whole_cities=False), variants, seeds, PAIRS, alike,
        ),
        Part(
            "unseen", "Postcards: landmarks with look-alikes, whole cities held out",
            postcards_task(drawn, whole_cities=True), few, seeds, PAIRS, alike,
        ),
    ]  # fmt: skip


def _say(text: str, is_last: bool = False) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}{chr(10) if is_last else ''}")


def main() -> None:
    """Run what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("features", type=Path, help="NPZ of image features of the encoder lite")
    parser.add_argument("--dataset", default="streets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--work", type=Path, default=Path("ablation"), help="keeps features, trials"
    )
    parser.add_argument("--page", type=Path, default=Path("docs/evaluation.md"))
    parser.add_argument(
        "--only", action="append", choices=("streets", "sweep", "tuned", "twins", "unseen")
    )
    parser.add_argument("--no-page", action="store_true", help="only run what is missing")
    options = parser.parse_args()

    torch.set_num_threads(1)  # the models are small: threads would only wait for each other
    parts, trials = parts_of(options), Trials(options.work / "trials")
    todo = [one for one in planned(parts) if not trials.path(one[0].task, *one[1:]).exists()]
    start = time.perf_counter()
    for number, (part, variant, fold, seed) in enumerate(todo, start=1):
        trial = trials.run(part.task, variant, fold, seed)
        seconds = time.perf_counter() - start
        left = seconds / number * (len(todo) - number)
        sys.stderr.write(
            f"{number} of {len(todo)}, {left / 60:.0f} min left: {part.key}, {variant.name}, fold "
            f"{fold}, seed {seed}: validation {trial.figures['validation_geo_score']:.0f}\n"
        )
    if options.no_page:
        return
    images = options.page.parent / "images"
    text = "\n".join(section(part, trials, images) for part in parts)
    command = f"python benchmarks/encoder_ablation.py {options.features.name}"
    write_page(options.page, text + "\n" + conditions(command))


if __name__ == "__main__":
    main()
