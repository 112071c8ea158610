"""What asking a large multimodal model costs beside the model itself: a scripted one of 0 ms.

The model is a process on loopback that answers in OpenAI's form as soon as a request has come. The
same bytes by plain HTTP are the baseline, asked in turn with the others, so that whatever else the
machine does meets all alike.
"""

from __future__ import annotations

import http.client
import io
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from geosearch.lmm.asker import Asker
from geosearch.lmm.attempts import Question
from geosearch.lmm.calls import AnswerMode, Call, ModelClient
from geosearch.lmm.client import LiteLlmClient
from geosearch.lmm.config import LmmConfig, load_config
from geosearch.lmm.pictures import Picture, prepare_picture
from geosearch.lmm.prompts import zero_shot_prompt
from geosearch.services import Services
from geosearch.settings import Settings

WARM_UP = 20
EDGE = 1024
REPLY = {
    "reasoning": "a script",
    "can_locate": True,
    "latitude": 1.5,
    "longitude": 2.5,
    "place": "nowhere",
}

Say = Callable[[str], None]


def asking(progress: Say | None = None, *, calls: int = 100) -> dict[str, Any]:
    """Milliseconds of a call by plain HTTP, by LiteLLM, and with ledger, cache and parsing."""
    say = progress or (lambda _: None)
    picture = _picture()
    with tempfile.TemporaryDirectory(prefix="geosearch-bench-") as scratch, _server() as port:
        path = Path(scratch) / "lmm.yaml"
        path.write_text(
            "model_list: [{model_name: script, litellm_params: {model: openai/script, api_key: "
            f'none, api_base: "http://127.0.0.1:{port}/v1"}}}}]\n'
        )
        config = load_config(path)
        start = time.perf_counter()
        client = LiteLlmClient(config)
        call = Call(zero_shot_prompt(), picture, AnswerMode.SCHEMA, 60.0)
        client.complete(config.deployments[0], call)
        first_ms = 1000.0 * (time.perf_counter() - start)
        say("LiteLLM is imported")
        with Services(Settings(home=Path(scratch) / "home", encoder="lite")) as services:
            times = _times(services, client, config, call, port, calls)
    plain = statistics.median(times["plain HTTP"][0])
    rows = [
        {
            "part": name,
            "p50_ms": statistics.median(wall),
            "p95_ms": float(np.quantile(wall, 0.95)),
            "cpu_ms": statistics.median(cpu),
            "overhead_ms": statistics.median(wall) - plain,
        }
        for name, (wall, cpu) in times.items()
    ]
    return {
        "name": "lmm",
        "calls": calls,
        "picture_bytes": len(picture.data),
        "first_call_ms": first_ms,
        "rows": rows,
    }


def _times(
    services: Services, client: ModelClient, config: LmmConfig, call: Call, port: int, calls: int
) -> dict[str, tuple[list[float], list[float]]]:
    """Wall and processor milliseconds of each call, by what was called; taken in turn."""
    asker = Asker(client, config, services.lmm_ledger)
    question = Question(call.picture, call.text, "bench")
    body = json.dumps({"prompt": call.text, "image": call.picture.data_url}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60.0)

    def plain(number: int) -> None:
        connection.request("POST", "/v1/chat/completions", body)
        connection.getresponse().read()

    parts: dict[str, Callable[[int], object]] = {
        "plain HTTP": plain,
        "LiteLLM": lambda number: client.complete(config.deployments[0], call),
        "asked": lambda number: asker.ask(question, "script", sample=number),
        "asked before": lambda number: asker.ask(question, "script", sample=number),
    }
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in parts}
    for number in range(WARM_UP + calls):
        for name, part in parts.items():
            wall, cpu = time.perf_counter(), time.thread_time()
            part(number)
            if number >= WARM_UP:
                times[name][0].append(1000.0 * (time.perf_counter() - wall))
                times[name][1].append(1000.0 * (time.thread_time() - cpu))
    connection.close()
    return times


def _picture() -> Picture:
    """What is sent of a photo: a scene of soft colours with some grain."""
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    scene = Image.fromarray(colors).resize((1600, 1200), Image.Resampling.BICUBIC)
    grain = np.clip(np.asarray(scene) + rng.normal(0.0, 4.0, (1200, 1600, 3)), 0, 255)
    buffer = io.BytesIO()
    Image.fromarray(grain.astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return prepare_picture(buffer.getvalue(), edge=EDGE)


@contextmanager
def _server() -> Iterator[int]:
    """The scripted model in a process of its own; its port."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        yield int(here.recv())
    finally:
        process.terminate()
        process.join()


def _serve(there: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    there.send(server.server_port)
    server.serve_forever()


class _Handler(BaseHTTPRequestHandler):
    """Answers at once, in OpenAI's form."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        """Read the request and answer."""
        self.rfile.read(int(self.headers["content-length"]))
        message = {"role": "assistant", "content": json.dumps(REPLY)}
        document = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "script",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 300, "completion_tokens": 30, "total_tokens": 330},
        }
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: the bench speaks for itself."""
