"""Locating into a file: killed and run again, no photo is lost and none is located twice."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from geosearch import exports
from geosearch.cli.batch import Journal
from geosearch.errors import ConfigError, InvalidInput
from geosearch.exports.reading import prediction_from_dict
from geosearch.geo import Coordinate
from geosearch.records import Candidate, Evidence, PhotoFact, Prediction, SearchHit, Step, photo_id

LUND = Coordinate(55.705, 13.193)
FACT = PhotoFact(photo_id("a"), "a.jpg", LUND, "Lund", "SE", None, "d", "author", None, "caption")
BEST = Candidate(
    LUND, 0.5, "Lund", {50: 1.0, 90: 20.0}, (Evidence(FACT, 0.9, 0.1),), {25: 0.7}, ("fused",)
)


def prediction(number, cost=0.0):
    return Prediction(
        f"/photos/{number}.jpg",
        BEST,
        (BEST,),
        (Step("density", "words", LUND, 0.1), Step("lmm", "refused", None, 0.2)),
        "encoder",
        cost_usd=cost,
        seconds=0.5,
        is_calibrated=True,
        negatives=(SearchHit(FACT, -0.5, None),),
        models=("some/model",),
    )


def test_a_prediction_read_back_equals_the_one_written():
    lost = Prediction("b.jpg", None, (), (), "encoder", reason="nothing")
    for one in (prediction(1), lost):
        document = json.loads(json.dumps(exports.prediction_to_dict(one)))
        assert prediction_from_dict(document) == one


@pytest.mark.parametrize("ending", ["csv", "geojson", "kml", "json"])
def test_the_file_is_what_one_undisturbed_run_writes(tmp_path, ending):
    out = tmp_path / f"results.{ending}"
    with Journal(out, {"encoder": "e"}) as journal:
        journal.add(prediction(1))
    assert not out.exists()
    with Journal(out, {"encoder": "e"}) as journal:
        assert journal.is_done("/photos/1.jpg")
        assert not journal.is_done("/photos/2.jpg")
        journal.add(prediction(2))
        journal.finish()
    both = [prediction(1), prediction(2)]
    written = getattr(exports, f"predictions_to_{ending}")(both)
    assert out.read_bytes().decode() == written
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_line_that_a_killed_process_left_half_written_is_cut_off(tmp_path):
    out = tmp_path / "results.csv"
    with Journal(out, {}) as journal:
        journal.add(prediction(1, cost=0.25))
        path = journal.path
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"image": "/photos/2.jp')
    with Journal(out, {}) as journal:
        assert (journal.done, journal.cost_usd) == ({"/photos/1.jpg"}, 0.25)
    assert path.read_bytes() == whole


def test_a_journal_of_other_conditions_or_a_damaged_one_is_refused(tmp_path):
    out = tmp_path / "results.csv"
    with Journal(out, {"encoder": "one"}) as journal:
        journal.add(prediction(1))
    with pytest.raises(ConfigError, match="delete the journal"):
        Journal(out, {"encoder": "another"})
    journal.path.write_bytes(journal.path.read_bytes() + b"rubbish\n")
    with pytest.raises(InvalidInput, match="line 3"):
        Journal(out, {"encoder": "one"})


def test_an_ending_that_is_no_format_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"\.csv"):
        Journal(tmp_path / "results.docx", {})


WORKER = """
import sys, time
from pathlib import Path
from tests.cli.test_batch import Journal, prediction
with Journal(Path(sys.argv[1]), {}) as journal:
    for number in range(400):
        if not journal.is_done(f"/photos/{number}.jpg"):
            time.sleep(0.002)
            journal.add(prediction(number))
            print(number, flush=True)
    journal.finish()
"""


def test_killed_at_any_moment_and_run_again_no_photo_is_lost_or_twice(tmp_path):
    out = tmp_path / "results.csv"
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])}
    command = [sys.executable, "-c", WORKER, str(out)]
    answered = []
    for killed_after in (30, 170, None):
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root
        ) as process:
            for line in process.stdout:
                answered.append(int(line))
                if len(answered) == killed_after:
                    process.send_signal(signal.SIGKILL)
                    break
            answered += [int(line) for line in process.stdout]
            process.wait(timeout=120)
    assert process.returncode == 0
    with out.open(newline="") as file:
        images = [row["image"] for row in csv.DictReader(file)]
    assert images == [f"/photos/{number}.jpg" for number in range(400)]
    assert len(answered) - len(set(answered)) == 0
