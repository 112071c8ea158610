from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from support.command_line import Run

pytest.importorskip("uvicorn", reason="the extra api is not installed")

# The real command with the small encoder, which is slow enough to be met at work.
SERVE = """
import gc
import sys
import uvicorn
import geosearch.services as services
from geosearch.cli import main
from geosearch.cli import listening
from geosearch.encoder.fakes import ColorGridEmbedder
services._load_embedder = lambda _: ColorGridEmbedder(delay_s=0.5)
listening.HEAD_TIMEOUT_S = 0.5
run = uvicorn.Server.run

def run_and_say(*arguments, **options):
    print("frozen", gc.get_freeze_count(), file=sys.stderr, flush=True)
    run(*arguments, **options)

uvicorn.Server.run = run_and_say
main()
"""


@contextmanager
def served(home: Path, database_url: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The server's process and its address."""
    environment = os.environ | {
        "GEOSEARCH_HOME": str(home),
        "GEOSEARCH_DATABASE_URL": database_url,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, "serve", "--no-keys", "--port", "0"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("http://"), line + process.stderr.read()
        yield process, line.split()[0].rstrip("/")
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_a_server_that_is_told_to_end_answers_what_it_has_begun(
    tmp_path: Path, database_url: str, make_jpeg: Callable[..., bytes]
) -> None:
    files = [("files", ("a.jpg", make_jpeg(1, gps=(1.0, 1.0))))]
    many = [("files", (f"{n}.jpg", make_jpeg(n, gps=(1.0, n)))) for n in range(2, 42)]
    with (
        served(tmp_path / "home", database_url) as (process, url),
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        job = client.post("/v1/photos", files=many, headers={"Prefer": "respond-async"})
        watched: list[str] = []
        answers: list[httpx.Response] = []

        def watch() -> None:
            with client.stream("GET", f"{job.headers['location']}/events") as stream:
                watched.extend(stream.iter_lines())

        def search() -> None:
            answers.append(client.post("/v1/search", files={"image": files[0][1]}))

        threads = [
            threading.Thread(target=watch),
            threading.Thread(target=search),
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.3)  # both are with the server, and neither can be done
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert process.wait(60) == 0
        assert [answer.status_code for answer in answers] == [200]
        assert not [line for line in watched if line == "event: done"]
    with (
        served(tmp_path / "home", database_url) as (_, url),
        httpx.Client(base_url=url, timeout=120, trust_env=False) as client,
    ):
        events = client.get(f"{job.headers['location']}/events").text
        assert "event: done" in events
        results = client.get(job.headers["location"]).json()["results"]
        assert [result["outcome"] for result in results] == ["indexed"] * 40


def test_a_connection_that_says_nothing_is_closed(tmp_path: Path, database_url: str) -> None:
    with served(tmp_path / "home", database_url) as (_, url):
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as silent:
            silent.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
            assert silent.recv(1000) == b""


def test_what_a_server_has_loaded_is_not_looked_through_for_garbage(
    tmp_path: Path, database_url: str
) -> None:
    with served(tmp_path / "home", database_url) as (process, _):
        assert process.stderr is not None
        name, count = process.stderr.readline().split()
    assert name == "frozen"
    assert int(count) > 10_000


@pytest.mark.usefixtures("own_home")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", "0.0.0.0", "--no-keys"), "can be reached by others"),
        ((), "geosearch keys create"),
    ],
)
def test_a_server_that_anybody_could_use_is_not_started(
    run: Run, options: tuple[str, ...], said: str
) -> None:
    code, out, err = run("serve", *options)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.usefixtures("own_home")
def test_a_port_in_use_is_one_sentence_and_exit_code_2(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = run("serve", "--no-keys", "--port", port)
    assert code == 2
    assert f"port {port}" in err


@pytest.mark.usefixtures("own_home")
def test_keys_are_made_shown_once_listed_and_revoked(run: Run) -> None:
    code, out, _ = run("keys", "create", "newsroom", "--scope", "read", "--json")
    made = json.loads(out)
    assert code == 0
    assert made["key"].startswith("gs_")
    code, out, _ = run("keys", "list", "--json")
    [listed] = json.loads(out)
    assert (listed["name"], listed["scopes"], listed["revoked_at"]) == ("newsroom", ["read"], None)
    assert made["key"] not in out
    assert run("keys", "revoke", listed["id"])[0] == 0
    [listed] = json.loads(run("keys", "list", "--json")[1])
    assert listed["revoked_at"] is not None
    assert run("keys", "revoke", "00000000")[0] == 2
