from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from geosearch.addresses import AllowedAddresses
from geosearch.ingest.reader import PhotoReader, ReadLimits
from geosearch.ingest.sources import PhotoSource, SourceUnreadable
from geosearch.ingest.web import WebReader

LOOPBACK = AllowedAddresses.parse("127.0.0.1")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name, _, argument = self.path[1:].partition("?")
        if name == "big":
            self._send(b"x" * 2_000_000)
        elif name == "endless":  # no length told
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            try:
                for _ in range(1000):
                    self.wfile.write(b"x" * 100_000)
            except OSError:
                pass  # the other side has had enough
            self.close_connection = True
        elif name == "photo":
            self._send(b"<html>")
        elif name == "packed":
            self._send(b"x", ("Content-Encoding", "gzip"))
        elif name == "to":
            self._send(b"", ("Location", argument), status=302)
        else:
            self._send(b"", status=404)

    def _send(self, body: bytes, *headers: tuple[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # the other side has had enough

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _reader(
    allowed: AllowedAddresses = LOOPBACK, *, timeout_s: float = 60.0, **names: list[str]
) -> Iterator[WebReader]:
    """A reader for which `names` are hosts with these addresses."""

    def resolve(host: str, port: int) -> list[str]:
        if host in names:
            return names[host]
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return [str(entry[4][0]) for entry in found]

    reader = WebReader(timeout_s=timeout_s, allowed=allowed, resolve=resolve)
    try:
        yield reader
    finally:
        reader.close()


def test_urls_are_fetched_within_limits(port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    with _reader() as reader:
        assert reader.read(f"{url}/photo", max_bytes=1000) == b"<html>"
        with pytest.raises(SourceUnreadable, match="answered 404"):
            reader.read(f"{url}/none", max_bytes=1000)
        for name in ("big", "endless"):
            with pytest.raises(SourceUnreadable, match="limit of 1 MB"):
                reader.read(f"{url}/{name}", max_bytes=1_000_000)
        with pytest.raises(SourceUnreadable, match=r"packed \(gzip\)"):
            reader.read(f"{url}/packed", max_bytes=1000)
        assert reader.read(f"{url}/photo", max_bytes=1000) == b"<html>"


def test_many_threads_share_a_reader(port: int) -> None:
    with _reader() as reader, ThreadPoolExecutor(8) as pool:
        read = [
            pool.submit(reader.read, f"http://127.0.0.1:{port}/photo", max_bytes=1000)
            for _ in range(64)
        ]
        assert {future.result() for future in read} == {b"<html>"}


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]", "0"]
)
def test_this_machine_is_not_asked_however_its_address_is_written(port: int, host: str) -> None:
    with _reader(AllowedAddresses()) as reader:
        with pytest.raises(SourceUnreadable, match=r"not on the public internet.*URL_ALLOW"):
            reader.read(f"http://{host}:{port}/photo", max_bytes=1000)


def test_a_name_that_leads_inside_is_refused_and_a_listed_one_is_not(port: int) -> None:
    with _reader(AllowedAddresses(), inside=["127.0.0.1"]) as reader:
        with pytest.raises(SourceUnreadable, match="inside is not on the public internet"):
            reader.read(f"http://inside:{port}/photo", max_bytes=1000)
    with _reader(AllowedAddresses.parse("inside"), inside=["127.0.0.1"]) as reader:
        assert reader.read(f"http://inside:{port}/photo", max_bytes=1000) == b"<html>"


@pytest.mark.parametrize("target", ["http://127.0.0.2:1/x", "http://inside:1/x", "//[::1]:1/x"])
def test_every_redirect_is_checked(port: int, target: str) -> None:
    with _reader(inside=["10.0.0.1"]) as reader:
        with pytest.raises(SourceUnreadable, match="not on the public internet"):
            reader.read(f"http://127.0.0.1:{port}/to?{target}", max_bytes=1000)


def test_redirects_are_followed_some_times_and_only_to_the_web(port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    with _reader() as reader:
        assert reader.read(f"{url}/to?/photo", max_bytes=1000) == b"<html>"
        with pytest.raises(SourceUnreadable, match="redirects"):
            reader.read(f"{url}/to?/to", max_bytes=1000)  # to itself, without an argument
        with pytest.raises(SourceUnreadable, match="could not be asked"):
            reader.read(f"{url}/to?file:///etc/passwd", max_bytes=1000)


def test_the_connection_goes_to_the_address_that_was_checked(port: int) -> None:
    """A name that changes its address after the check gains nothing."""
    asked = 0

    def rebinding(host: str, port: int) -> list[str]:
        nonlocal asked
        asked += 1
        return ["127.0.0.1"] if asked == 1 else ["127.0.0.2"]

    reader = WebReader(timeout_s=60.0, allowed=LOOPBACK, resolve=rebinding)
    try:
        assert reader.read(f"http://rebinding:{port}/photo", max_bytes=1000) == b"<html>"
        assert asked == 1
    finally:
        reader.close()


def test_of_several_addresses_only_permitted_ones_are_tried(port: int) -> None:
    with _reader(mixed=["10.0.0.1", "::1", "127.0.0.1"]) as reader:
        assert reader.read(f"http://mixed:{port}/photo", max_bytes=1000) == b"<html>"


def test_a_server_that_is_silent_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, _reader(timeout_s=0.2) as reader:
        with pytest.raises(SourceUnreadable, match=r"longer than 0.2 s"):
            reader.read(f"http://127.0.0.1:{silent.getsockname()[1]}/x", max_bytes=1000)


def test_a_server_that_trickles_its_headers_is_given_up() -> None:
    """Each byte comes in time; all of them never do."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not stop.wait(0.02):
                    try:
                        connection.sendall(b"X")
                    except OSError:
                        return

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            with _reader(timeout_s=0.5) as reader:
                with pytest.raises(SourceUnreadable, match=r"longer than 0.5 s"):
                    reader.read(f"http://127.0.0.1:{server.getsockname()[1]}/x", max_bytes=1000)
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize(
    "url", ["http://", "http:///x", "http://[x/", "http://a b/", "http://x:99999/"]
)
def test_what_is_no_url_has_a_reason(url: str) -> None:
    with _reader() as reader, pytest.raises(SourceUnreadable):
        reader.read(url, max_bytes=1000)


def test_sources_are_read_through_the_guard(port: int) -> None:
    source = PhotoSource(f"http://127.0.0.1:{port}/photo", None)
    with PhotoReader() as guarded, pytest.raises(SourceUnreadable, match="public internet"):
        guarded.read(source)
    with PhotoReader(ReadLimits(allowed=LOOPBACK)) as reader:
        content = reader.read(source)
    assert (content.data, content.signature) == (b"<html>", "url")
