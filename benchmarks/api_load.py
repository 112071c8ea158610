"""Searches of many clients while photos are taken in, beside the same clients with no ingest.

    python benchmarks/api_load.py --clients 50 --photos 5000 --think-s 1.0 --json

Serves a scratch home in a process of its own (encoder `lite`, embedded engines), fills it, and asks
it over HTTP: by a photo's id, by an uploaded photo, and by area. `idle` rows are measured while
nothing is taken in, by one client and by all of them; `busy` from the first upload to the last.
Rows with `think_s` are of clients that pause like people, the others of clients that ask again as
soon as they are answered. Photos to be uploaded are drawn before anything is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import ExifTags, Image

EDGE_PX = 640
PER_UPLOAD = 64
KINDS = ("like", "area", "image")

Upload = list[tuple[str, tuple[str, bytes]]]
"""Photos of one request: the field, the file name, the JPEG."""


@dataclass
class Measured:
    """Seconds of each search, and how often each status was answered."""

    seconds: list[float] = field(default_factory=list)
    by_kind: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    statuses: Counter[int] = field(default_factory=Counter)

    def row(self, name: str, clients: int, wall_s: float, think_s: float = 0.0) -> dict[str, Any]:
        """One row of the report, times in ms; a pause is no part of a search's time."""

        def at(values: list[float], quantile: float) -> float:
            return float(np.quantile(values, quantile) * 1e3)

        return {
            "load": name,
            "clients": clients,
            **({"think_s": think_s} if think_s else {}),
            "searches": len(self.seconds),
            "per_second": len(self.seconds) / wall_s,
            "p50_ms": at(self.seconds, 0.5),
            "p95_ms": at(self.seconds, 0.95),
            "p99_ms": at(self.seconds, 0.99),
            "max_ms": max(self.seconds) * 1e3,
            **{f"{kind}_p95_ms": at(v, 0.95) for kind, v in self.by_kind.items() if v},
            "statuses": {str(status): n for status, n in sorted(self.statuses.items())},
            "server_errors": sum(n for status, n in self.statuses.items() if status >= 500),
        }


def jpeg(seed: int) -> bytes:
    """A photo of coarse colours with noise, a place and a time in its EXIF."""
    rng = np.random.default_rng(seed)
    colors = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(colors).resize((EDGE_PX, EDGE_PX * 3 // 4), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    lat, lon = rng.uniform(-60, 70), rng.uniform(-179, 179)
    tags = ExifTags.GPS
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {
            tags.GPSLatitudeRef: "N" if lat >= 0 else "S",
            tags.GPSLatitude: (abs(lat), 0.0, 0.0),
            tags.GPSLongitudeRef: "E" if lon >= 0 else "W",
            tags.GPSLongitude: (abs(lon), 0.0, 0.0),
        }
    )
    taken = f"20{rng.integers(10, 25):02}:0{rng.integers(1, 10)}:1{rng.integers(0, 10)} 12:00:00"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88, exif=exif)
    return buffer.getvalue()


def uploads(first: int, count: int) -> list[Upload]:
    """The forms that upload so many photos, drawn with seeds from `first` on."""
    seeds = range(first, first + count)
    return [
        [("files", (f"{seed}.jpg", jpeg(seed))) for seed in seeds[start : start + PER_UPLOAD]]
        for start in range(0, count, PER_UPLOAD)
    ]


async def upload(client: httpx.AsyncClient, drawn: list[Upload]) -> None:
    """Upload photos as jobs, and wait until all are taken in."""
    jobs = []
    for files in drawn:
        while True:
            answer = await client.post(
                "/v1/photos", files=files, headers={"Prefer": "respond-async"}
            )
            if answer.status_code not in (429, 503):
                break
            await asyncio.sleep(float(answer.headers["retry-after"]))
        jobs.append(answer.raise_for_status().headers["location"])
    for job in jobs:
        while (now := (await client.get(job)).raise_for_status().json())["state"] == "queued":
            await asyncio.sleep(0.5)
        outcomes = Counter(result["outcome"] for result in now["results"])
        if now["state"] != "done" or set(outcomes) != {"indexed"}:
            raise SystemExit(f"{job}: {now['state']}, {dict(outcomes)}, {now['error']}")


async def search(
    client: httpx.AsyncClient, ids: list[str], rng: random.Random, measured: Measured
) -> None:
    """One search of a random kind."""
    kind = rng.choice(KINDS)
    files = None
    if kind == "like":
        query: dict[str, object] = {"like": rng.choice(ids)}
    elif kind == "image":
        query, files = {}, {"image": ("q.jpg", rng.choice(IMAGES) + rng.randbytes(8))}  # never seen
    else:
        query = {"near": [rng.uniform(-60, 70), rng.uniform(-179, 179)], "radius_km": 1500}
    start = time.perf_counter()
    try:
        answer = await client.post("/v1/search", data={"query": json.dumps(query)}, files=files)
        status = answer.status_code
    except httpx.HTTPError:
        status = 599  # no answer at all counts as an error of the server
    took = time.perf_counter() - start
    measured.seconds.append(took)
    measured.by_kind[kind].append(took)
    measured.statuses[status] += 1


IMAGES: list[bytes] = []


def say(text: str) -> None:
    """Tell whoever waits."""
    sys.stderr.write(f"{text}\n")


async def ask(
    client: httpx.AsyncClient,
    ids: list[str],
    clients: int,
    until: Callable[[], Coroutine[Any, Any, None]],
    think_s: float = 0.0,
) -> tuple[Measured, float]:
    """Let clients search, each one after another, until something is over.

    Before each search a client pauses for a random time, exponential with a mean of `think_s`.
    """
    measured, is_over = Measured(), False

    async def one(number: int) -> None:
        rng = random.Random(number)
        while not is_over:
            if think_s:
                await asyncio.sleep(rng.expovariate(1.0 / think_s))
                if is_over:
                    return
            await search(client, ids, rng, measured)

    tasks = [asyncio.create_task(one(number)) for number in range(clients)]
    start = time.perf_counter()
    await until()
    wall_s = time.perf_counter() - start
    is_over = True
    await asyncio.gather(*tasks)
    return measured, wall_s


async def measure(url: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=url, timeout=300, trust_env=False, limits=limits
    ) as client:
        IMAGES[:] = [jpeg(10_000_000 + seed) for seed in range(50)]
        say(f"taking in {options.gallery} photos first")
        drawn = uploads(0, options.gallery)
        start = time.perf_counter()
        await upload(client, drawn)
        alone_s = time.perf_counter() - start
        listed = (await client.get("/v1/photos", params={"limit": 1000})).json()["photos"]
        ids = [photo["id"] for photo in listed]

        async def idle(clients: int, think_s: float = 0.0) -> dict[str, Any]:
            say(f"{clients} clients that pause {think_s:g} s, no ingest")
            await ask(client, ids, clients, lambda: asyncio.sleep(2.0), think_s)  # warm
            found, wall_s = await ask(
                client, ids, clients, lambda: asyncio.sleep(options.idle_s), think_s
            )
            return found.row("idle", clients, wall_s, think_s)

        async def busy(first: int, like: dict[str, Any]) -> dict[str, Any]:
            """The load of an idle row again, while photos with seeds from `first` on come in."""
            clients, think_s = like["clients"], like.get("think_s", 0.0)
            drawn = uploads(first, options.photos)
            say(f"{clients} clients that pause {think_s:g} s while {options.photos} come in")
            found, wall_s = await ask(client, ids, clients, lambda: upload(client, drawn), think_s)
            row = found.row("busy", clients, wall_s, think_s)
            return row | {
                "photos_per_second": options.photos / wall_s,
                "photos_per_second_alone": options.gallery / alone_s,
                "ratio": row["p95_ms"] / like["p95_ms"],
                "ratio_to_one_client": row["p95_ms"] / one["p95_ms"],
            }

        one = await idle(1)
        hasty = await idle(options.clients)
        rows = [one, hasty, await busy(1_000_000, hasty)]
        if options.think_s:
            thinking = await idle(options.clients, options.think_s)
            rows += [thinking, await busy(2_000_000, thinking)]
        return rows


def main() -> None:
    """Serve, fill, ask, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--photos", type=int, default=5000)
    parser.add_argument("--gallery", type=int, default=1000, help="photos that are there before")
    parser.add_argument("--idle-s", type=float, default=30.0)
    parser.add_argument(
        "--think-s", type=float, default=1.0, help="mean pause of clients like people, 0: none such"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {
            "GEOSEARCH_HOME": str(Path(home) / "home"),
            "GEOSEARCH_ENCODER": "lite",
            "GEOSEARCH_API_RATE_PER_MINUTE": "0",
        }
        start = "from geosearch.cli import main; main()"
        command = [sys.executable, "-c", start, "serve", "--no-keys", "--port", "0"]
        server = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        try:
            assert server.stderr is not None
            line = server.stderr.readline()
            url = line.split()[0]
            if not url.startswith("http"):
                raise SystemExit(f"the server did not start: {line}{server.stderr.read()}")
            rows = asyncio.run(measure(url, options))
        finally:
            server.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.wait(60)
            server.kill()
    if options.json:
        json.dump({"rows": rows}, sys.stdout, indent=2)
        return
    for row in rows:
        shown = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()}
        say("  ".join(f"{name}={value}" for name, value in shown.items()))


if __name__ == "__main__":
    main()
