"""Requests that mean harm by their words: JSON, names of files, texts, defects that they find."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from geosearch.api import create_app
from geosearch.api.bodies import strict_json
from geosearch.api.names import MOST_BYTES, safe_name
from geosearch.api.runner import LEFTOVER_S, JobRunner
from geosearch.catalogue.jobs import Jobs
from geosearch.client import GeoSearch
from geosearch.errors import CatalogueError, InvalidInput
from tests.api.conftest import serving

MakeJpeg = Callable[..., bytes]

DEEP = "[" * 100_000
BAD_JSON = {
    "nested": ('{"within":' + DEEP, "nested"),
    "nested and closed": ('{"within":' + DEEP + "]" * 100_000 + "}", "nested"),
    "twice the same name": ('{"limit": 1, "limit": 1000}', "given twice"),
    "NaN": ('{"near": [NaN, 1], "radius_km": 5}', "NaN is no number"),
    "Infinity": ('{"near": [1, 1], "radius_km": Infinity}', "Infinity is no number"),
    "beyond floats": ('{"near": [1e999, 1], "radius_km": 5}', "larger than any number"),
    "digits without end": ('{"limit": ' + "9" * 5000 + "}", "JSON"),
    "half a character": ('{"text": "\\ud800"}', "JSON"),
    "cut short": ('{"limit": 1', "JSON"),
    "a list": ("[]", "valid dictionary"),
    "a NUL in a text": ('{"text": "a\\u0000b"}', "text"),
    "a NUL in a name": ('{"dataset": "a\\u0000b"}', "dataset"),
    "a line end in a name": ('{"author": "a\\r\\nSet-Cookie: x"}', "author"),
    "an escape sequence in a name": ('{"dataset": "\\u001b[2J"}', "dataset"),
    "digits of another script": ('{"cursor": "\\u0663"}', "cursor"),
}


@pytest.mark.parametrize("name", list(BAD_JSON))
def test_bad_json_is_refused_in_words(api: httpx.Client, name: str) -> None:
    text, words = BAD_JSON[name]
    answer = api.post("/v1/search", data={"query": text})
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"lat": NaN, "lon": 1}', 422),
        (b'{"lat": 1, "lon": -Infinity}', 422),
        (b'{"lat": 1, "lat": 2, "lon": 3}', 422),
        (b'{"lat": 1e999, "lon": 3}', 422),
        (b"[" * 200_000, 422),
        (b"\xff\xfe{", 422),
        (b'{"lat": 1, "lon": 1, "label_source": "exif"}', 422),
        (b'{"lat": 1, "lon": 1, "state": "failed"}', 422),
        (b'{"lat": 1, "lon": 1}' + b" " * 5_000_000, 413),
    ],
)
def test_bad_labels_change_nothing(api: httpx.Client, body: bytes, status: int) -> None:
    photo = f"/v1/photos/{api.post('/v1/search').json()['hits'][0]['id']}"
    before = api.get(photo).json()
    answer = api.patch(photo, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.json()["status"] == status
    assert api.get(photo).json() == before


def test_json_is_read_as_its_standard_has_it() -> None:
    assert strict_json('{"a": [1, 2.5, "\\u00e9"], "b": null}') == {"a": [1, 2.5, "é"], "b": None}
    with pytest.raises(InvalidInput, match="'a' is given twice"):
        strict_json('{"b": {"a": 1, "a": 1}}')


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../../etc/cron.d/x.jpg", "x.jpg"),
        ("/etc/passwd", "passwd"),
        ("C:\\Users\\me\\x.jpg", "x.jpg"),
        ("..\\..\\x.jpg", "x.jpg"),
        ("a\0b.jpg", "a_b.jpg"),
        ("a\r\nSet-Cookie: x.jpg", "a__Set-Cookie_ x.jpg"),
        ("\x1b[31mred.jpg", "_[31mred.jpg".replace("[", "_")),
        ("\u202egpj.exe", "_gpj.exe"),
        (".hidden.jpg", "hidden.jpg"),
        ("..", "photo"),
        (" . ", "photo"),
        ("", "photo"),
        (None, "photo"),
        ("a.tar::b.jpg", "b.jpg"),
        ("%2e%2e%2fx.jpg", "_2e_2e_2fx.jpg"),
        ("$(reboot).jpg", "__reboot_.jpg"),
        ("Malmö, brücke.JPG", "Malmö_ brücke.JPG"),
        ("x" * 300 + ".jpg", "x" * (MOST_BYTES - 4) + ".jpg"),
        ("漢" * 300 + ".jpg", "漢" * ((MOST_BYTES - 4) // 3) + ".jpg"),
        ("a." + "漢" * 300, "a." + "漢" * 7),
        ("漢" * 300 + "." + "漢" * 300, "漢" * 46 + "." + "漢" * 7),
    ],
)
def test_a_name_keeps_nothing_that_a_file_system_could_take_amiss(
    given: str | None, kept: str
) -> None:
    assert safe_name(given) == kept
    assert len(safe_name(given).encode()) <= MOST_BYTES


@pytest.mark.parametrize(
    "raw",
    [b"a\0b.jpg", "漢".encode() * 300 + b"." + "漢".encode() * 300, b"\xff\xfe.jpg", b"..%00"],
)
def test_photos_with_names_that_no_disk_holds_are_taken_in_all_the_same(
    api: httpx.Client, filled: GeoSearch, make_jpeg: MakeJpeg, raw: bytes
) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n\r\n%s\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    data, home = make_jpeg(50, gps=(1.0, 1.0)), filled.services.settings.home
    body = part % (b"files", raw, data) + b"--b--\r\n"
    [result] = (
        api.post("/v1/photos", content=body, headers=kind).raise_for_status().json()["photos"]
    )
    assert result["outcome"] == "indexed"
    [kept] = [path for path in home.rglob("uploads/**/*") if path.is_file()]
    assert kept.name == result["name"]
    both = part % (b"image", raw, data) + part % (b"image", raw, data) + b"--b--\r\n"
    job = api.post("/v1/locate", content=both, headers=kind).raise_for_status()
    api.get(f"{job.headers['location']}/events")
    assert api.get(job.headers["location"]).json()["state"] == "done"


@pytest.mark.parametrize("headers", [{}, {"Prefer": "respond-async"}])
def test_words_that_the_catalogue_cannot_hold_are_refused_and_nothing_is_kept(
    api: httpx.Client, filled: GeoSearch, make_jpeg: MakeJpeg, headers: dict[str, str]
) -> None:
    for dataset in ("a\0b", "a\r\nb", "\x1b[2J"):
        answer = api.post(
            "/v1/photos",
            files=[("files", ("a.jpg", make_jpeg(51)))],
            data={"dataset": dataset},
            headers=headers,
        )
        assert answer.status_code == 422, answer.text
    home = filled.services.settings.home
    assert not [p for name in ("jobs", "uploads") for p in (home / name).glob("*")]


def test_photos_of_a_job_that_cannot_be_recorded_are_not_kept(
    filled: GeoSearch, make_jpeg: MakeJpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise CatalogueError("PostgreSQL is away")

    app = create_app(filled)
    with serving(filled, app=app) as url:
        monkeypatch.setattr(app.state.shared.jobs.record, "add", refuse)
        answer = httpx.post(
            f"{url}/v1/photos",
            files=[("files", ("a.jpg", make_jpeg(52)))],
            headers={"Prefer": "respond-async"},
            trust_env=False,
        )
    assert answer.status_code == 503
    assert not list((filled.services.settings.home / "jobs").iterdir())


def test_photos_of_jobs_that_nobody_recorded_go_at_the_next_start(filled: GeoSearch) -> None:
    folder = filled.services.settings.home / "jobs"
    waiting = Jobs(filled.services.engine).add("ingest", ["a.jpg"])
    names = [
        str(waiting.id),
        "0e9d6a5e-8b1e-4a53-9d37-0c2f1f6f7a11",
        "9d6a5e0e-8b1e-4a53-9d37-0c2f",
    ]
    names[2] += "1f6f7a12"
    long_ago = time.time() - LEFTOVER_S - 10
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        (folder / name / "0").write_bytes(b"x")
        if number < 2:
            os.utime(folder / name, (long_ago, long_ago))
    JobRunner(filled.services, {}).stop()
    assert {path.name for path in folder.iterdir()} == {names[0], names[2]}


def test_a_full_disk_is_507_and_leaves_nothing(
    api: httpx.Client, filled: GeoSearch, make_jpeg: MakeJpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    for headers in ({}, {"Prefer": "respond-async"}):
        answer = api.post(
            "/v1/photos", files=[("files", ("a.jpg", make_jpeg(53)))], headers=headers
        )
        assert answer.status_code == 507, answer.text
    home = filled.services.settings.home
    assert not [p for name in ("jobs", "uploads") for p in (home / name).rglob("*") if p.is_file()]


def test_a_defect_is_a_problem_document_and_its_words_stay_in_the_log(
    api: httpx.Client,
    filled: GeoSearch,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def break_down(**_: object) -> None:
        raise ZeroDivisionError("/srv/secret")

    monkeypatch.setattr(filled, "search", break_down)
    answer = api.post("/v1/search")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "secret" not in answer.text
    assert "/srv/secret" in caplog.text
    assert 'method="POST",status="500"} 1' in api.get("/metrics").text


def test_csv_of_hostile_words_runs_no_formula(api: httpx.Client, make_jpeg: MakeJpeg) -> None:
    for number, dataset in enumerate(("=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "＝1")):
        files = [("files", (f"={number}.jpg", make_jpeg(60 + number, gps=(5.0, 5.0))))]
        api.post("/v1/photos", files=files, data={"dataset": dataset}).raise_for_status()
    query = {"query": json.dumps({"near": [5, 5], "radius_km": 5})}
    table = api.post("/v1/search", data=query, headers={"Accept": "text/csv"}).text
    lines = table.splitlines()
    assert len(lines) == 6
    cells = [cell for line in lines for cell in line.split(",")]
    assert not [cell for cell in cells if cell.strip('"').startswith(("=", "+", "@", "＝"))]
    assert {"'=HYPERLINK(1)", "'+1", "'-1", "'@SUM(A1)", "'＝1"} <= set(cells)
