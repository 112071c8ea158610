"""Training on a collection, and locating with what was trained."""

import numpy as np
import pytest

from geosearch.cli import main
from geosearch.client.reranking import from_index, train_reranker_of
from geosearch.errors import ConfigError
from geosearch.evaluation.datasets import Dataset, Query
from geosearch.evaluation.galleries import CatalogueGallery
from geosearch.evaluation.harness import evaluate
from geosearch.evaluation.methods import RERANKER_ALWAYS, reranked_methods
from geosearch.geo import Coordinate
from geosearch.localization.locator import MoreSources
from geosearch.localization.ranking import CELL_DEG, GalleryPrior
from geosearch.localization.reranker import reranker_path


@pytest.fixture
def filled(geosearch, tmp_path, make_jpeg):
    """66 labelled photos of 22 places in as many blocks."""
    folder = tmp_path / "many"
    folder.mkdir()
    for place in range(22):
        for view in range(3):
            gps = (-60.5 + 5.0 * place, -170.5 + 15.0 * place + 0.0001 * view)
            data = make_jpeg(place, gps=gps, size=(64 + view, 48))
            (folder / f"{place}-{view}.jpg").write_bytes(data)
    geosearch.ingest(folder)
    return folder


def test_a_collection_trains_its_re_ranker_and_locates_with_it_from_then_on(
    geosearch, services, filled
):
    asked = filled / "7-0.jpg"
    (before,) = geosearch.locate(asked)
    assert not before.is_calibrated
    told = []
    reranker, path = train_reranker_of(services, progress=lambda *counts: told.append(counts))
    assert path == reranker_path(services.settings.home, services.embedder.identity)
    assert told[-1] == (66, 66)
    assert reranker.encoder == str(services.embedder.identity)
    (after,) = geosearch.locate(asked)
    assert "re-ranking" in [step.name for step in after.steps]
    assert not after.is_calibrated
    assert "takes 100 blocks of one degree, there are 22" in after.steps[-1].summary
    assert after.best.coordinate.distance_km(before.best.coordinate) < 1.0
    assert all(item.photo.path.startswith("/") for item in after.best.evidence)
    assert len(after.negatives) == 5
    assert after.negatives[0].score < min(item.score for item in after.best.evidence)


def test_a_report_asks_the_re_ranker_and_gets_the_answer_that_locate_gives(
    geosearch, services, filled, make_jpeg, tmp_path
):
    photo = tmp_path / "new.jpg"
    photo.write_bytes(make_jpeg(7, size=(80, 48)))
    reranker, _ = train_reranker_of(services)
    gallery = CatalogueGallery(
        services.store,
        services.catalogue,
        services.embedder.embed,
        encoder=str(services.embedder.identity),
    )
    prior = GalleryPrior(services.catalogue.occupied_cells(CELL_DEG))
    methods = reranked_methods(gallery, reranker, MoreSources(prior=prior))
    truth = Coordinate(-25.5, -65.5)
    broken = Query("broken", Coordinate(0.0, 0.0), image=tmp_path / "none.jpg")
    report = evaluate(methods, Dataset("new", (Query("new", truth, image=photo), broken)))
    (located,) = geosearch.locate(photo)
    answered, unread = report.method(RERANKER_ALWAYS).outcomes
    assert located.best is not None
    assert (answered.answer, answered.radius_km) == (
        located.best.coordinate,
        located.best.radius_km,
    )
    assert "cannot be read" in unread.reason


def test_a_sample_of_a_large_index_takes_whole_blocks(geosearch, services, filled):
    gallery = from_index(services, limit=20)
    assert len(gallery.photos) == 18
    assert np.unique(gallery.block, return_counts=True)[1].tolist() == [3] * 6
    assert gallery.vectors.shape[1] == services.embedder.dim // 3  # its three blocks are alike


def test_features_teach_a_re_ranker_when_they_have_the_encoders_width(services, tmp_path):
    rng = np.random.default_rng(0)
    place = np.repeat(np.arange(30), 3)
    looks = rng.normal(size=(30, services.embedder.dim // 3))
    columns = {
        "image_features": (looks[place] + 0.1 * rng.normal(size=(90, looks.shape[1]))),
        "lat": np.linspace(-60, 60, 30)[place],
        "lon": np.linspace(-170, 170, 30)[place],
        "place": np.array([f"p{number}" for number in place]),
    }
    np.savez(tmp_path / "good.npz", **columns)
    reranker, _ = train_reranker_of(services, features=tmp_path / "good.npz")
    assert reranker.metric is not None
    columns["image_features"] = columns["image_features"][:, :5]
    np.savez(tmp_path / "bad.npz", **columns)
    with pytest.raises(ConfigError, match="features of 5 numbers"):
        train_reranker_of(services, features=tmp_path / "bad.npz")
    np.savez(tmp_path / "other.npz", **columns, encoder=np.array("ViT-B-32"))
    with pytest.raises(ConfigError, match="made by the encoder ViT-B-32"):
        train_reranker_of(services, features=tmp_path / "other.npz")
    with pytest.raises(ConfigError, match="no such file"):
        train_reranker_of(services, features=tmp_path / "none.npz")


def test_an_empty_index_has_nothing_to_learn_from(services):
    with pytest.raises(ConfigError, match="geosearch ingest"):
        train_reranker_of(services)


def test_train_alone_wants_an_output_and_names_its_subcommand(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train"])
    assert stopped.value.code == 2
    assert "--output" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["train", "reranker", "--help"])
    assert stopped.value.code == 0
    assert "held out" in capsys.readouterr().out
