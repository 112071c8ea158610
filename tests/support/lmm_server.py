"""A loopback server that speaks the wire formats of four providers and answers by script.

It checks of every request that a decodable picture without metadata has arrived.
"""

from __future__ import annotations

import base64
import gc
import inspect
import io
import json
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from PIL import Image

from geosearch.closing import Closing

WIRES = ("openai", "anthropic", "gemini", "ollama")
TOKENS = (300, 30)
PRICES = (2e-6, 8e-6)
COST = TOKENS[0] * PRICES[0] + TOKENS[1] * PRICES[1]


@dataclass(frozen=True)
class Seen:
    """A request as the server understood it."""

    wire: str
    model: str
    text: str
    picture: bytes
    has_format: bool
    turns: int


@dataclass(frozen=True)
class Act:
    """What the server does with a request: a text with status 200, or a fault."""

    text: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    is_dropped: bool = False
    is_slow: bool = False
    model: str = "scripted-1"
    finish: str = "stop"


def good(lat: float, lon: float, place: str = "somewhere") -> Act:
    document = {"reasoning": "signs", "can_locate": True, "latitude": lat, "longitude": lon}
    return Act(json.dumps({**document, "place": place}))


REFUSED = Act("I'm sorry, but I can't help with finding out where a photo was taken.")
GARBAGE = Act("la la " * 2000)
DROPPED = Act(is_dropped=True)
SLOW = Act(is_slow=True)


def fault(status: int, message: str = "scripted", **headers: str) -> Act:
    return Act(message, status, {name.replace("_", "-"): value for name, value in headers.items()})


def end_connections() -> None:
    """Close what LiteLLM keeps open, and what it lost when several threads called a server first.

    Otherwise the sockets are found open while some later test runs, which then fails.
    """
    # Not imported here: that is for the client, which first keeps it from the network.
    litellm = sys.modules.get("litellm")
    if litellm is None:
        return
    kept = litellm.in_memory_llm_clients_cache
    for client in list(kept.cache_dict.values()):
        close = getattr(client, "close", None)
        if close is not None and not inspect.iscoroutinefunction(close):
            close()
    kept.flush_cache()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class LmmServer(Closing):
    """Serves until closed.

    Args:
        script: says what to do with each request; called from many threads.
    """

    def __init__(self, script: Callable[[Seen], Act]) -> None:
        self.script = script
        self.seen: list[Seen] = []
        self.served: list[Seen] = []
        self.complaints: list[str] = []
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(60)
        end_connections()

    def write_config(self, path: Path, wire: str, *, name: str = "eye", more: str = "") -> Path:
        """lmm.yaml for one provider; nothing else differs between them."""
        models = {
            "openai": ("openai/scripted", "/v1"),
            "anthropic": ("anthropic/claude-scripted", ""),
            "gemini": ("gemini/gemini-scripted", ""),
            "ollama": ("ollama_chat/scripted", ""),
        }
        model, suffix = models[wire]
        path.write_text(
            f"model_list:\n  - model_name: {name}\n    litellm_params:\n      model: {model}\n"
            f"      api_base: {self.url}{suffix}\n      api_key: sk-test-0123456789\n"
            f"      input_cost_per_token: {PRICES[0]}\n      output_cost_per_token: {PRICES[1]}\n"
            f"{more}"
        )
        return path


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    owner: LmmServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that gave up


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        server = self.server
        assert isinstance(server, _Http)
        owner = server.owner
        if self.path == "/api/show":  # LiteLLM asks Ollama what a model can do
            self._send(200, {"template": "", "capabilities": ["vision"], "model_info": {}}, {})
            return
        try:
            seen = _understood(self.path, json.loads(body))
            _inspect(seen.picture)
        except Exception as error:
            owner.complaints.append(f"{self.path}: {error!r}: {body[:200]!r}")
            self._send(400, {"error": {"message": f"bad request: {error}"}}, {})
            return
        with owner.lock:
            owner.seen.append(seen)
        act = owner.script(seen)
        if act.is_slow:
            owner.closing.wait(120)
        if act.is_slow or act.is_dropped:
            self.close_connection = True
            try:
                self.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            return
        if act.status != 200:
            self._send(
                act.status, {"error": {"message": act.text, "type": "scripted"}}, act.headers
            )
            return
        with owner.lock:
            owner.served.append(seen)
        self._send(200, _reply(seen.wire, act), act.headers)

    def _send(self, status: int, document: object, headers: Mapping[str, str]) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()


def _understood(path: str, body: Any) -> Seen:
    if "chat/completions" in path:
        return _openai(body)
    if path.endswith("/v1/messages"):
        return _anthropic(body)
    if ":generateContent" in path:
        return _gemini(path, body)
    if path.endswith("/api/chat"):
        return _ollama(body)
    raise ValueError("an unknown path")


def _openai(body: Any) -> Seen:
    content = body["messages"][0]["content"]
    url = next(part["image_url"]["url"] for part in content if part["type"] == "image_url")
    media, data = url.split(";base64,")
    assert media == "data:image/jpeg", media
    text = next(part["text"] for part in content if part["type"] == "text")
    return Seen("openai", body["model"], text, base64.b64decode(data, validate=True),
                "response_format" in body, len(body["messages"]))  # fmt: skip


def _anthropic(body: Any) -> Seen:
    content = body["messages"][0]["content"]
    source = next(part["source"] for part in content if part["type"] == "image")
    assert (source["type"], source["media_type"]) == ("base64", "image/jpeg"), source
    assert body["max_tokens"] < 10_000
    assert "system" not in body
    text = next(part["text"] for part in content if part["type"] == "text")
    has_format = any(key in body for key in ("output_format", "output_config", "tools"))
    return Seen("anthropic", body["model"], text, base64.b64decode(source["data"], validate=True),
                has_format, len(body["messages"]))  # fmt: skip


def _gemini(path: str, body: Any) -> Seen:
    parts = body["contents"][0]["parts"]
    blobs = [part.get("inline_data") or part.get("inlineData") for part in parts]
    data = next(blob["data"] for blob in blobs if blob)
    text = next(part["text"] for part in parts if "text" in part)
    settings = body.get("generationConfig", {})
    has_format = "response_mime_type" in settings or "responseMimeType" in settings
    model = path.split("models/")[1].split(":")[0]
    return Seen("gemini", model, text, base64.b64decode(data, validate=True), has_format,
                len(body["contents"]))  # fmt: skip


def _ollama(body: Any) -> Seen:
    first = body["messages"][0]
    return Seen("ollama", body["model"], first["content"],
                base64.b64decode(first["images"][0], validate=True), "format" in body,
                len(body["messages"]))  # fmt: skip


def _inspect(picture: bytes) -> None:
    """A picture that can be decoded, and nothing but a picture."""
    for mark in (b"Exif", b"GPS", b"http://ns.adobe.com", b"Photoshop", b"ICC_PROFILE"):
        assert mark not in picture, mark
    with Image.open(io.BytesIO(picture)) as image:
        image.load()
        assert len(image.getexif()) == 0
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}, image.info


def _reply(wire: str, act: Act) -> dict[str, Any]:
    tokens_in, tokens_out = TOKENS
    if wire == "openai":
        message = {"role": "assistant", "content": act.text}
        choice = {"index": 0, "finish_reason": act.finish, "message": message}
        usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out,
                 "total_tokens": tokens_in + tokens_out}  # fmt: skip
        return {"id": "1", "object": "chat.completion", "created": 1, "model": act.model,
                "choices": [choice], "usage": usage}  # fmt: skip
    if wire == "anthropic":
        return {"id": "1", "type": "message", "role": "assistant", "model": act.model,
                "content": [{"type": "text", "text": act.text}], "stop_reason": "end_turn",
                "usage": {"input_tokens": tokens_in, "output_tokens": tokens_out}}  # fmt: skip
    if wire == "gemini":
        content = {"role": "model", "parts": [{"text": act.text}]}
        usage = {"promptTokenCount": tokens_in, "candidatesTokenCount": tokens_out,
                 "totalTokenCount": tokens_in + tokens_out}  # fmt: skip
        return {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
                "usageMetadata": usage, "modelVersion": act.model}  # fmt: skip
    return {"model": act.model, "created_at": "2025-01-01T00:00:00Z", "done": True,
            "done_reason": "stop", "message": {"role": "assistant", "content": act.text},
            "prompt_eval_count": tokens_in, "eval_count": tokens_out}  # fmt: skip
