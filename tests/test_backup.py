from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text
from support.qdrant_server import QdrantServer

from geosearch.backup import MANIFEST, back_up, check, restore
from geosearch.catalogue.session import open_engine
from geosearch.client import GeoSearch
from geosearch.encoder.fakes import ColorGridEmbedder
from geosearch.errors import BackupError
from geosearch.places import Gazetteer
from geosearch.services import Services
from geosearch.settings import Settings

WORDS = "words"


@pytest.fixture
def answers(geosearch: GeoSearch, folder: Path) -> list[tuple[str, float | None]]:
    """What searches for the photos of a filled home answer."""
    geosearch.ingest(folder, dataset="trip")
    return _answers(geosearch, folder)


@pytest.fixture
def filled(geosearch: GeoSearch, answers: object) -> GeoSearch:
    encoders = geosearch.services.settings.home / "encoders" / "heads-1"
    encoders.mkdir(parents=True)
    (encoders / "weights").write_text(WORDS)
    geosearch.services.store.close()  # a backup opens what it copies; a home has one opener
    return geosearch


@pytest.fixture
def empty(tmp_path: Path, postgres: str, gazetteer: Gazetteer) -> Iterator[Services]:
    """Another home and a database without tables."""
    admin = open_engine(postgres)
    name = f"empty_{tmp_path.name.replace('-', '_')}".lower()[:60]
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    settings = Settings(
        home=tmp_path / "other", database_url=postgres.replace("/postgres?", f"/{name}?")
    )
    with Services(settings, load_embedder=lambda _: ColorGridEmbedder()) as services:
        services.gazetteer = gazetteer
        yield services


def _answers(geosearch: GeoSearch, folder: Path) -> list[tuple[str, float | None]]:
    found = []
    for photo in sorted(folder.iterdir()):
        hits = geosearch.search(image=photo, k=12).hits
        found += [
            (hit.photo.path, None if hit.score is None else round(hit.score, 5)) for hit in hits
        ]
    return found


def test_a_restored_home_answers_the_same_searches(
    filled: GeoSearch,
    answers: list[tuple[str, float | None]],
    empty: Services,
    folder: Path,
    tmp_path: Path,
) -> None:
    summary = back_up(filled.services, tmp_path / "backup")
    assert (summary.photos, list(summary.points.values())) == (12, [12])
    restored, mended = restore(empty, tmp_path / "backup")
    assert restored == summary
    assert [report.is_clean for report in mended.values()] == [True]
    geosearch = GeoSearch(empty)
    assert _answers(geosearch, folder) == answers
    assert geosearch.ingest(folder, dataset="trip").duplicates == 12
    assert (empty.settings.home / "encoders" / "heads-1" / "weights").read_text() == WORDS


def test_nothing_is_overwritten(filled: GeoSearch, empty: Services, tmp_path: Path) -> None:
    back_up(filled.services, tmp_path / "backup")
    with pytest.raises(BackupError, match="not empty"):
        back_up(filled.services, tmp_path / "backup")
    empty.migrate()
    with empty.engine.begin() as connection:
        connection.execute(text("INSERT INTO source (uri, error) VALUES ('a', 'b')"))
    with pytest.raises(BackupError, match="photos already"):
        restore(empty, tmp_path / "backup")


@pytest.mark.parametrize("damage", ["changed", "gone", "cut"])
def test_a_damaged_backup_is_refused_before_anything_is_written(
    filled: GeoSearch, empty: Services, tmp_path: Path, damage: str
) -> None:
    directory = tmp_path / "backup"
    back_up(filled.services, directory)
    [part] = directory.glob("geosearch-*/part-*.npz")
    data = bytearray(part.read_bytes())
    if damage == "gone":
        part.unlink()
    else:
        data[len(data) // 2] ^= 1
        part.write_bytes(data[: -1 if damage == "cut" else None])
    with pytest.raises(BackupError, match="not as it was written"):
        restore(empty, directory)
    with empty.engine.connect() as connection:
        assert connection.scalar(text("SELECT to_regclass('photo')")) is None


def test_what_is_no_backup_or_too_new_is_refused(filled: GeoSearch, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="no backup"):
        check(tmp_path)
    directory = tmp_path / "backup"
    back_up(filled.services, directory)
    manifest = json.loads((directory / MANIFEST).read_text())
    manifest["catalogue"]["revision"] = "9999"
    (directory / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BackupError, match="newer"):
        check(directory)


class _Killed(BaseException):
    pass


def _dying_at(word: str, nth: int = 1):
    left = [nth]

    def say(what: str) -> None:
        if what.startswith(word):
            left[0] -= 1
            if not left[0]:
                raise _Killed

    return say


def test_a_backup_that_is_killed_leaves_nothing_under_its_name(
    filled: GeoSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "backup"
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)  # killed: nobody clears up
        with pytest.raises(_Killed):
            back_up(filled.services, directory, say=_dying_at("the vectors"))
    assert not directory.exists()
    assert list(tmp_path.glob(".backup.new-*"))
    back_up(filled.services, directory)
    assert not list(tmp_path.glob(".backup.new-*"))


def test_a_restore_that_is_killed_goes_on_where_it_was(
    filled: GeoSearch, empty: Services, folder: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "backup"
    back_up(filled.services, directory)
    with pytest.raises(_Killed):
        restore(empty, directory, say=_dying_at("the vectors"))
    said: list[str] = []
    restore(empty, directory, say=said.append)
    assert "the catalogue is there already" in said
    assert GeoSearch(empty).ingest(folder, dataset="trip").duplicates == 12


def test_photos_whose_vectors_are_not_in_the_backup_are_pending(
    filled: GeoSearch, empty: Services, tmp_path: Path
) -> None:
    directory = tmp_path / "backup"
    services = filled.services
    with closing(services.collections.open(services.collections.all()[0])) as store:
        lost = next(iter(store.scroll())).id
        store.delete([lost])
    back_up(services, directory)
    _, mended = restore(empty, directory)
    assert [report.differences["missing"] for report in mended.values()] == [1]
    assert GeoSearch(empty).status()["photos"]["pending"] == 1


def test_vectors_in_a_backup_are_plain_arrays(filled: GeoSearch, tmp_path: Path) -> None:
    back_up(filled.services, tmp_path / "backup")
    [part] = (tmp_path / "backup").glob("geosearch-*/part-*.npz")
    with np.load(part, allow_pickle=False) as arrays:
        assert arrays["ids"].shape == (12, 16)
        assert arrays["vectors"].dtype == np.float32


def test_a_backup_of_embedded_engines_fills_servers_and_comes_back(
    filled: GeoSearch,
    answers: list[tuple[str, float | None]],
    empty: Services,
    folder: Path,
    tmp_path: Path,
) -> None:
    back_up(filled.services, tmp_path / "backup")
    with QdrantServer(tmp_path / "server") as server:
        settings = empty.settings.model_copy(update={"qdrant_url": server.url})
        with Services(settings, load_embedder=lambda _: ColorGridEmbedder()) as services:
            services.gazetteer = empty.gazetteer
            _, mended = restore(services, tmp_path / "backup")
            assert [report.is_clean for report in mended.values()] == [True]
            geosearch = GeoSearch(services)
            assert _answers(geosearch, folder) == answers
            assert services.reconciler.run(mend=False).is_clean
            again = back_up(services, tmp_path / "again")
    assert list(again.points.values()) == [12]
    assert check(tmp_path / "again")["collections"][0]["points"] == 12
