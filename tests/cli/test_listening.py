"""Clients that say nothing, drip, do not read, or are too many, on real connections."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra api is not installed")

import uvicorn

from geosearch.cli import listening
from geosearch.cli.listening import Connection, configuration, listen

LARGE = 50_000_000


class App:
    """Answers with much or little; `ended` counts answers that the server is done with."""

    def __init__(self) -> None:
        self.ended = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = bytes(LARGE if scope["path"] == "/large" else 2)
        headers = [(b"content-length", str(len(body)).encode())]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        finally:
            self.ended += 1


@contextmanager
def serving(app: App) -> Iterator[tuple[str, int]]:
    listener = listen("127.0.0.1", 0)
    config = configuration(app)  # type: ignore[arg-type]
    config.lifespan = "off"
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _until(is_so: Callable[[], bool], timeout_s: float = 30.0) -> None:
    give_up = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def _client(address: tuple[str, int]) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(30)
    client.connect(address)
    return client


def _get(client: socket.socket) -> bytes:
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = b""
    while not answer.endswith(b"\0\0"):
        part = client.recv(1000)
        if not part:
            raise ConnectionResetError
        answer += part
    return answer


def _read_to_the_end(client: socket.socket) -> None:
    while client.recv(1_000_000):
        pass
    raise ConnectionResetError


def _drip(client: socket.socket) -> None:
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
    for _ in range(100):
        client.sendall(b"X-Slow: 1\r\n")
        time.sleep(0.05)


def test_a_request_that_drips_in_is_cut_off_be_it_the_first_or_a_later_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "HEAD_TIMEOUT_S", 0.4)
    with serving(App()) as address:
        for earlier in (0, 2):  # requests on the same connection before the slow one
            with _client(address) as client:
                for _ in range(earlier):
                    _get(client)
                with pytest.raises(ConnectionError):
                    _drip(client)


def test_a_client_that_asks_again_and_again_is_not_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "HEAD_TIMEOUT_S", 0.2)
    with serving(App()) as address, _client(address) as client:
        for _ in range(20):
            assert b"200 OK" in _get(client)
            time.sleep(0.05)


def test_who_does_not_read_is_cut_off_and_who_reads_slowly_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "READ_TIMEOUT_S", 0.5)
    app = App()
    with serving(app) as address:
        with _client(address) as client:
            client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            _until(lambda: app.ended == 1)
            with pytest.raises(ConnectionError):
                _read_to_the_end(client)
        with _client(address) as client:
            client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            got, pauses = 0, 0
            while got < LARGE:
                part = client.recv(1_000_000)
                assert part, f"cut off after {got}"
                got += len(part)
                if got > (pauses + 1) * 5_000_000 and pauses < 8:
                    pauses += 1
                    time.sleep(0.2)
        _until(lambda: app.ended == 2)


def test_connections_beyond_the_limit_are_closed_and_the_others_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "most_connections", lambda: 5)
    with serving(App()) as address:
        clients = [_client(address) for _ in range(5)]
        assert b"200 OK" in _get(clients[0])
        with _client(address) as extra, pytest.raises(ConnectionError):
            _get(extra)
        for client in clients:
            client.close()


def test_answers_do_not_wait_for_acknowledgements(monkeypatch: pytest.MonkeyPatch) -> None:
    set_on = []
    made = Connection.connection_made

    def connection_made(self: Connection, transport: Any) -> None:
        made(self, transport)
        option = transport.get_extra_info("socket").getsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY
        )
        set_on.append(option)

    monkeypatch.setattr(Connection, "connection_made", connection_made)
    with serving(App()) as address, _client(address) as client:
        assert b"200 OK" in _get(client)
    assert set_on == [1]
