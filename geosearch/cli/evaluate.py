"""`geosearch evaluate`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geosearch.cli.output import counted, json_option, note, write_json

if TYPE_CHECKING:
    from geosearch.evaluation.datasets import Dataset
    from geosearch.evaluation.harness import Answer, EvaluationReport, Method

PUBLIC = ("im2gps", "im2gps3k", "yfcc4k", "yfcc26k")


@dataclass(frozen=True, slots=True)
class _Options:
    """What was asked for on the command line."""

    benchmark: str
    images: Path | None
    labels: Path | None
    features: Path | None
    dataset: str | None
    split_blocks: float | None
    folds: int
    fused: bool
    postcard_seed: int
    limit: int | None
    resamples: int
    seed: int


@click.command()
@click.argument("benchmark", type=click.Choice([*PUBLIC, "manifest", "twins", "features"]))
@click.option("--images", type=click.Path(path_type=Path), help="Folder with the images.")
@click.option("--labels", type=click.Path(path_type=Path), help="Label file or manifest.")
@click.option(
    "--features",
    type=click.Path(path_type=Path),
    help="NPZ with image_features, lat, lon, place; gallery and photos to locate at once.",
)
@click.option("--dataset", help="Only this data set of the features, or of the catalogue.")
@click.option(
    "--split-blocks",
    type=float,
    metavar="DEG",
    help="Hold out whole cells of this size, not only places (features).",
)
@click.option("--folds", type=click.IntRange(2), default=5, show_default=True, help="(features)")
@click.option("--fuse-views", "fused", is_flag=True, help="One query a place (features).")
@click.option(
    "--postcard-seed", type=int, default=0, show_default=True, help="They were drawn with (twins)."
)
@click.option("--limit", type=click.IntRange(1), help="Ask only so many photos, evenly spaced.")
@click.option(
    "--resamples",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Bootstrap samples behind each interval.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of folds, lots, intervals.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for report.json, report.md, errors.png and map.html.",
)
@json_option
def evaluate(
    benchmark: str,
    images: Path | None,
    labels: Path | None,
    features: Path | None,
    dataset: str | None,
    split_blocks: float | None,
    folds: int,
    fused: bool,
    postcard_seed: int,
    limit: int | None,
    resamples: int,
    seed: int,
    output: Path | None,
    as_json: bool,
) -> int:
    r"""Measure how right answers are, with intervals, beside baselines and published figures.

    \b
    im2gps im2gps3k yfcc4k yfcc26k  --images DIR --labels FILE, against the catalogue
    manifest                        --labels labels.csv, against the catalogue
    twins                           the same, for landmarks that stand in several cities
    features                        --features FILE.npz, against each other

    Photos of the catalogue are the gallery; a photo that is in it itself never finds itself. A
    re-ranker that was trained for the encoder is asked, too.
    Exit code 1 if labelled photos had no image.
    """
    options = _Options(
        benchmark, images, labels, features, dataset, split_blocks, folds, fused,
        postcard_seed, limit, resamples, seed,
    )  # fmt: skip
    _check(options)
    with _folder(output):
        report = _from_features(options) if benchmark == "features" else _from_files(options)
        if output is not None:
            _write(report, output)
    from geosearch.evaluation.report import report_to_dict, report_to_markdown

    if as_json:
        write_json(report_to_dict(report, with_answers=False))
    else:
        click.echo(report_to_markdown(report))
    return 1 if report.missing else 0


def _check(options: _Options) -> None:
    """Refuse options that do not go together, before anything is opened."""
    from geosearch.errors import ConfigError

    name = options.benchmark
    if name == "features":
        if options.features is None:
            raise ConfigError("evaluating features needs the file; add --features FILE.npz")
        for given, option in ((options.images, "--images"), (options.labels, "--labels")):
            if given is not None:
                raise ConfigError(f"{option} has no meaning for features, which bring their labels")
        return
    if options.labels is None:
        raise ConfigError(f"{name} needs the coordinates of its photos; add --labels FILE")
    if options.images is None and name in PUBLIC:
        raise ConfigError(f"{name} needs its photos; add --images DIR")
    if options.features is not None or options.split_blocks is not None or options.fused:
        raise ConfigError(
            "--features, --split-blocks and --fuse-views go with the benchmark 'features'; "
            f"photos of {name} are compared with the catalogue"
        )


def _from_features(options: _Options) -> EvaluationReport:
    from geosearch.errors import ConfigError
    from geosearch.evaluation.features import load_features
    from geosearch.evaluation.galleries import FeatureGallery
    from geosearch.evaluation.methods import blind_methods, gallery_methods
    from geosearch.evaluation.settlements import load_settlements
    from geosearch.splits import block_folds, place_folds

    if options.features is None:
        raise ConfigError("evaluating features needs the file; add --features FILE.npz")
    features = load_features(options.features, dataset=options.dataset)
    if options.split_blocks is None:
        fold = place_folds(features.place, folds=options.folds, seed=options.seed)
        split = f"{options.folds} folds of whole places"
    else:
        fold = block_folds(
            features.lat,
            features.lon,
            options.split_blocks,
            places=features.place,
            folds=options.folds,
            seed=options.seed,
        )
        split = f"{options.folds} folds of whole cells of {options.split_blocks:g} degrees"
    gallery = FeatureGallery(features, fold, seed=options.seed)
    methods = blind_methods(gallery, settlements=load_settlements(), seed=options.seed)
    methods += gallery_methods(gallery)
    if features.author is not None:
        filtered = FeatureGallery(features, fold, without_author=True, seed=options.seed)
        methods += gallery_methods(filtered, with_oracle=False)
    return _run(
        methods,
        features.queries(fused=options.fused),
        options,
        {"encoder": gallery.encoder, "gallery": gallery.size, "split": split},
    )


def _from_files(options: _Options) -> EvaluationReport:
    from geosearch.client import GeoSearch
    from geosearch.client.locating import pointers_of
    from geosearch.errors import ConfigError
    from geosearch.evaluation.galleries import CatalogueGallery, Vectors
    from geosearch.evaluation.methods import blind_methods, gallery_methods, reranked_methods
    from geosearch.evaluation.settlements import load_settlements
    from geosearch.localization.locator import MoreSources
    from geosearch.localization.ranking import CELL_DEG, GalleryPrior
    from geosearch.store.filters import Dataset as InDataset

    dataset = _load(options)  # before engines are opened: most mistakes are in the files
    where = None if options.dataset is None else InDataset(options.dataset)
    with GeoSearch() as geosearch:
        services = geosearch.services
        encoder = str(services.embedder.identity)
        galleries = []
        vectors: Vectors = {}
        for without_author in (False, True):
            galleries.append(
                CatalogueGallery(
                    services.store,
                    services.catalogue,
                    services.embedder.embed,
                    encoder=encoder,
                    where=where,
                    without_author=without_author,
                    vectors=vectors,
                )
            )
        if not galleries[0].size:
            which = "" if options.dataset is None else f" of the data set {options.dataset!r}"
            raise ConfigError(
                f"the catalogue has no photos{which} to compare with; take some in by "
                "`geosearch ingest`"
            )
        methods = blind_methods(galleries[0], settlements=load_settlements(), seed=options.seed)
        methods += gallery_methods(galleries[0], with_oracle=False)
        reranker = services.index.reranker
        sources = MoreSources()
        if reranker is not None:
            sources = MoreSources(
                pointers=pointers_of(None if where is not None else services.index.gps_gallery),
                prior=GalleryPrior(services.catalogue.occupied_cells(CELL_DEG)),
            )
            methods += reranked_methods(galleries[0], reranker, sources)
        if any(query.author is not None for query in dataset.queries):
            methods += gallery_methods(galleries[1], with_oracle=False)
            if reranker is not None:
                methods += reranked_methods(galleries[1], reranker, sources)
        return _run(methods, dataset, options, {"encoder": encoder, "gallery": galleries[0].size})


def _load(options: _Options) -> Dataset:
    from geosearch.errors import ConfigError
    from geosearch.evaluation.datasets import load_manifest, load_public
    from geosearch.evaluation.twins import load_twins

    if options.labels is None:
        raise ConfigError(f"{options.benchmark} needs --labels FILE")
    if options.benchmark == "manifest":
        return load_manifest(options.labels, images=options.images)
    if options.benchmark == "twins":
        return load_twins(options.labels, images=options.images, seed=options.postcard_seed)
    if options.images is None:
        raise ConfigError(f"{options.benchmark} needs --images DIR")
    return load_public(options.benchmark, labels=options.labels, images=options.images)


def _run(
    methods: list[Method],
    dataset: Dataset,
    options: _Options,
    conditions: dict[str, str | int | float | None],
) -> EvaluationReport:
    from geosearch.evaluation.harness import evaluate as run

    def track(answers: Iterable[Answer], description: str) -> Iterable[Answer]:
        return counted(answers, description)

    return run(
        methods,
        dataset.limited(options.limit),
        resamples=options.resamples,
        seed=options.seed,
        conditions=conditions,
        track=track,
    )


@contextmanager
def _folder(output: Path | None) -> Iterator[None]:
    """Make the folder first: an hour of work must not end at a mistyped path.

    It goes again if nothing came to be written into it.
    """
    from geosearch.errors import ConfigError

    if output is None or output.is_dir():
        yield
        return
    try:
        output.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"{output} cannot be made: {error.strerror or error}") from error
    try:
        yield
    finally:
        if not any(output.iterdir()):
            output.rmdir()


def _write(report: EvaluationReport, output: Path) -> None:
    """Write the four files; without the plot library its absence is said and three are written.

    Each is written aside and renamed, so that none is ever half there.
    """
    import json

    from geosearch.encoder.drafts import drafted_file
    from geosearch.errors import MissingDependency
    from geosearch.evaluation.figures import map_html, plot_errors
    from geosearch.evaluation.methods import LOCATOR_ALWAYS
    from geosearch.evaluation.report import report_to_dict, report_to_markdown

    document = json.dumps(report_to_dict(report), ensure_ascii=False, indent=2, allow_nan=False)
    texts = {
        "report.json": document + "\n",
        "report.md": report_to_markdown(report),
        "map.html": map_html(report, report.method(LOCATOR_ALWAYS)),
    }
    for name, text in texts.items():
        with drafted_file(output / name) as draft:
            draft.write_text(text, encoding="utf-8")
    try:
        with drafted_file(output / "errors.png") as draft:
            plot_errors(report, draft)
    except MissingDependency as error:
        note(f"no plot: {error}")
    note(f"report: {output.absolute()}")
