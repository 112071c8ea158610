"""Every upload of `hostile.py`, by every door that takes photos, and what is left afterwards."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import httpx
import pytest

from geosearch.client import GeoSearch
from tests.api.hostile import HARMLESS, REFUSED, Hostile, hostile_uploads

MOST_GROWTH_MB = 300
"""Of this process while all are answered; the largest upload is 20 MB, decoded nothing is."""


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def _kept(geosearch: GeoSearch) -> list[Path]:
    home = geosearch.services.settings.home
    folders = (home / "uploads", home / "jobs")
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def _wrong(name: str, one: Hostile, answer: httpx.Response) -> str | None:
    """What is not as expected in the answer to an upload."""
    if answer.status_code != 200:
        return f"{name}: {answer.status_code} {answer.text}"
    [result] = answer.json()["photos"]
    is_right = (
        result["outcome"] == one.outcome
        and (result["id"] is None) == (one.outcome == REFUSED)
        and one.reason in (result["reason"] or "")
    )
    return None if is_right else f"{name}: {result}, not {one.outcome} {one.reason!r}"


def test_hostile_uploads_get_the_answer_on_record_and_leave_nothing_behind(
    api: httpx.Client, filled: GeoSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = hostile_uploads()
    assert len(uploads) >= 60
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    before_mb = _peak_mb()
    wrong = []
    for name, one in uploads.items():
        photo = (one.file, one.data)
        kept_before = len(_kept(filled))
        wrong.append(_wrong(name, one, api.post("/v1/photos", files=[("files", photo)])))
        kept = len(_kept(filled)) - kept_before
        if kept != (one.outcome == HARMLESS):
            wrong.append(f"{name}: {kept} files kept")
        searched = api.post("/v1/search", files={"image": photo})
        if searched.status_code != (422 if one.outcome == REFUSED else 200):
            wrong.append(f"{name}: search {searched.status_code} {searched.text}")
        if searched.status_code == 422:
            problem = searched.json()
            assert searched.headers["content-type"] == "application/problem+json"
            assert (problem["type"], problem["title"]) == ("about:blank", "Unprocessable Entity")
        located = api.post("/v1/locate", files={"image": photo})
        if located.status_code != 200 or (one.outcome == REFUSED) != bool(located.json()["reason"]):
            wrong.append(f"{name}: locate {located.status_code} {located.text}")
    assert not list(filter(None, wrong)), "\n".join(filter(None, wrong))
    assert _peak_mb() - before_mb < MOST_GROWTH_MB
    assert list(temporary.iterdir()) == []
    assert not [path for path in _kept(filled) if path.name.endswith(".part")]
    states = filled.services.catalogue.counts()
    accepted = sum(one.outcome == HARMLESS for one in uploads.values())
    assert states == dict.fromkeys(states, 0) | {"indexed": 12, "unlabelled": accepted}
    assert api.get("/healthz").text == "ok\n"
    assert api.post("/v1/search").json()["matched"] == 12


def test_a_job_of_hostile_uploads_ends_and_tells_of_each(
    api: httpx.Client, filled: GeoSearch
) -> None:
    uploads = hostile_uploads()
    files = [("files", (one.file, one.data)) for one in uploads.values()]
    accepted = api.post("/v1/photos", files=files, headers={"Prefer": "respond-async"})
    events = api.get(f"{accepted.headers['location']}/events").text
    assert events.rstrip().endswith('data: {"error": null}')
    results = api.get(accepted.headers["location"]).json()["results"]
    outcomes = [result["outcome"] for result in results]
    assert outcomes == [one.outcome for one in uploads.values()]
    jobs = filled.services.settings.home / "jobs"
    give_up = time.monotonic() + 30  # the end is recorded just before the files go
    while list(jobs.iterdir()):
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_job_of_hostile_photos_to_locate_ends_and_tells_of_each(api: httpx.Client) -> None:
    uploads = list(hostile_uploads().values())[:64]
    accepted = api.post("/v1/locate", files=[("image", (one.file, one.data)) for one in uploads])
    api.get(f"{accepted.headers['location']}/events")
    job = api.get(accepted.headers["location"]).json()
    assert (job["state"], job["done"]) == ("done", len(uploads))
    told = [bool(result["reason"]) for result in job["results"]]
    assert told == [one.outcome == REFUSED for one in uploads]
