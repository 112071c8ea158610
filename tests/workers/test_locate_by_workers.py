"""`geosearch locate --out` by workers: real processes and servers, the small encoder."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text
from support.cluster import PYTHONPATH, Cluster, wait_for
from support.lmm_server import LmmServer, good
from support.places import CITIES
from support.worker_process import DEFECT, POISON

from geosearch.client import GeoSearch
from geosearch.criteria import Criteria
from geosearch.geo import Coordinate
from geosearch.services import Services
from workers.app import LOCATE
from workers.broker import open_broker

PHOTOS = 24

COMMAND = "import sys; from geosearch.cli import main; main(sys.argv[1:])"

Draw = Callable[[Path, int], None]


@pytest.fixture
def collection(cluster: Cluster, draw: Draw) -> Services:
    """A collection of photos on the servers."""
    draw(cluster.folder, PHOTOS)
    services = cluster.services()
    assert GeoSearch(services).ingest(cluster.folder).indexed == PHOTOS
    return services


@pytest.fixture
def asked(tmp_path: Path, make_jpeg: Callable[..., bytes]) -> Path:
    """Photos to be located: without a place, some of them like those of the collection."""
    folder = tmp_path / "asked"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02d}.jpg").write_bytes(make_jpeg(number, size=(80, 60)))
    (folder / "03.jpg").write_bytes(b"\xff\xd8\xff broken")
    return folder


def _rows(out: Path) -> list[dict[str, str]]:
    with out.open(newline="") as file:
        return list(csv.DictReader(file))


def _same_answers(rows: list[dict[str, str]], services: Services, folder: Path) -> None:
    """The answers are those of this process, in the same order."""
    expected = list(GeoSearch(services).locate(folder))
    assert [row["image"] for row in rows] == [one.image for one in expected]
    for row, one in zip(rows, expected, strict=True):
        if one.best is None:
            assert (row["lat"], row["reason"]) == ("", one.reason)
        else:
            assert float(row["lat"]) == pytest.approx(one.best.coordinate.lat, abs=1e-4)
            assert float(row["lon"]) == pytest.approx(one.best.coordinate.lon, abs=1e-4)


def test_workers_locate_what_the_command_asks_and_it_writes_the_same_file(
    cluster: Cluster, collection: Services, asked: Path, tmp_path: Path
) -> None:
    worker = cluster.worker()
    out = tmp_path / "located.csv"
    done = cluster.run(COMMAND, "locate", str(asked), "--out", str(out), "--json")
    assert done.returncode == 1, done.stderr  # one of them is broken
    told = json.loads(done.stdout)
    assert (told["photos"], told["resumed"], told["unanswered"]) == (12, 0, 1)
    _same_answers(_rows(out), collection, asked)
    assert worker.terminate() == 0
    assert not out.with_name("located.csv.journal").exists()
    assert _left(collection) == 0


def test_workers_compare_with_photos_of_the_area_only(
    cluster: Cluster, collection: Services, asked: Path, tmp_path: Path
) -> None:
    worker = cluster.worker()
    out, area = tmp_path / "located.csv", ["--near", "0,0", "--radius-km", "6000"]
    done = cluster.run(COMMAND, "locate", str(asked), "--out", str(out), *area, "--json")
    assert done.returncode == 1, done.stderr
    where = Criteria(Coordinate(0.0, 0.0), 6000.0).filter()
    expected = list(GeoSearch(collection).locate(asked, where=where))
    everywhere = list(GeoSearch(collection).locate(asked))
    assert [one.best and one.best.place for one in expected] != [
        one.best and one.best.place for one in everywhere
    ]
    for row, one in zip(_rows(out), expected, strict=True):
        assert row["place"] == ("" if one.best is None else one.best.place)
    assert worker.terminate() == 0


def _left(services: Services) -> int:
    with services.engine.connect() as connection:
        query = "SELECT (SELECT count(*) FROM locate) + (SELECT count(*) FROM locate_run)"
        return int(connection.execute(text(query)).scalar_one())


@pytest.fixture
def command(cluster: Cluster, asked: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, which waits for workers."""
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, "locate", str(asked), "--out", str(tmp_path / "out.json")],
        env={**os.environ, **cluster.environment, "PYTHONPATH": PYTHONPATH},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def test_killed_worker_and_killed_command_lose_no_photo_and_locate_none_twice(
    cluster: Cluster,
    collection: Services,
    asked: Path,
    command: subprocess.Popen[str],
    tmp_path: Path,
) -> None:
    cluster.hold.touch()
    worker = cluster.worker(before=6)
    journal = tmp_path / "out.json.journal"
    wait_for("answers", lambda: journal.exists() and journal.read_text().count("\n") >= 6)
    command.send_signal(signal.SIGKILL)
    command.wait()
    worker.kill_child()
    cluster.hold.unlink()
    done = cluster.run(COMMAND, "locate", str(asked), "--out", str(tmp_path / "out.json"), "--json")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert told["photos"] == 12
    assert told["resumed"] >= 5
    found = json.loads((tmp_path / "out.json").read_text())
    assert [Path(one["image"]).name for one in found] == [f"{n:02d}.jpg" for n in range(12)]
    assert _left(collection) == 0


def test_a_photo_that_kills_or_fails_its_worker_gets_no_answer_and_all_others_do(
    cluster: Cluster, collection: Services, asked: Path, tmp_path: Path
) -> None:
    for name, comment in (("05.jpg", POISON), ("07.jpg", DEFECT)):
        data = (asked / name).read_bytes()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        (asked / name).write_bytes(data[:2] + segment + data[2:])
    cluster.worker(shift_s=60.0)
    out = tmp_path / "located.csv"
    done = cluster.run(COMMAND, "locate", str(asked), "--out", str(out), "--json")
    assert done.returncode == 1, done.stderr
    reasons = {Path(row["image"]).name: row["reason"] for row in _rows(out)}
    assert len(reasons) == 12
    assert {name for name, reason in reasons.items() if reason} == {"03.jpg", "05.jpg", "07.jpg"}
    assert reasons["05.jpg"] == "it ended its worker 3 times"
    assert reasons["07.jpg"] == "it failed 3 times: ZeroDivisionError: a defect"


def test_photos_whose_message_was_lost_are_asked_for_again_by_a_sweep(
    cluster: Cluster, collection: Services, asked: Path, tmp_path: Path
) -> None:
    runs = collection.locate_runs
    run_id = runs.open(uuid4(), encoder=collection.encoder_name)
    runs.register(run_id, [(str(asked / "00.jpg"), None)])
    broker = open_broker(collection.settings)
    assert broker.messages(LOCATE) == 0
    broker.close()
    cluster.worker()
    wait_for("the answer", lambda: runs.answers(run_id), cluster.log)


def test_workers_ask_the_model_that_the_command_asks_for(
    cluster: Cluster, collection: Services, asked: Path, tmp_path: Path
) -> None:
    out = tmp_path / "located.json"
    with LmmServer(lambda seen: good(*CITIES["suva"], "Suva")) as server:
        config = server.write_config(tmp_path / "lmm.yaml", "openai")
        cluster.environment["GEOSEARCH_LMM_CONFIG"] = str(config)
        cluster.worker()
        picture = str(asked / "00.jpg")
        done = cluster.run(COMMAND, "locate", picture, "--out", str(out), "--hint", "an island")
        assert done.returncode == 0, done.stderr
        found = json.loads(out.read_text())
        assert found["lmm"] == "answered"
        assert found["models"][0].startswith("eye (")
        assert server.seen
        assert all("an island" in seen.text for seen in server.seen)
        asked_before = len(server.seen)
        done = cluster.run(COMMAND, "locate", picture, "--out", str(out), "--no-lmm")
        assert done.returncode == 0, done.stderr
        assert json.loads(out.read_text())["lmm"] == "not-asked"
        assert len(server.seen) == asked_before


def test_a_limit_on_cost_is_refused_because_workers_do_not_share_it(
    cluster: Cluster, asked: Path, tmp_path: Path
) -> None:
    out = str(tmp_path / "located.csv")
    done = cluster.run(COMMAND, "locate", str(asked), "--out", out, "--max-cost-usd", "1")
    assert done.returncode == 2
    assert "GEOSEARCH_LMM_MONTHLY_BUDGET_USD" in done.stderr
