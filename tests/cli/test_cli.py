from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.command_line import Run

from geosearch.catalogue.session import is_known_revision
from geosearch.cli import COMMANDS, main
from geosearch.encoder.fakes import ColorGridEmbedder

pytestmark = pytest.mark.usefixtures("own_home")


def _json(result: tuple[int, str, str]) -> Any:
    code, out, err = result
    assert code == 0, err
    return json.loads(out)


def test_every_command_is_there_and_helps() -> None:
    for name in COMMANDS:
        with pytest.raises(SystemExit) as exit_:
            main([name, "--help"])
        assert exit_.value.code == 0, name


def test_ingest_answers_in_the_agreed_form(run: Run, folder: Path) -> None:
    report = _json(run("ingest", folder, "--json"))
    assert report.pop("seconds") > 0
    assert report == {
        "scanned": 12, "indexed": 12, "updated": 0, "duplicates": 0, "unlabelled": 0, "failed": 0,
        "errors": [],
    }  # fmt: skip


def test_a_failed_photo_makes_exit_code_1_and_a_reason(run: Run, folder: Path) -> None:
    (folder / "empty.jpg").write_bytes(b"")
    code, out, _ = run("ingest", folder, "--json")
    report = json.loads(out)
    assert code == 1
    assert report["failed"] == 1
    assert report["errors"][0]["path"].endswith("empty.jpg")
    code, _, err = run("ingest", folder)
    assert code == 1
    assert "empty.jpg" in err


def test_search_answers_in_the_agreed_form(run: Run, folder: Path) -> None:
    run("ingest", folder, "--dataset", "trip")
    image = folder / "suva-1.jpg"
    found = _json(run("search", "--image", image, "-k", 3, "--json"))
    assert found["matched"] == 12
    assert found["plan"] in ("exact", "acorn", "hnsw")
    first = found["hits"][0]
    assert first["path"] == str(image)
    assert first["score"] == pytest.approx(1.0, abs=1e-3)
    assert (first["lat"], first["lon"]) == (pytest.approx(-18.14, abs=1e-6), pytest.approx(178.442))
    assert first.keys() >= {
        "id", "path", "lat", "lon", "score", "place", "captured_at", "distance_km"
    }  # fmt: skip
    assert all("suva" in hit["path"] for hit in found["hits"])


@pytest.mark.parametrize(
    ("options", "cities"),
    [
        (["--near", "55.7,13.2", "--radius-km", "50"], {"lund"}),
        (["--bbox", "170,-30,-150,30"], {"suva", "honolulu"}),
        (["--country", "ke"], {"nairobi"}),
        (["--dataset", "trip"], {"lund", "nairobi", "suva", "honolulu"}),
        (["--dataset", "other"], set()),
        (["--since", "2020-05-01", "--until", "2020-05-01"], {"lund"}),
        (["--country", "SE", "--since", "2023-01-01"], set()),
        (["--near", "-18,-179", "--radius-km", "400"], {"suva"}),
    ],
)
def test_filters_choose_with_and_without_an_image(
    run: Run, folder: Path, options: list[str], cities: set[str]
) -> None:
    run("ingest", folder, "--dataset", "trip")
    for image in ([], ["--image", folder / "lund-0.jpg"]):
        found = _json(run("search", *image, *options, "-k", 12, "--json"))
        assert {Path(hit["path"]).name.split("-")[0] for hit in found["hits"]} == cities
        assert found["matched"] == len(found["hits"])


def test_within_takes_a_geojson_area(run: Run, folder: Path, tmp_path: Path) -> None:
    run("ingest", folder)
    ring = [[12, 55], [14, 55], [14, 57], [12, 57], [12, 55]]
    area = tmp_path / "area.geojson"
    area.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    found = _json(run("search", "--within", area, "--json"))
    assert found["matched"] == 3
    area.write_text("{")
    code, _, err = run("search", "--within", area)
    assert code == 2
    assert "not JSON" in err


def test_without_an_image_photos_come_newest_first(run: Run, folder: Path) -> None:
    run("ingest", folder)
    found = _json(run("search", "--json", "-k", 12))
    times = [hit["captured_at"] for hit in found["hits"]]
    assert times == sorted(times, reverse=True)
    assert {hit["score"] for hit in found["hits"]} == {None}


def test_diverse_hits_are_from_different_places(run: Run, folder: Path) -> None:
    run("ingest", folder)
    found = _json(run("search", "--image", folder / "lund-0.jpg", "--diverse", "-k", 4, "--json"))
    names = [Path(hit["path"]).name.split("-")[0] for hit in found["hits"]]
    assert sorted(names) == ["honolulu", "lund", "nairobi", "suva"]
    assert names[0] == "lund"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--near", "95,0", "--radius-km", "1"], "latitude 95"),
        (["--near", "here"], "LAT,LON"),
        (["--radius-km", "5"], "--near"),
        (["--near", "1,2", "--radius-km", "-5"], "radius"),
        (["--bbox", "1,2,3"], "W,S,E,N"),
        (["--country", "Sweden"], "two letters"),
        (["--since", "yesterday"], "not a time"),
        (["--since", "2024-02-02", "--until", "2024-01-01"], "swap"),
        (["--image", "/none.jpg"], "/none.jpg"),
        (["-k", "0"], "-k"),
        (["--colour", "red"], "--colour"),
    ],
)
def test_a_bad_option_is_one_sentence_and_exit_code_2(
    run: Run, options: list[str], words: str
) -> None:
    code, out, err = run("search", *options)
    assert code == 2
    assert words in err
    assert out == ""
    assert "Traceback" not in err


def test_locate_answers_in_the_agreed_form(run: Run, folder: Path, tmp_path: Path) -> None:
    held_out = tmp_path / "unknown.jpg"
    (folder / "nairobi-1.jpg").rename(held_out)
    run("ingest", folder)
    found = _json(run("locate", held_out, "--json"))
    assert found["image"] == str(held_out)
    assert (found["lat"], found["lon"]) == (
        pytest.approx(-1.286, abs=0.01),
        pytest.approx(36.817, abs=0.01),
    )
    assert found["radius_km"].keys() == {"50", "90"}
    assert "Nairobi" in found["place"]
    assert found["cost_usd"] == 0.0
    assert [Path(item["path"]).name for item in found["evidence"][:2]] == [
        "nairobi-0.jpg", "nairobi-2.jpg",
    ]  # fmt: skip
    assert found["alternatives"]
    names = ["encoding", "search", "search", "retrieval", "density", "uncertainty"]
    assert [step["name"] for step in found["steps"]] == names


def test_locate_without_photos_to_compare_with_gives_no_coordinate(run: Run, folder: Path) -> None:
    code, out, _ = run("locate", folder / "lund-0.jpg", "--json")
    found = json.loads(out)
    assert code == 1
    assert (found["lat"], found["lon"]) == (None, None)
    assert "empty" in found["reason"]


def test_a_batch_goes_on_past_a_broken_photo(run: Run, folder: Path, tmp_path: Path) -> None:
    run("ingest", folder)
    batch = tmp_path / "batch"
    batch.mkdir()
    (batch / "a.jpg").write_bytes((folder / "lund-0.jpg").read_bytes())
    (batch / "b.jpg").write_bytes(b"broken")
    code, out, _ = run("locate", batch, "--json")
    good, bad = json.loads(out)
    assert code == 1
    assert good["lat"] == pytest.approx(55.705, abs=0.01)
    assert bad["lat"] is None
    assert bad["reason"]


def test_locating_into_a_file_says_what_it_wrote_and_writes_every_photo(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    run("ingest", folder)
    out = tmp_path / "results.csv"
    said = _json(run("locate", folder, "--out", out, "--json"))
    assert said == {
        "out": str(out), "photos": 12, "resumed": 0, "unanswered": 0, "cost_usd": 0.0,
        "without_lmm": 0,
    }  # fmt: skip
    assert len(out.read_text().splitlines()) == 13


@pytest.mark.parametrize(
    "options",
    [
        ["--near", "55.7,13.2", "--radius-km", "50"],
        ["--bbox", "10,55,16,57"],
        ["--country", "se"],
    ],
)
def test_locate_compares_with_photos_of_the_area_only(
    run: Run, folder: Path, options: list[str]
) -> None:
    run("ingest", folder)
    assert _json(run("locate", folder / "lund-0.jpg", "--json"))["alternatives"]
    found = _json(run("locate", folder / "lund-0.jpg", *options, "--json"))
    assert found["lat"] == pytest.approx(55.705, abs=0.01)
    assert not found["alternatives"]
    assert {Path(item["path"]).name.split("-")[0] for item in found["evidence"]} == {"lund"}
    code, out, _ = run("locate", folder / "suva-0.jpg", *options, "--json")
    assert (code, json.loads(out)["lat"]) == (1, None)  # nothing in the area looks like it


def test_locate_takes_an_area_from_a_file_and_narrows_by_time_and_author(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    run("ingest", folder)
    area = tmp_path / "fiji.geojson"
    ring = [[177, -19], [179, -19], [179, -17], [177, -17], [177, -19]]
    area.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    found = _json(run("locate", folder / "suva-0.jpg", "--within", area, "--json"))
    assert found["lon"] == pytest.approx(178.44, abs=0.05)
    assert not found["alternatives"]
    for nobody in (["--author", "nobody"], ["--dataset", "none"], ["--until", "1999-12-31"]):
        code, out, _ = run("locate", folder / "lund-0.jpg", *nobody, "--json")
        assert code == 1
        assert json.loads(out)["lat"] is None


def test_an_area_belongs_to_the_conditions_of_a_batch(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    run("ingest", folder)
    out = tmp_path / "results.csv"
    begun = out.with_name("results.csv.journal")
    run("locate", folder, "--out", out, "--country", "SE")
    answers = [row["lat"] for row in csv.DictReader(io.StringIO(out.read_text()))]
    assert {lat[:4] for lat in answers if lat} == {"55.7"}
    encoder = _json(run("locate", folder / "lund-0.jpg", "--json"))["encoder"]
    head = {"format": 2, "encoder": encoder, "where": {"country": "SE"}}
    begun.write_text(json.dumps(head) + "\n")
    code, _, err = run("locate", folder, "--out", out, "--country", "FJ")
    assert code == 2
    assert "finish that one with the same settings" in err
    run("locate", folder, "--out", out, "--country", "SE")
    assert not begun.exists()


def test_a_circle_of_locate_needs_its_radius(run: Run, folder: Path) -> None:
    code, out, err = run("locate", folder / "lund-0.jpg", "--near", "55.7,13.2")
    assert (code, out) == (2, "")
    assert "--radius-km" in err


@pytest.mark.parametrize(("form", "begin"), [("csv", "image,"), ("geojson", "{"), ("kml", "<?xml")])
def test_locate_writes_what_other_programs_open(
    run: Run, folder: Path, form: str, begin: str, tmp_path: Path
) -> None:
    run("ingest", folder)
    page = tmp_path / "map.html"
    code, out, err = run("locate", folder / "lund-0.jpg", "--format", form, "--map", page)
    assert code == 0
    assert out.startswith(begin)
    assert "<html" in page.read_text()
    assert str(page) in err


def test_status_and_export_tell_what_is_there(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "fake.jpg").write_bytes(b"fake")
    run("ingest", folder, "--dataset", "trip")
    status = _json(run("status", "--json"))
    assert status["photos"]["indexed"] == 12
    assert status["photos"]["failed"] == 1
    assert status["errors"][0]["path"].endswith("fake.jpg")
    code, out, _ = run("export", "--format", "csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 13
    assert rows[0].keys() >= {
        "path", "lat", "lon", "captured_at", "dataset", "country", "city", "state"
    }  # fmt: skip
    assert {row["state"] for row in rows} == {"indexed", "failed"}
    path = tmp_path / "photos.geojson"
    assert _json(run("export", "--format", "geojson", "-o", path, "--json"))["written"] == 13
    assert len(json.loads(path.read_text())["features"]) == 13
    path = tmp_path / "photos.kml"
    assert run("export", "-o", path)[0] == 0
    assert path.read_text().count("<Placemark>") == 13
    code, _, err = run("export", "--format", "parquet")
    assert code == 2
    assert "--output FILE.parquet" in err


def test_an_exported_parquet_file_reads_back_as_a_manifest(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    run("ingest", folder, "--dataset", "trip")
    path = tmp_path / "photos.parquet"
    assert _json(run("export", "-o", path, "--json"))["written"] == 12
    table = parquet.read_table(path)
    assert str(table.schema.field("lat").type) == "double"
    assert str(table.schema.field("captured_at").type) == "timestamp[us, tz=UTC]"
    report = _json(run("ingest", "--manifest", path, "--json"))
    assert (report["scanned"], report["failed"]) == (12, 0)
    assert list(tmp_path.glob("*.part")) == []


def test_watch_takes_in_what_arrives_until_interrupted(
    run: Run, folder: Path, make_jpeg: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from geosearch.cli import ingest as module
    from geosearch.ingest import sources

    monkeypatch.setattr(sources, "SETTLED_AFTER_S", 0.0)
    arrivals = [make_jpeg(77, gps=(1, 2)), make_jpeg(78, gps=(3, 4))]

    def arrive(_: float) -> None:
        if not arrivals:
            raise KeyboardInterrupt
        (folder / f"new-{len(arrivals)}.jpg").write_bytes(arrivals.pop())

    monkeypatch.setattr(module, "_wait", arrive)
    code, out, _ = run("ingest", folder, "--watch")
    assert code == 130
    assert [line.split(": ")[1].split(" ")[0] for line in out.splitlines()] == ["12", "1", "1"]


def test_config_masks_secrets(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOSEARCH_QDRANT_API_KEY", "swordfish")
    for options in ([], ["--json"]):
        code, out, _ = run("config", *options)
        assert code == 0
        assert "GEOSEARCH_QDRANT_API_KEY" in out
        assert "swordfish" not in out


def test_a_misspelt_setting_is_exit_code_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOSEARCH_HOM", "/x")
    code, _, err = run("status")
    assert code == 2
    assert "did you mean GEOSEARCH_HOME" in err


def test_init_and_migrate_say_what_they_found(run: Run) -> None:
    found = _json(run("migrate", "--json"))
    assert found["before"] == found["after"]  # the fixture's database has its tables already
    assert is_known_revision(found["after"])
    document = _json(run("init", "--json"))
    assert (document["points"], document["store"]) == (0, "embedded")


def test_a_manifest_without_coordinates_is_exit_code_2(run: Run, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,town\na.jpg,Lund\n")
    code, _, err = run("ingest", "--manifest", tmp_path / "labels.csv")
    assert code == 2
    assert "lat and lon is missing" in err


def test_a_home_in_use_is_exit_code_2_and_names_the_holder(
    run: Run, tmp_path: Path, folder: Path
) -> None:
    script = (
        "import sys, pathlib; from geosearch.home import Home\n"
        "home = Home(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "home")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        code, _, err = run("ingest", folder)
        process.kill()
    assert code == 2
    assert f"in use by process {process.pid}" in err


def test_the_sample_photos_are_all_accounted_for(run: Run, shared: Path) -> None:
    """197 rows; a few files are in the collection twice under two names."""
    report = _json(run("ingest", "--manifest", shared / "photos" / "labels.csv", "--json"))
    assert report["scanned"] == 197
    assert report["indexed"] + report["duplicates"] == 197
    assert report["duplicates"] == 4


def test_exif_of_the_sample_photos_agrees_with_their_labels(run: Run, shared: Path) -> None:
    labels = {
        row["path"].split("/")[1]: (float(row["lat"]), float(row["lon"]))
        for row in csv.DictReader(
            (shared / "photos" / "labels.csv").read_text("utf-8").splitlines()
        )
        if row["path"].startswith("exif/")
    }
    run("ingest", shared / "photos" / "exif")
    _, out, _ = run("export")
    rows = list(csv.DictReader(io.StringIO(out)))
    read = {Path(row["path"]).name: row for row in rows if row["state"] == "indexed"}
    assert len(read) == 47  # 50 files, three of them twice
    for name, row in read.items():
        assert float(row["lat"]) == pytest.approx(labels[name][0], abs=1e-4)
        assert float(row["lon"]) == pytest.approx(labels[name][1], abs=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--weights", "text=1"], "not asked for"),
        (["--weights", "image"], "is no weight"),
        (["--text", "  "], "empty"),
        (["--at", "95,0"], "latitude 95"),
    ],
)
def test_a_mix_that_makes_no_sense_is_exit_code_2(run: Run, options: list[str], words: str) -> None:
    code, _, err = run("search", *options)
    assert code == 2
    assert words in err


def test_weights_move_a_mix_between_its_parts(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text that means the colours of another photo pulls the answer towards it."""
    run("ingest", folder)
    suva = ColorGridEmbedder().embed((folder / "suva-0.jpg").read_bytes())
    monkeypatch.setattr(
        ColorGridEmbedder, "encode_texts", lambda _, texts: suva[None], raising=False
    )
    image = folder / "lund-0.jpg"
    for weights, city in (("image=1,text=0.1", "lund"), ("image=0.1,text=1", "suva")):
        found = _json(
            run("search", "--image", image, "--text", "x", "--weights", weights, "-k", 3, "--json")
        )
        assert {Path(hit["path"]).name.split("-")[0] for hit in found["hits"]} == {city}
