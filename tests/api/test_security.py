from __future__ import annotations

import hmac
import io
import json
import socket
from collections.abc import Callable

import httpx
import pytest
from PIL import Image

from geosearch.api.access import Access
from geosearch.catalogue.keys import ApiKeys
from geosearch.client import GeoSearch
from geosearch.errors import ConfigError, StoreError
from geosearch.settings import Settings
from tests.api.conftest import serving

MakeJpeg = Callable[..., bytes]


@pytest.mark.parametrize(
    "name",
    ["../../../etc/cron.d/x.jpg", "..\\..\\x.jpg", "/etc/passwd", "a.tar::b.jpg", ".hidden.jpg",
     "x" * 400 + ".jpg", "%2e%2e%2fx.jpg", "a;rm -rf.jpg", "\u202egpj.exe"],
)  # fmt: skip
def test_names_of_uploads_cannot_leave_their_folder(
    api: httpx.Client, filled: GeoSearch, make_jpeg: MakeJpeg, name: str
) -> None:
    answer = api.post("/v1/photos", files=[("files", (name, make_jpeg(50, gps=(1.0, 1.0))))])
    assert answer.raise_for_status().json()["photos"][0]["outcome"] == "indexed"
    home = filled.services.settings.home
    uploads = (home / "uploads").resolve()
    [kept] = [path for path in uploads.rglob("*") if path.is_file()]
    assert kept.resolve().is_relative_to(uploads)


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd"]
)
def test_paths_cannot_leave_the_static_folder(api: httpx.Client, path: str) -> None:
    assert api.get(path).status_code == 404


def test_requests_under_other_names_or_from_other_pages_are_refused(api: httpx.Client) -> None:
    assert api.get("/v1/stats", headers={"Host": "evil.example"}).status_code == 421
    assert api.get("/v1/stats", headers={"Origin": "https://evil.example"}).status_code == 403
    assert "access-control-allow-origin" not in api.get("/v1/stats").headers


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_what_an_engine_says_of_itself_stays_in_the_log(
    api: httpx.Client,
    filled: GeoSearch,
    make_jpeg: MakeJpeg,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    accept: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreError("/srv/secret/qdrant does not answer")

    monkeypatch.setattr(filled, "locate_bytes", fail)
    answer = api.post(
        "/v1/locate", files={"image": ("a.jpg", make_jpeg(1))}, headers={"Accept": accept}
    )
    assert "the server's engines do not answer" in answer.text
    assert "secret" not in answer.text
    assert "/srv/secret/qdrant does not answer" in caplog.text


def test_oversize_and_unmeasured_bodies_are_refused(api: httpx.Client) -> None:
    large = api.patch("/v1/photos/x", content=b"{" + b" " * 6_000_000)
    assert large.status_code == 413
    assert api.post("/v1/search", content=iter([b"query={}"])).status_code == 411


def test_deep_json_is_refused(api: httpx.Client) -> None:
    answer = api.post("/v1/search", data={"query": '{"within":' * 1 + "[" * 100_000})
    assert answer.status_code in (400, 413, 422)


def test_keys_open_what_their_scopes_say_and_nothing_after_they_are_revoked(
    filled: GeoSearch,
) -> None:
    keys = ApiKeys(filled.services.engine)
    reader, read = keys.create("reader", ["read"])
    _, write = keys.create("writer", ["write"])
    with (
        serving(filled, asks_keys=True) as url,
        httpx.Client(base_url=url, timeout=120, trust_env=False) as client,
    ):

        def ask(method: str, path: str, key: str | None) -> int:
            headers = {} if key is None else {"Authorization": f"Bearer {key}"}
            return client.request(method, path, headers=headers).status_code

        missing = "/v1/photos/6d1e1f9c-6c1b-5d0e-9a53-0c6b1d0f7a11"
        assert ask("GET", "/healthz", None) == 200
        assert ask("GET", "/v1/stats", None) == 401
        assert ask("GET", "/metrics", None) == 401
        assert ask("GET", "/v1/stats", "gs_wrong") == 401
        assert ask("GET", "/v1/stats", read) == 200
        assert ask("DELETE", missing, read) == 403
        assert ask("DELETE", missing, write) == 404
        assert ask("GET", "/v1/stats", write) == 200
    keys.revoke(reader.id)
    assert keys.find(read) is None


def test_the_catalogue_holds_no_key_itself(filled: GeoSearch) -> None:
    from sqlalchemy import text

    _, secret = ApiKeys(filled.services.engine).create("x", ["admin"])
    with filled.services.engine.connect() as connection:
        rows = connection.execute(text("SELECT api_key::text FROM api_key")).scalars().all()
    assert rows
    assert not [row for row in rows if secret in row or secret.encode().hex() in row]


def test_the_key_of_the_settings_is_compared_in_constant_time(
    filled: GeoSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared, compare = [], hmac.compare_digest

    def watched(given: bytes, own: bytes) -> bool:
        compared.append(given)
        return compare(given, own)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    access = Access(ApiKeys(filled.services.engine), "of the settings")
    caller = access.caller("of the settings")
    assert caller is not None
    assert caller.allows("admin")
    assert access.caller("of the setting") is None
    assert access.caller("\xff") is None
    assert compared == [b"of the settings", b"of the setting", "\xff".encode()]


def test_a_key_needs_a_name_and_known_scopes(filled: GeoSearch) -> None:
    keys = ApiKeys(filled.services.engine)
    for name, scopes in (("", ["read"]), ("x", []), ("x", ["root"])):
        with pytest.raises(ConfigError):
            keys.create(name, scopes)
    with pytest.raises(ConfigError, match="keys list"):
        keys.revoke("00000000")


def test_too_many_requests_get_429_with_a_time(filled: GeoSearch) -> None:
    settings = filled.services.settings
    filled.services.settings = Settings(
        **{**settings.model_dump(exclude_unset=True), "api_rate_per_minute": 3}
    )
    with (
        serving(filled) as url,
        httpx.Client(base_url=url, timeout=120, trust_env=False) as client,
    ):
        answers = [client.get("/v1/encoders") for _ in range(5)]
    last = answers[-1]
    assert last.status_code == 429
    assert int(last.headers["retry-after"]) >= 1


def test_an_upload_over_the_limit_of_bytes_is_refused(filled: GeoSearch) -> None:
    settings = filled.services.settings
    filled.services.settings = Settings(
        **{**settings.model_dump(exclude_unset=True), "max_file_mb": 1}
    )
    with (
        serving(filled) as url,
        httpx.Client(base_url=url, timeout=120, trust_env=False) as client,
    ):
        for path, field in (("/v1/photos", "files"), ("/v1/search", "image")):
            answer = client.post(path, files=[(field, ("a.jpg", bytes(1_000_000)))])
            assert answer.status_code == 413, answer.text
            assert "1,000,000" in answer.json()["detail"]


@pytest.mark.parametrize(("path", "field"), [("/v1/photos", "files"), ("/v1/locate", "image")])
def test_too_many_photos_in_a_request_are_refused(
    api: httpx.Client, make_jpeg: MakeJpeg, path: str, field: str
) -> None:
    answer = api.post(path, files=[(field, (f"{n}.jpg", make_jpeg(n))) for n in range(65)])
    assert answer.status_code == 413
    assert "65" in answer.json()["detail"]


def test_every_answer_has_the_headers_that_browsers_heed(api: httpx.Client) -> None:
    answers = [
        api.get("/"),
        api.get("/docs"),
        api.get("/static/mark.svg"),
        api.get("/openapi.json"),
        api.get("/v1/stats"),
        api.get("/v1/photos", params={"state": "<script>"}),
        api.get("/nowhere"),
        api.get("/v1/stats", headers={"Origin": "https://evil.example"}),
        api.post("/v1/search", content=iter([b"query={}"])),
        api.patch("/v1/photos/x", content=b"{" + b" " * 6_000_000),
    ]
    assert [one.status_code for one in answers] == [200] * 5 + [422, 404, 403, 411, 413]
    for answer in answers:
        policy = answer.headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy)
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"]
        assert "access-control-allow-origin" not in answer.headers


def test_a_picture_of_many_pixels_is_refused_before_it_is_decoded(
    api: httpx.Client,
) -> None:
    buffer = io.BytesIO()
    Image.new("L", (20_000, 20_000)).save(buffer, "PNG", compress_level=1)
    answer = api.post("/v1/photos", files=[("files", ("large.png", buffer.getvalue()))])
    [result] = answer.raise_for_status().json()["photos"]
    assert "pixels" in result["reason"]


@pytest.mark.parametrize("path", ["/v1/search", "/v1/photos", "/v1/locate"])
def test_a_client_that_sends_its_body_too_slowly_is_cut_off(filled: GeoSearch, path: str) -> None:
    with serving(filled, body_timeout_s=0.3) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as slow:
            slow.sendall(
                f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n"
                "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n".encode()
            )
            answer = b""
            while part := slow.recv(10_000):
                answer += part
    assert answer.startswith(b"HTTP/1.1 408")


def test_words_of_a_request_become_no_headers_of_its_answer(
    api: httpx.Client, make_jpeg: MakeJpeg
) -> None:
    evil = "x\r\nSet-Cookie: a=b\r\n\r\n<script>"
    answers = [
        api.post(
            "/v1/photos",
            files=[("files", (f"{evil}.jpg", make_jpeg(70, gps=(1.0, 1.0))))],
            data={"dataset": evil},
            headers={"Prefer": "respond-async"},
        ),
        api.post("/v1/search", data={"query": json.dumps({"dataset": evil})}),
        api.get("/v1/located/x%0d%0aSet-Cookie:%20a=b"),
        api.get("/v1/photos", params={"state": evil}),
    ]
    assert [answer.status_code for answer in answers] == [422, 422, 404, 422]
    assert not [answer for answer in answers if "set-cookie" in answer.headers]
    assert {answer.headers["x-content-type-options"] for answer in answers} == {"nosniff"}
