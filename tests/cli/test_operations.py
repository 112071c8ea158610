from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text
from support.command_line import Run

from geosearch.catalogue.locating import LocateRuns

pytestmark = pytest.mark.usefixtures("own_home")


def test_reconcile_says_what_differs_and_mends_it(
    run: Run, folder: Path, engine: Engine, tmp_path: Path
) -> None:
    run("ingest", folder)
    assert run("reconcile", "--dry-run")[:2] == (
        0,
        "12 photos and 12 points compared\nthey agree\n",
    )
    with engine.begin() as connection:
        connection.execute(text("UPDATE photo SET author = 'Ann'"))
    code, out, _ = run("reconcile", "--dry-run", "--json")
    assert code == 1
    assert json.loads(out)["differences"]["stale"] == 12
    assert run("reconcile")[0] == 0
    assert run("reconcile", "--dry-run")[0] == 0
    (tmp_path / "home" / "qdrant" / "geosearch-left").mkdir()
    code, out, _ = run("reconcile", "--dry-run", "--json")
    assert (code, [orphan["name"] for orphan in json.loads(out)["orphans"]]) == (
        1, ["geosearch-left"],
    )  # fmt: skip
    code, out, _ = run("reconcile", "--drop-orphans", "--json")
    assert json.loads(out)["dropped"] == ["geosearch-left"]
    assert run("reconcile", "--dry-run")[0] == 0
    assert run("reconcile", "--dry-run", "--drop-orphans")[0] == 2


def test_a_backup_fills_an_empty_home_of_embedded_engines(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("ingest", folder)
    code, out, _ = run("backup", tmp_path / "copy", "--json")
    assert (code, json.loads(out)["photos"]) == (0, 12)
    code, _, err = run("backup", tmp_path / "copy")
    assert (code, "not empty" in err) == (2, True)
    monkeypatch.setenv("GEOSEARCH_HOME", str(tmp_path / "new"))
    monkeypatch.delenv("GEOSEARCH_DATABASE_URL")
    code, out, _ = run("restore", tmp_path / "copy", "--json")
    assert (code, list(json.loads(out)["mended"].values())) == (0, [{}])
    status = json.loads(run("status", "--json")[1])
    assert (status["photos"]["indexed"], status["pace"]["left"]) == (12, 0)
    assert run("reconcile", "--dry-run")[0] == 0


def test_status_tells_what_is_left_and_how_long_it_takes(
    run: Run, folder: Path, engine: Engine
) -> None:
    run("ingest", folder)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO intake (uri, digest) SELECT n::text, '' FROM generate_series(1, 40) n"
            )
        )
    pace = json.loads(run("status", "--json")[1])["pace"]
    assert (pace["waiting_to_be_read"], pace["left"]) == (40, 40)
    assert pace["seconds_left"] == pytest.approx(40 / pace["per_second"])
    assert "to be read  40" in run("status")[1]


def test_status_tells_what_waits_to_be_located(run: Run, engine: Engine, folder: Path) -> None:
    runs = LocateRuns(engine)
    run_id = runs.open(uuid4(), encoder="grid")
    runs.register(run_id, [("/a.jpg", None), ("/b.jpg", None)])
    told = json.loads(run("status", "--json")[1])
    assert (told["pace"]["waiting_to_be_located"], told["pace"]["left"]) == (2, 0)
    assert told["queues"] == {}  # there is no broker
    assert "to locate  2" in run("status")[1]


def test_reconcile_encodes_what_the_index_lost(run: Run, folder: Path, tmp_path: Path) -> None:
    import shutil

    run("ingest", folder)
    shutil.rmtree(tmp_path / "home" / "qdrant")
    code, out, _ = run("reconcile", "--json")
    document = json.loads(out)
    assert (code, document["differences"]["missing"], document["encoded_again"]) == (0, 12, 12)
    assert run("reconcile", "--dry-run")[0] == 0
