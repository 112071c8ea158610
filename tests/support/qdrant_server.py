"""The part of Qdrant's REST API that the package uses, over HTTP, with Qdrant Edge behind it.

No server binary of Qdrant comes from a package index. This one lets `QdrantClient(url=…)` and
`store/server/` run unchanged in tests, many processes against one. `QdrantServer` starts it as a
process; it binds to port 0 and announces what it got. It ends when its standard input does, so it
never outlives the test.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from pydantic import ValidationError
from qdrant_client.http import models

from geosearch.closing import Closing
from support.qdrant_collections import Collection, Collections, Refused

Answer = Callable[[Collections, str, bytes], Any]
ROUTES: list[tuple[str, re.Pattern[str], Answer]] = []


def route(method: str, path: str) -> Callable[[Answer], Answer]:
    pattern = re.compile(path.replace("{name}", "(?P<name>[^/]+)") + "$")

    def register(answer: Answer) -> Answer:
        ROUTES.append((method, pattern, answer))
        return answer

    return register


def changes(method: str, path: str) -> Callable[[Callable[[Collection, bytes], None]], Any]:
    """A route that changes one collection and answers when that is done."""

    def register(change: Callable[[Collection, bytes], None]) -> Answer:
        def answer(all_: Collections, name: str, body: bytes) -> Any:
            collection = all_.get(name)
            change(collection, body)
            return collection.completed()

        return route(method, path)(answer)

    return register


@route("GET", "/collections")
def _list(all_: Collections, _: str, __: bytes) -> Any:
    return {"collections": [{"name": name} for name in all_.names()]}


@route("GET", "/collections/{name}")
def _info(all_: Collections, name: str, _: bytes) -> Any:
    return all_.get(name).info()


@route("GET", "/collections/{name}/exists")
def _exists(all_: Collections, name: str, _: bytes) -> Any:
    return {"exists": all_.has(name)}


@route("PUT", "/collections/{name}")
def _create(all_: Collections, name: str, body: bytes) -> Any:
    all_.create(name, models.CreateCollection.model_validate_json(body))
    return True


@route("DELETE", "/collections/{name}")
def _drop(all_: Collections, name: str, _: bytes) -> Any:
    return all_.delete(name)


@route("GET", "/aliases")
def _aliases(all_: Collections, _: str, __: bytes) -> Any:
    found = [{"alias_name": a, "collection_name": of} for a, of in sorted(all_.aliases.items())]
    return {"aliases": found}


@route("GET", "/collections/{name}/aliases")
def _aliases_of(all_: Collections, name: str, _: bytes) -> Any:
    every = _aliases(all_, "", b"")["aliases"]
    return {"aliases": [alias for alias in every if alias["collection_name"] == name]}


@route("POST", "/collections/aliases")
def _change_aliases(all_: Collections, _: str, body: bytes) -> Any:
    all_.change_aliases(models.ChangeAliasesOperation.model_validate_json(body).actions)
    return True


@changes("PUT", "/collections/{name}/index")
def _index(collection: Collection, body: bytes) -> None:
    collection.create_index(models.CreateFieldIndex.model_validate_json(body))


@changes("PUT", "/collections/{name}/points")
def _upsert(collection: Collection, body: bytes) -> None:
    collection.upsert(models.PointsList.model_validate_json(body).points)


@changes("POST", "/collections/{name}/points/delete")
def _delete(collection: Collection, body: bytes) -> None:
    collection.delete(models.PointIdsList.model_validate_json(body).points)


@changes("POST", "/collections/{name}/points/payload")
def _set_payload(collection: Collection, body: bytes) -> None:
    collection.set_payload(models.SetPayload.model_validate_json(body), overwrite=False)


@changes("PUT", "/collections/{name}/points/payload")
def _overwrite_payload(collection: Collection, body: bytes) -> None:
    collection.set_payload(models.SetPayload.model_validate_json(body), overwrite=True)


@route("POST", "/collections/{name}/points/batch")
def _batch(all_: Collections, name: str, body: bytes) -> Any:
    collection = all_.get(name)
    return [
        _apply(collection, operation)
        for operation in models.UpdateOperations.model_validate_json(body).operations
    ]


def _apply(collection: Collection, operation: Any) -> Any:
    match operation:
        case models.UpsertOperation(upsert=models.PointsList() as points):
            collection.upsert(points.points)
        case models.DeleteOperation(delete=models.PointIdsList() as points):
            collection.delete(points.points)
        case models.SetPayloadOperation():
            collection.set_payload(operation.set_payload, overwrite=False)
        case models.OverwritePayloadOperation():
            collection.set_payload(operation.overwrite_payload, overwrite=True)
        case _:
            raise Refused(400, f"the test server knows no {type(operation).__name__}")
    return collection.completed()


@route("POST", "/collections/{name}/points")
def _retrieve(all_: Collections, name: str, body: bytes) -> Any:
    return all_.get(name).retrieve(models.PointRequest.model_validate_json(body))


@route("POST", "/collections/{name}/points/query")
def _query(all_: Collections, name: str, body: bytes) -> Any:
    return {"points": all_.get(name).query(models.QueryRequest.model_validate_json(body))}


@route("POST", "/collections/{name}/points/count")
def _count(all_: Collections, name: str, body: bytes) -> Any:
    return {"count": all_.get(name).count(models.CountRequest.model_validate_json(body))}


@route("POST", "/collections/{name}/points/scroll")
def _scroll(all_: Collections, name: str, body: bytes) -> Any:
    points, offset = all_.get(name).scroll(models.ScrollRequest.model_validate_json(body))
    return {"points": points, "next_page_offset": offset}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        if path == "/test/refuse":  # the one path that a real server does not have
            self.server.refusal = json.loads(body)
            return self._answer(200, {"result": True})
        if self.server.refusal is not None:
            return self._answer(503, {"status": {"error": self.server.refusal}})
        for method, pattern, answer in ROUTES:
            if method == self.command and (match := pattern.match(path)):
                return self._answer(*self._asked(answer, match.groupdict().get("name", ""), body))
        self._answer(404, {"status": {"error": f"the test server knows no {self.command} {path}"}})

    do_GET = do_POST = do_PUT = do_DELETE = _handle

    def _asked(self, answer: Answer, name: str, body: bytes) -> tuple[int, dict[str, Any]]:
        try:
            with self.server.collections.lock:
                return 200, {"result": answer(self.server.collections, name, body), "status": "ok"}
        except Refused as error:
            return error.status, {"status": {"error": str(error)}}
        except ValidationError as error:
            return 400, {"status": {"error": f"Format error in JSON body: {error}"}}
        except Exception as error:  # the engine raises bare Exception
            return 500, {"status": {"error": f"Service internal error: {error}"}}

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        data = json.dumps(document | {"time": 0.0}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, directory: Path) -> None:
        self.collections = Collections(directory)
        self.refusal: str | None = None
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that was killed in the middle of its request is what some tests are about.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class QdrantServer(Closing):
    """The server as a process on a directory; `url` is where it listens."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        tests = Path(__file__).parent.parent
        paths = [str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.qdrant_server", str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            self.close()
            raise RuntimeError("the test server for Qdrant's API did not start")

    def refuse(self, is_refusing: bool, *, reason: str = "Service unavailable") -> None:
        """Answer everything with 503 and a reason, or no longer."""
        body = json.dumps(reason if is_refusing else None).encode()
        with urlopen(Request(f"{self.url}/test/refuse", body, method="POST"), timeout=60):
            pass

    def close(self) -> None:
        """Stop it; harmless when called twice."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def main() -> None:
    """Serve the directory that is named until standard input ends."""
    server = _Server(Path(sys.argv[1]))
    host, port = server.server_address[:2]
    print(f"http://{host!s}:{port}", flush=True)  # noqa: T201  # how the port is announced
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)  # Edge keeps its log on disk; there is nothing else to save


if __name__ == "__main__":
    main()
