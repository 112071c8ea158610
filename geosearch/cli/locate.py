"""`geosearch locate`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import click

from geosearch.cli.filters import filter_options
from geosearch.cli.output import (
    counted,
    json_option,
    kilometres,
    locating_progress,
    note,
    write_json,
)
from geosearch.records import LmmState, Prediction

if TYPE_CHECKING:
    from geosearch.cli.batch import Journal
    from geosearch.client.wishes import LmmWishes
    from geosearch.criteria import Criteria
    from geosearch.services import Services
    from geosearch.settings import Settings


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "csv", "geojson", "kml"]),
    default="text",
    show_default=True,
)
@click.option(
    "--map",
    "map_path",
    type=click.Path(path_type=Path),
    help="Write the answers on a map, as HTML.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write all answers into FILE.csv, .geojson, .kml or .json; the same command goes on where "
    "a stopped one was.",
)
@click.option("--model", help="Ask this model of GEOSEARCH_LMM_CONFIG, not its first.")
@click.option("--no-lmm", is_flag=True, help="Ask no large multimodal model.")
@click.option("--hint", help='What is known of the place, for the model: "somewhere in Chile".')
@click.option("--samples", type=click.IntRange(1, 20), help="Ask each question so often.")
@click.option(
    "--max-cost-usd",
    type=click.FloatRange(0.0),
    help="The most that models may cost; photos after that are located without.",
)
@filter_options
@json_option
def locate(
    images: tuple[Path, ...],
    form: str,
    map_path: Path | None,
    out: Path | None,
    model: str | None,
    no_lmm: bool,
    hint: str | None,
    samples: int | None,
    max_cost_usd: float | None,
    as_json: bool,
    criteria: Criteria,
) -> int:
    """Say where IMAGES (photos, and folders of them) were taken, by the photos most like them.

    Only photos of the collection that match every filter are compared with; a large multimodal
    model is told the area (--near, --bbox, --within, --country), and answers outside are left out.

    A large multimodal model is asked too where GEOSEARCH_LMM_CONFIG names one; the photos decide
    alone if it fails. With GEOSEARCH_BROKER_URL set, --out has workers (`geosearch worker`) locate
    the photos, and waits for them; without --out this process locates them.

    Exit code 1 if at least one photo got no answer; its reason is in the output.
    """
    from geosearch import exports
    from geosearch.client import GeoSearch
    from geosearch.client.wishes import LmmWishes

    if criteria.near is not None and criteria.radius_km is None:
        raise click.UsageError("--near is the centre of a circle; add --radius-km")
    where = criteria.filter()  # before anything is opened: most mistakes are in what was typed
    wishes = LmmWishes(model, no_lmm, hint, samples, max_cost_usd)
    if out is not None:
        return _locate_into(out, _Asked(images, wishes, criteria), map_path, as_json)
    form = "json" if as_json else form
    predictions: list[Prediction] = []
    with GeoSearch() as geosearch:
        for prediction in counted(
            geosearch.locate(images, where=where, **asdict(wishes)), "locate"
        ):
            predictions.append(prediction)
            if form == "text":
                show_prediction(prediction)
    _draw(map_path, predictions)
    match form:
        case "json":
            click.echo(exports.predictions_to_json(predictions))
        case "csv":
            click.echo(exports.predictions_to_csv(predictions), nl=False)
        case "geojson":
            click.echo(exports.predictions_to_geojson(predictions))
        case "kml":
            click.echo(exports.predictions_to_kml(predictions))
    return 0 if all(prediction.best is not None for prediction in predictions) else 1


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be located, how a model is to help, and what of the collection is looked at."""

    images: tuple[Path, ...]
    wishes: LmmWishes
    criteria: Criteria

    def conditions(self, services: Services) -> dict[str, Any]:
        """What must stay the same from run to run of one batch, but for the encoder."""
        from geosearch.client.reasoning import conditions

        same: dict[str, Any] = {}
        if lmm := conditions(services, self.wishes):
            same["lmm"] = lmm
        if where := self.criteria.document():
            if "within" in where:  # thousands of corners; whether they are the same is enough
                where["within"] = sha256(json.dumps(where["within"]).encode()).hexdigest()
            same["where"] = where
        return same


def _locate_into(out: Path, asked: _Asked, map_path: Path | None, as_json: bool) -> int:
    """Locate into a file, resumable, here or by workers; counts on stdout."""
    from geosearch.settings import load_settings

    settings = load_settings()
    locate_all = _here if settings.broker_url is None else _by_workers
    with locate_all(settings, out, asked) as (journal, before, predictions):
        with locating_progress(asked.images) as tell:
            for prediction in predictions:
                journal.add(prediction)
                tell(len(journal.done), journal.cost_usd)
        located, unanswered, cost_usd = len(journal.done), journal.unanswered, journal.cost_usd
        without = journal.without_lmm
        if map_path is not None:
            _draw(map_path, list(journal.predictions()))
        journal.finish()
    document = {
        "out": str(out.absolute()),
        "photos": located,
        "resumed": before,
        "unanswered": unanswered,
        "without_lmm": without,
        "cost_usd": cost_usd,
    }
    if as_json:
        write_json(document)
    else:
        note(
            f"{located} photos in {out}, {before} of them from an earlier run; {unanswered} "
            f"without an answer; ${cost_usd:.2f}"
            + (f"; {without} without the model, see the column lmm" if without else "")
        )
    return 1 if unanswered else 0


Predictions = tuple["Journal", int, Iterator[Prediction]]
"""A journal, how many answers it had from an earlier run, and those that it lacks."""


@contextmanager
def _here(settings: Settings, out: Path, asked: _Asked) -> Iterator[Predictions]:
    from geosearch.cli.batch import Journal
    from geosearch.client import GeoSearch
    from geosearch.services import Services

    with GeoSearch(Services(settings)) as geosearch:
        same = {"encoder": str(geosearch.services.embedder.identity)}
        wishes, where = asked.wishes, asked.criteria.filter()
        with Journal(out, same | asked.conditions(geosearch.services)) as journal:
            if wishes.max_cost_usd is not None:  # earlier runs of this batch have spent of it
                left_usd = max(0.0, wishes.max_cost_usd - journal.cost_usd)
                wishes = replace(wishes, max_cost_usd=left_usd)
            found = geosearch.locate(
                asked.images, where=where, skip=journal.is_done, **asdict(wishes)
            )
            yield journal, len(journal.done), found


@contextmanager
def _by_workers(settings: Settings, out: Path, asked: _Asked) -> Iterator[Predictions]:
    """Neither encoder nor index is opened here: the journal names the workers' run."""
    from geosearch.cli.batch import Journal, unfinished
    from geosearch.ingest.folders import scan
    from geosearch.services import Services
    from workers.broker import open_broker
    from workers.locating import Asker

    if asked.wishes.max_cost_usd is not None:
        raise click.UsageError(
            "--max-cost-usd limits what one process spends; with workers set "
            "GEOSEARCH_LMM_MONTHLY_BUDGET_USD for all of them, or unset GEOSEARCH_BROKER_URL"
        )
    with Services(settings) as services, closing(open_broker(settings)) as broker:
        same = asked.conditions(services)
        token = (unfinished(out) or {}).get("run") or str(uuid4())
        head = {"encoder": services.encoder_name, "run": token, **same}
        with Journal(out, head) as journal:
            before = len(journal.done)
            asker = Asker(services, broker)
            waiting = (one for one in scan(asked.images) if not journal.is_done(one.uri))
            run_id = asker.send(
                UUID(token), waiting, lmm=same.get("lmm"), criteria=asked.criteria.document()
            )
            # What was kept just before this command was killed may be there a second time.
            fetched = (one for one in asker.fetch(run_id) if not journal.is_done(one.image))
            yield journal, before, fetched


def _draw(map_path: Path | None, predictions: Sequence[Prediction]) -> None:
    if map_path is None:
        return
    from geosearch.worldmap import render_html

    map_path.write_text(render_html(predictions, title="GeoSearch"), encoding="utf-8")
    note(f"map: {map_path.absolute()}")


def show_prediction(prediction: Prediction) -> None:
    """A prediction in a few lines, for people."""
    best = prediction.best
    if best is None:
        click.echo(f"{prediction.image}: no answer; {prediction.reason}")
        return
    click.echo(f"{prediction.image}: {best.coordinate}  {best.place}")
    if prediction.is_calibrated:
        click.echo(
            f"  right within 25 km with {best.within[25]:.0%}; the truth is within "
            f"{kilometres(best.radius_km[50])} for half of such answers, within "
            f"{kilometres(best.radius_km[90])} for 90 %"
        )
    else:
        click.echo(
            f"  half the support lies within {kilometres(best.radius_km[50])}, "
            f"90 % within {kilometres(best.radius_km[90])} (not calibrated: it takes "
            f"`geosearch train reranker` on photos in 100 blocks of one degree); {best.share:.0%} "
            "is for this place"
        )
    if prediction.lmm is not LmmState.NOT_ASKED:
        said = next(
            (step.summary for step in reversed(prediction.steps) if step.name.startswith("lmm")), ""
        )
        if prediction.lmm is LmmState.ANSWERED:
            said = f"{', '.join(prediction.models)}, ${prediction.cost_usd:.4f}"
        click.echo(f"  large multimodal model: {prediction.lmm}; {said}")
    for evidence in best.evidence[:3]:
        click.echo(f"  because of {evidence.photo.path} ({evidence.score:.3f})")
    for other in prediction.alternatives[:3]:
        click.echo(f"  or {other.coordinate}  {other.place} ({other.share:.0%})")
