from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
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
        "GEOSEARCH_BATCH_SIZE": "32",  # each batch waits for the slow encoder
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


@dataclass(frozen=True)
class Ended:
    """A server that was told to end at work, and what its clients were answered."""

    home: Path
    database_url: str
    code: int
    job: str
    searched: httpx.Response
    watched: list[str]


@pytest.fixture(scope="module")
def ended(
    tmp_path_factory: pytest.TempPathFactory,
    make_database: Callable[[], str],
    make_jpeg: Callable[..., bytes],
) -> Ended:
    """Told to end with a job of forty photos and a search begun."""
    home, database_url = tmp_path_factory.mktemp("serve") / "home", make_database()
    many = [("files", (f"{n}.jpg", make_jpeg(n, gps=(1.0, n)))) for n in range(2, 42)]
    with (
        served(home, database_url) as (process, url),
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
        ThreadPoolExecutor() as threads,
    ):
        job = client.post("/v1/photos", files=many, headers={"Prefer": "respond-async"})

        def watch() -> list[str]:
            with client.stream("GET", f"{job.headers['location']}/events") as stream:
                return list(stream.iter_lines())

        watched = threads.submit(watch)
        searched = threads.submit(client.post, "/v1/search", files={"image": make_jpeg(1)})
        time.sleep(0.3)  # both are with the server, and neither can be done
        process.send_signal(signal.SIGTERM)
        return Ended(
            home=home,
            database_url=database_url,
            searched=searched.result(),
            watched=watched.result(),
            code=process.wait(60),
            job=job.headers["location"],
        )


@pytest.fixture(scope="module")
def server(ended: Ended) -> Iterator[tuple[str, str]]:
    """The address of a server over what an ended one left, and what it says next."""
    with served(ended.home, ended.database_url) as (process, url):
        assert process.stderr is not None
        yield url, process.stderr.readline()


def test_a_server_that_is_told_to_end_answers_what_it_has_begun(ended: Ended) -> None:
    assert ended.code == 0
    assert ended.searched.status_code == 200
    assert "event: done" not in ended.watched


def test_work_that_a_server_left_is_done_by_the_next(ended: Ended, server: tuple[str, str]) -> None:
    with httpx.Client(base_url=server[0], timeout=120, trust_env=False) as client:
        assert "event: done" in client.get(f"{ended.job}/events").text
        results = client.get(ended.job).json()["results"]
    assert [result["outcome"] for result in results] == ["indexed"] * 40


def test_a_connection_that_says_nothing_is_closed(server: tuple[str, str]) -> None:
    port = int(server[0].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as silent:
        silent.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        assert silent.recv(1000) == b""


def test_what_a_server_has_loaded_is_not_looked_through_for_garbage(
    server: tuple[str, str],
) -> None:
    name, count = server[1].split()
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
