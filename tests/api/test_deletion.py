"""A deleted photo is gone: from the index, the record, the disk, and from all that was answered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from uuid import UUID

import httpx
from sqlalchemy import text

from geosearch.catalogue.lmm_ledger import LmmLedger
from geosearch.client import GeoSearch
from geosearch.lmm.accounts import StoredAnswer
from geosearch.lmm.answers import Refusal
from geosearch.lmm.pictures import prepare_picture

MakeJpeg = Callable[..., bytes]


def _everything(geosearch: GeoSearch) -> str:
    """All rows of all tables of the catalogue as text."""
    with geosearch.services.engine.connect() as connection:
        names = connection.execute(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ).scalars()
        return "\n".join(
            str(connection.execute(text(f'SELECT t::text FROM "{name}" t')).scalars().all())
            for name in names
        )


def _upload(api: httpx.Client, *photos: tuple[str, bytes], **headers: str) -> httpx.Response:
    files = [("files", photo) for photo in photos]
    return api.post("/v1/photos", files=files, headers=headers).raise_for_status()


def _results(api: httpx.Client, job: httpx.Response) -> list[dict[str, object]]:
    api.get(f"{job.headers['location']}/events").raise_for_status()
    results: list[dict[str, object]] = api.get(job.headers["location"]).json()["results"]
    return results


def test_no_table_file_or_answer_names_a_photo_that_was_deleted(
    api: httpx.Client, filled: GeoSearch, make_jpeg: MakeJpeg
) -> None:
    data, other = make_jpeg(90, gps=(48.8, 2.3)), make_jpeg(91, gps=(48.9, 2.4))
    secret = ("grandmother.jpg", data)
    job = _upload(api, secret, ("other.jpg", other), Prefer="respond-async")
    [result, kept] = _results(api, job)
    photo_id = str(result["id"])
    asked = api.post("/v1/locate", files=[("image", ("ask.jpg", data)), ("image", ("b.jpg", data))])
    assert photo_id in json.dumps(_results(api, asked))
    api.patch(f"/v1/photos/{photo_id}", json={"lat": 1.0, "lon": 1.0}).raise_for_status()
    sha256 = hashlib.sha256(data).hexdigest()
    before = _everything(filled)
    for trace in (photo_id, sha256, "grandmother"):
        assert trace in before

    assert api.delete(f"/v1/photos/{photo_id}").status_code == 204

    after = _everything(filled)
    assert [trace for trace in (photo_id, sha256, "grandmother") if trace in after] == []
    gone = {"name": "deleted", "id": None, "reason": "the photo was deleted", "outcome": "deleted"}
    assert _results(api, job) == [gone, kept]
    assert [one["image"] for one in _results(api, asked)] == ["ask.jpg", "b.jpg"]
    assert "rested on a photo that was deleted" in str(_results(api, asked)[0]["reason"])
    assert filled.services.store.existing([UUID(photo_id)]) == set()
    assert not list(filled.services.settings.home.rglob("*grandmother*"))


def test_a_repeated_upload_does_not_bring_a_deleted_photo_back(
    api: httpx.Client, make_jpeg: MakeJpeg
) -> None:
    photos = [("a.jpg", make_jpeg(92, gps=(1.0, 1.0))), ("b.jpg", make_jpeg(93, gps=(1.0, 2.0)))]
    headers = {"Idempotency-Key": "once"}
    first = _upload(api, *photos, **headers).json()["photos"]
    api.delete(f"/v1/photos/{first[0]['id']}").raise_for_status()
    again = _upload(api, *photos, **headers).json()["photos"]
    assert (again[0]["outcome"], again[0]["id"]) == ("deleted", None)
    assert again[1] == first[1]
    assert api.get(f"/v1/photos/{first[0]['id']}").status_code == 404
    new = _upload(api, *photos, **{"Idempotency-Key": "twice"}).json()["photos"]
    assert [one["outcome"] for one in new] == ["indexed", "duplicates"]


def test_answers_that_were_asked_with_a_photo_or_show_it_are_forgotten(
    api: httpx.Client, make_jpeg: MakeJpeg
) -> None:
    unrelated = api.post("/v1/locate", files={"image": ("l.jpg", make_jpeg(0))}).json()
    data = make_jpeg(94, gps=(60.0, 20.0))
    [result] = _upload(api, ("a.jpg", data)).json()["photos"]
    shows_it = api.post("/v1/locate", files={"image": ("q.jpg", data + b"x")}).json()["id"]
    asked_with_it = api.post("/v1/locate", files={"image": ("a.jpg", data)}).json()["id"]
    api.delete(f"/v1/photos/{result['id']}").raise_for_status()
    for name in (shows_it, asked_with_it):
        assert api.get(f"/v1/located/{name}").status_code == 404
        assert api.get(f"/v1/located/{name}/image").status_code == 404
    assert api.get(f"/v1/located/{unrelated['id']}").status_code == 200


def test_the_vector_of_a_deleted_photo_is_not_remembered_as_a_query(
    api: httpx.Client, filled: GeoSearch, make_jpeg: MakeJpeg
) -> None:
    data = make_jpeg(95, gps=(2.0, 2.0))
    [result] = _upload(api, ("a.jpg", data)).json()["photos"]
    api.post("/v1/search", files={"image": ("a.jpg", data)}).raise_for_status()
    known = {photo for _, photo in filled._vectors._known}
    assert hashlib.sha256(data).digest() in known
    api.delete(f"/v1/photos/{result['id']}").raise_for_status()
    assert hashlib.sha256(data).digest() not in {photo for _, photo in filled._vectors._known}


def test_what_a_model_said_of_a_deleted_photo_is_deleted_and_what_it_said_of_others_is_not(
    api: httpx.Client, filled: GeoSearch, make_jpeg: MakeJpeg
) -> None:
    ledger = LmmLedger(filled.services.engine)
    edge = filled.services.settings.lmm_image_edge
    photos = [make_jpeg(96, gps=(3.0, 3.0)), make_jpeg(97, gps=(4.0, 4.0))]
    for number, data in enumerate(photos):
        picture = prepare_picture(data, edge=edge).digest
        said = Refusal("a wall", by_policy=False)
        ledger.keep_answer(StoredAnswer(f"{number}" * 64, said, "eye", "x/eye", picture, "1"))
    results = _upload(api, ("a.jpg", photos[0]), ("b.jpg", photos[1])).json()["photos"]
    api.delete(f"/v1/photos/{results[0]['id']}").raise_for_status()
    assert ledger.find_answer("0" * 64) is None
    assert ledger.find_answer("1" * 64) is not None


def test_browsers_ask_before_they_show_a_picture_again(
    api: httpx.Client, make_jpeg: MakeJpeg
) -> None:
    [result] = _upload(api, ("a.jpg", make_jpeg(98, gps=(5.0, 5.0)))).json()["photos"]
    address = f"/v1/photos/{result['id']}/thumbnail"
    first = api.get(address).raise_for_status()
    assert first.headers["cache-control"] == "private, no-cache"
    same = {"If-None-Match": first.headers["etag"]}
    assert (api.get(address, headers=same).status_code, first.content[:2]) == (304, b"\xff\xd8")
    api.delete(f"/v1/photos/{result['id']}").raise_for_status()
    assert api.get(address, headers=same).status_code == 404
