from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from geosearch.api import create_app
from geosearch.api.answers import Document
from geosearch.api.runner import FOLDER, JobRunner
from geosearch.catalogue.jobs import Job, Jobs
from geosearch.client import GeoSearch
from geosearch.errors import InvalidInput, StoreError
from tests.api.conftest import serving

MakeJpeg = Callable[..., bytes]


def _finished(runner: JobRunner, job: Job) -> Job:
    while (now := runner.record.get(job.id)) is not None and now.state == "queued":
        runner.wait(0.5)
    assert now is not None
    return now


def _as_job(api: httpx.Client, photos: list[tuple[str, bytes]], **headers: str) -> httpx.Response:
    return api.post(
        "/v1/photos",
        files=[("files", photo) for photo in photos],
        data={"dataset": "jobs"},
        headers={"Prefer": "respond-async", **headers},
    )


def _events(text: str) -> list[tuple[str, dict[str, object]]]:
    found = []
    for block in text.split("\n\n"):
        if block.startswith("event: "):
            kind, data = block.split("\n")
            found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_many_photos_to_locate_become_a_job_whose_events_end(
    api: httpx.Client, make_jpeg: MakeJpeg
) -> None:
    photos = [("image", (f"{seed}.jpg", make_jpeg(seed))) for seed in (0, 1, 2)]
    accepted = api.post("/v1/locate", files=[*photos, ("image", ("bad.jpg", b"no photo"))])
    assert accepted.status_code == 202
    address = accepted.headers["location"]
    events = api.get(f"{address}/events").text
    assert events.count("event: prediction") == 4
    assert "event: done" in events
    job = api.get(address).json()
    assert job["state"] == "done"
    assert [result["image"] for result in job["results"]] == ["0.jpg", "1.jpg", "2.jpg", "bad.jpg"]
    assert job["results"][3]["reason"]
    assert api.get(f"/v1/jobs/{uuid4()}").status_code == 404


def test_an_upload_becomes_a_job_on_request_and_tells_each_photo(
    api: httpx.Client, make_jpeg: MakeJpeg
) -> None:
    photos = [(f"{n}.jpg", make_jpeg(100 + n, gps=(10.0, float(n)))) for n in range(20)]
    accepted = _as_job(api, [*photos, ("bad.jpg", b"no photo"), photos[0]])
    assert accepted.status_code == 202
    assert accepted.json()["kind"] == "ingest"
    events = _events(api.get(f"{accepted.headers['location']}/events").text)
    assert [kind for kind, _ in events] == ["photo"] * 22 + ["done"]
    outcomes = [document["outcome"] for _, document in events[:-1]]
    assert outcomes == ["indexed"] * 20 + ["failed", "duplicates"]
    assert [document["name"] for _, document in events[:2]] == ["0.jpg", "1.jpg"]
    found = api.post("/v1/search", data={"query": json.dumps({"dataset": "jobs"})}).json()
    assert found["matched"] == 20


def test_a_repeated_upload_with_its_idempotency_key_is_the_same_job(
    api: httpx.Client, make_jpeg: MakeJpeg
) -> None:
    photos = [("a.jpg", make_jpeg(60, gps=(1.0, 1.0)))]
    first = _as_job(api, photos, **{"Idempotency-Key": "x"}).json()["id"]
    assert _as_job(api, photos, **{"Idempotency-Key": "x"}).json()["id"] == first
    assert _as_job(api, photos, **{"Idempotency-Key": "y"}).json()["id"] != first
    other = [("a.jpg", make_jpeg(61))]
    assert _as_job(api, other, **{"Idempotency-Key": "x"}).status_code == 422


@pytest.mark.parametrize("kind", ["locate", "ingest"])
def test_a_job_that_was_cut_off_is_finished_by_the_next_server(
    filled: GeoSearch, make_jpeg: MakeJpeg, kind: str
) -> None:
    record = Jobs(filled.services.engine)
    job = record.add(kind, ["a.jpg", "b.jpg", "gone.jpg"])
    record.append(job.id, [{"name": "a.jpg"}])
    folder = filled.services.settings.home / FOLDER / str(job.id)
    folder.mkdir(parents=True)
    (folder / "1").write_bytes(make_jpeg(2, gps=(1.0, 1.0)))
    app = create_app(filled)
    try:
        now = _finished(app.state.shared.jobs, job)
    finally:
        app.state.shared.stop()
    names = [result.get("name", result.get("image")) for result in now.results]
    assert names == ["a.jpg", "b.jpg", "gone.jpg"]
    assert now.results[2]["reason"] == "the photo is no longer on the server"
    assert not folder.exists()


def _runner(geosearch: GeoSearch, work: Callable[[Job], list[Document]]) -> JobRunner:
    def each(job: Job, files: Sequence[Path]) -> Generator[Sequence[Document]]:
        yield work(job)

    return JobRunner(geosearch.services, {"locate": each})


@pytest.mark.parametrize(
    ("error", "said"),
    [(InvalidInput("no place"), "no place"), (ZeroDivisionError("x"), "its log says why")],
)
def test_a_job_that_cannot_be_done_fails_and_the_next_one_is_done(
    geosearch: GeoSearch, error: Exception, said: str
) -> None:
    def work(job: Job) -> list[Document]:
        if job.names == ("bad",):
            raise error
        return [{"image": job.names[0]}]

    runner = _runner(geosearch, work)
    try:
        bad, good = (runner.submit("locate", [(name, b"x")]) for name in ("bad", "good"))
        failed, done = _finished(runner, bad), _finished(runner, good)
    finally:
        runner.stop()
    assert failed.state == "failed"
    assert said in (failed.error or "")
    assert done.results == ({"image": "good"},)


def test_a_job_waits_for_engines_that_do_not_answer(geosearch: GeoSearch) -> None:
    calls = []

    def work(job: Job) -> list[Document]:
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise StoreError("away")
        return [{"image": "a"}]

    runner = _runner(geosearch, work)
    try:
        job = _finished(runner, runner.submit("locate", [("a", b"x")]))
    finally:
        runner.stop()
    assert job.state == "done"
    assert len(calls) == 2


def test_any_number_may_watch_a_job_and_the_server_still_answers(
    geosearch: GeoSearch, folder: Path
) -> None:
    geosearch.ingest(folder)
    app = create_app(geosearch)
    job = Jobs(geosearch.services.engine).add("ingest", ["a.jpg"])
    with serving(geosearch, app=app) as url, app.state.shared.changing.patient_turn():
        ended = []

        def watch() -> None:
            with httpx.stream(
                "GET", f"{url}/v1/jobs/{job.id}/events", timeout=60, trust_env=False
            ) as answer:
                ended.append("event: done" in "".join(answer.iter_text()))

        watchers = [threading.Thread(target=watch) for _ in range(60)]
        for one in watchers:
            one.start()
        runner = app.state.shared.jobs
        while len(runner.watchers) < 60:
            time.sleep(0.01)
        assert httpx.get(f"{url}/healthz", timeout=5, trust_env=False).text == "ok\n"
        assert httpx.get(f"{url}/v1/stats", timeout=5, trust_env=False).status_code == 200
        runner.record.append(job.id, [{"name": "a.jpg"}])
        runner.record.finish(job.id)
        runner.tell()
        for one in watchers:
            one.join()
    assert ended == [True] * 60
