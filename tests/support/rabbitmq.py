"""A RabbitMQ of one test session: the server that Debian installs, on free ports and its own files.

Nothing of the system is used but the programs: no service, no user, no port of the default ones.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from support.guarded import kill_guarded, start_guarded

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Debian's program itself; the one in PATH is a script that only root or `rabbitmq` may run."""

START_S = 90.0


def why_none() -> str | None:
    """Why no server can be started here; None where one can."""
    if not SERVER.is_file():
        return "rabbitmq-server is not installed (Debian: apt-get install rabbitmq-server)"
    if shutil.which("epmd") is None:
        return "epmd of Erlang is not in PATH"
    return None


class RabbitMQ:
    """A broker with a data directory of its own; `kill` and `start` keep what is durable."""

    def __init__(self, wait_for: Callable[..., object]) -> None:
        self._wait_for = wait_for
        self._folder = Path(tempfile.mkdtemp(prefix="geosearch-rabbitmq-"))
        self._log = self._folder / "log"
        self._port, distribution, mapper = _free_ports(3)
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}"
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),  # the cookie of Erlang lies there
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"geosearch{os.getpid()}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_BASE": str(self._folder),
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "none"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "none"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self._folder / "none"),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(self._folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +A 16",
        }
        (self._folder / "plugins").write_text("[].")
        # In the foreground, because one that the server starts would outlive it.
        self._mapper = start_guarded(
            ["epmd", "-port", str(mapper), "-address", "127.0.0.1"],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        with self._log.open("ab") as output:
            self._process = start_guarded(
                [str(SERVER)], env=self._environment, stdout=output, stderr=output
            )
        self._wait_for("RabbitMQ", self._answers, self._log)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text(errors="replace")[-4000:]
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1.0) as client:
            client.settimeout(5.0)
            client.sendall(b"AMQP\x00\x00\x09\x01")
            return client.recv(1) == b"\x01"  # the frame of connection.start
        return False

    def kill(self) -> None:
        """End it without a word."""
        if self._process is not None:
            kill_guarded(self._process)
            self._process = None

    def close(self) -> None:
        """End it and forget everything."""
        self.kill()
        kill_guarded(self._mapper)
        shutil.rmtree(self._folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago; all are open at once, so they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
