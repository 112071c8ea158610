"""`geosearch train reranker`."""

from __future__ import annotations

from pathlib import Path

import click

from geosearch.cli.output import asking_progress, json_option, note, write_json


@click.command()
@click.option(
    "--features",
    "npz",
    type=click.Path(path_type=Path),
    help="NPZ with image_features, lat, lon, place and optionally author; the index if not given.",
)
@click.option("--dataset", help="Learn from photos of this data set only.")
@click.option(
    "--questions",
    type=click.IntRange(60),
    default=3000,
    show_default=True,
    help="The most photos that are asked, each with and without its surroundings.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Repeats a run.")
@json_option
def reranker(
    npz: Path | None, dataset: str | None, questions: int, seed: int, as_json: bool
) -> int:
    """Train the re-ranker of `geosearch locate` on your own labelled photos, and calibrate it.

    Photos are located as if they, or all photos around them, were not in the index: whole blocks of
    one degree are held out, and photos by the same author at the same spot. The result belongs to
    the encoder in use; `geosearch locate` takes it from then on. Calibration takes photos in 100
    blocks of one degree; with fewer, answers are ranked but no probability is stated.
    """
    from geosearch.client.reranking import train_reranker_of
    from geosearch.services import Services
    from geosearch.settings import load_settings

    with Services(load_settings()) as services, asking_progress() as progress:
        found, path = train_reranker_of(
            services,
            features=npz,
            dataset=dataset,
            questions=questions,
            seed=seed,
            progress=progress,
        )
    document = {
        "reranker": str(path),
        "encoder": found.encoder,
        "has_metric": found.metric is not None,
        "is_calibrated": found.conformal is not None,
        **found.about,
    }
    if as_json:
        write_json(document)
        return 0
    for name, value in document.items():
        click.echo(f"{name:>16}  {value}")
    if found.conformal is None:
        note(
            f"not calibrated: calibration takes {found.about['blocks_needed']} blocks of one "
            f"degree, there are {found.about['blocks']}; places are ranked, radii stay those of "
            "the neighbours' spread, and no probability is stated"
        )
    return 0
