from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from geosearch import GeoSearch
from geosearch.client.wire import Wire
from geosearch.errors import (
    AccessDenied,
    ConfigError,
    InvalidInput,
    ServerBusy,
    ServerError,
    ServerTimeout,
    ServerUnreachable,
    StorageFull,
    UnknownPhoto,
)
from geosearch.services import Services
from geosearch.settings import known_variables
from geosearch.store.filters import Country, Not
from tests.api.conftest import serving

Answer = tuple[int, dict[str, str], bytes]


class Scripted(ThreadingHTTPServer):
    """Answers as it was told, in order, the last one again and again."""

    script: list[Answer]
    seen: list[dict[str, str]]


@pytest.fixture
def server() -> Iterator[Scripted]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert isinstance(self.server, Scripted)
            self.server.seen.append(dict(self.headers))
            script = self.server.script
            status, headers, body = script.pop(0) if len(script) > 1 else script[0]
            if status == 0:  # hang up
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    server = Scripted(("127.0.0.1", 0), Handler)
    server.seen = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def problem(status: int, detail: str, error: str | None = None, **headers: str) -> Answer:
    document: dict[str, Any] = {"status": status, "detail": detail, "error": error}
    return status, headers, json.dumps(document).encode()


def wire(server: Scripted, slept: list[float] | None = None, **options: Any) -> Wire:
    pauses = slept if slept is not None else []
    url = f"http://127.0.0.1:{server.server_port}"
    return Wire(url, **{"timeout_s": 10.0, "sleep": pauses.append} | options)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (problem(401, "no key"), AccessDenied),
        (problem(403, "read only"), AccessDenied),
        (problem(404, "there is no photo", "UnknownPhoto"), UnknownPhoto),
        (problem(404, "Not Found"), ServerError),
        (problem(422, "bbox is none", "InvalidInput"), InvalidInput),
        (problem(422, "query: no"), InvalidInput),
        (problem(413, "too much"), InvalidInput),
        (problem(500, "oops"), ServerError),
        (problem(500, "oops", "KeyError"), ServerError),
        (problem(507, "no room left", "StorageFull"), StorageFull),
        ((502, {}, b"<html>bad gateway</html>"), ServerError),
        ((200, {}, b"<html>another site</html>"), ServerError),
    ],
)
def test_problems_become_the_errors_that_they_are(
    server: Scripted, answer: Answer, kind: type[Exception]
) -> None:
    server.script = [answer]
    with closing(wire(server)) as one, pytest.raises(kind) as raised:
        one.ask("GET", "/v1/stats")
    assert raised.type is kind


def test_a_busy_server_is_asked_again_when_it_says(server: Scripted) -> None:
    slept: list[float] = []
    busy = problem(503, "busy", **{"Retry-After": "7"})
    server.script = [busy, problem(429, "slower"), (200, {}, b'{"photos": 3}')]
    with closing(wire(server, slept)) as one:
        assert one.ask("GET", "/v1/stats") == {"photos": 3}
    assert slept == [7.0, 1.0]


def test_patience_with_a_busy_server_ends(server: Scripted) -> None:
    slept: list[float] = []
    server.script = [problem(503, "busy", **{"Retry-After": "3600"})]
    with closing(wire(server, slept)) as one, pytest.raises(ServerBusy, match="busy; try again"):
        one.ask("GET", "/v1/stats")
    assert slept == [30.0] * 4


def test_a_broken_connection_is_tried_again_only_where_that_does_no_harm(
    server: Scripted,
) -> None:
    server.script = [(0, {}, b""), (200, {}, b"{}")]
    with closing(wire(server)) as one:
        assert one.ask("GET", "/v1/stats") == {}
        server.script = [(0, {}, b""), (200, {}, b"{}")]
        with pytest.raises(ServerUnreachable):
            one.ask("GET", "/v1/stats", repeatable=False)


def test_an_address_where_nobody_listens_is_named(server: Scripted) -> None:
    with closing(Wire("http://127.0.0.1:9", timeout_s=5.0, sleep=lambda _: None)) as one:
        with pytest.raises(ServerUnreachable, match=r"cannot reach http://127.0.0.1:9.*serve"):
            one.ask("GET", "/v1/stats")


def test_a_slow_answer_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            closing(Wire(url, timeout_s=0.2)) as one,
            pytest.raises(ServerTimeout, match="in time"),
        ):
            one.ask("GET", "/v1/stats")


def test_the_key_goes_with_every_request(server: Scripted) -> None:
    server.script = [(200, {}, b"{}")]
    with closing(wire(server, api_key="secret")) as one:
        one.ask("GET", "/v1/stats")
    assert server.seen[0]["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://a", "http://[::1", "http://a:99999999"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises((ConfigError, ServerUnreachable)):
        with GeoSearch(url=url) as geo:
            geo.status()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"encoder": "lite"}, "encoder: a server"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"api_key": 3}, "text"),
    ],
)
def test_a_server_takes_no_settings_of_ours(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        GeoSearch(url="http://127.0.0.1:8000", **options)


def test_the_key_of_the_environment_is_used_and_a_wrong_one_is_refused(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    from geosearch.catalogue.keys import ApiKeys
    from geosearch.client.embedded import GeoSearch as Embedded

    _ = services.catalogue
    _, key = ApiKeys(services.engine).create("test", scopes=["read"])
    with serving(Embedded(services), hosts=("127.0.0.1",), asks_keys=True) as url:
        monkeypatch.setenv("GEOSEARCH_API_KEY", key)
        with GeoSearch(url=url) as geo:
            assert geo.status()["photos"]["indexed"] == 0
            with pytest.raises(AccessDenied):
                geo.delete("00000000-0000-0000-0000-000000000000")
        with (
            GeoSearch(url=url, api_key="wrong") as geo,
            pytest.raises(AccessDenied, match="api_key"),
        ):
            geo.status()


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"photos": [{}], "next": null}'])
def test_answers_of_another_version_are_named_as_such(server: Scripted, body: bytes) -> None:
    server.script = [(200, {}, body)]
    with (
        GeoSearch(url=f"http://127.0.0.1:{server.server_port}") as geo,
        pytest.raises(ServerError, match="must be GeoSearch of version"),
    ):
        list(geo.photos())


def test_settings_that_an_error_sends_people_to_exist() -> None:
    with (
        GeoSearch(url="http://127.0.0.1:9") as geo,
        pytest.raises(ConfigError, match="settings of the server") as refused,
    ):
        list(geo.locate(".", samples=3))
    named = set(re.findall(r"GEOSEARCH_\w+", str(refused.value)))
    assert named
    assert named <= known_variables()


@pytest.mark.parametrize(
    ("theirs", "warned"),
    [("0.2.0", True), ("1.1.7", True), ("0.1.99", False), ("0.1.0rc1", False), (None, False)],
)
def test_a_server_of_another_minor_version_is_told_of_once(
    server: Scripted,
    theirs: str | None,
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("geosearch.client.wire.__version__", "0.1.2")
    headers = {} if theirs is None else {"GeoSearch-Version": theirs}
    server.script = [problem(503, "busy", **headers), (200, headers, b"{}")]
    with closing(wire(server)) as one:
        for _ in range(3):
            assert one.ask("GET", "/v1/stats") == {}
    told = [record.getMessage() for record in caplog.records if record.name.endswith("wire")]
    assert len(told) == warned
    assert all(f"is GeoSearch {theirs} and this client 0.1.2" in one for one in told)


def test_a_filter_that_cannot_be_sent_is_refused_before_anything_is() -> None:
    with GeoSearch(url="http://127.0.0.1:9") as geo:
        with pytest.raises(ConfigError, match="Not cannot be sent; a server takes a circle"):
            list(geo.locate(".", where=Not(Country("SE"))))
        with pytest.raises(ConfigError, match="where: a search by network takes near"):
            geo.search(where=Country("SE"))


def test_what_only_the_server_can_do_says_so() -> None:
    with GeoSearch(url="http://127.0.0.1:9") as geo:
        with pytest.raises(ConfigError, match="geosearch reindex"):
            geo.reindex()
        with pytest.raises(ConfigError, match="geosearch retry"):
            geo.retry()
        with pytest.raises(ConfigError, match="dry run"):
            geo.ingest(".", dry_run=True)
