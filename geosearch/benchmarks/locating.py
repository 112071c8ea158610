"""How long locating takes, and in which part: decode, encode, search, look up, re-rank.

Decoding and encoding are timed on postcards with the encoder `lite`; the rest on made-up vectors of
its length (views of one spot alike, spots in clusters), in real engines: Qdrant Edge, PostgreSQL.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geosearch.benchmarks.shapes import clustered_vectors, places_by_cluster
from geosearch.catalogue.drafts import PhotoDraft
from geosearch.client.locating import locator_of
from geosearch.client.reranking import train_reranker_of
from geosearch.encoder.fusion import fuse
from geosearch.localization.locator import Locator
from geosearch.postcards import write_postcards
from geosearch.records import Label, LabelSource, PhotoState, photo_id
from geosearch.services import Services
from geosearch.settings import Settings
from geosearch.store.base import PointPayload, VectorPoint

VIEWS = 4
QUESTIONS = 300
CHUNK = 1000
NOISE = 0.5

Say = Callable[[str], None]


def locating(
    progress: Say | None = None, *, n: int = 50_000, queries: int = 200, seed: int = 0
) -> dict[str, Any]:
    """Times of each part of locating one photo among `n`, by the rule and by a re-ranker."""
    say = progress or (lambda _: None)
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory(prefix="geosearch-bench-") as scratch:
        settings = Settings(home=Path(scratch) / "home", encoder="lite")
        with Services(settings) as services:
            rows = _reading(services, Path(scratch) / "postcards")
            vectors = fill(services, rng, n, say)
            asked = [_perturbed(rng, vectors[row]) for row in rng.integers(0, n, queries)]
            rows += _parts(services, asked, "rule")
            say("training the re-ranker")
            train_reranker_of(services, questions=QUESTIONS, seed=seed)
            rows += _parts(services, asked, "re-ranker")
    return {"name": "locate", "photos": n, "rows": rows}


def _reading(services: Services, folder: Path) -> list[dict[str, Any]]:
    """Decoding and encoding of one photo at a time."""
    written = write_postcards(folder)
    photos = [photo.path.read_bytes() for photo in written.held_out]
    embedder = services.embedder
    embedder.embed(photos[0])  # the first run allocates
    decode_ms, encode_ms = [], []
    for data in photos:
        start = time.perf_counter()
        pixels = embedder.prepare(data)
        decoded = time.perf_counter()
        embedder.encode([pixels])
        encode_ms.append(1000.0 * (time.perf_counter() - decoded))
        decode_ms.append(1000.0 * (decoded - start))
    return [_row("decode", "lite", decode_ms), _row("encode", "lite", encode_ms)]


def fill(services: Services, rng: np.random.Generator, n: int, say: Say) -> NDArray[np.float32]:
    """`n` photos in catalogue and index; their vectors (n, dim)."""
    width = services.embedder.dim // 3
    spots = -(-n // VIEWS)
    looks, clusters = clustered_vectors(rng, spots, width)
    places = places_by_cluster(rng, clusters)
    vectors = np.empty((n, 3 * width), np.float32)
    run = services.catalogue.begin_run("bench", {})
    for start in range(0, n, CHUNK):
        rows = np.arange(start, min(start + CHUNK, n))
        views = looks[rows // VIEWS] + rng.normal(size=(len(rows), width)) * (NOISE / width**0.5)
        block = views.astype(np.float32)
        vectors[rows] = fuse(visual=block, text_aligned=block, location_aligned=block)
        digests = [hashlib.sha256(f"{row}".encode()).hexdigest() for row in rows]
        services.catalogue.record(
            [
                PhotoDraft(
                    photo_id(digest),
                    digest,
                    f"/bench/{row}.jpg",
                    1,
                    PhotoState.PENDING,
                    label=Label(places[row // VIEWS], LabelSource.MANIFEST),
                )
                for row, digest in zip(rows.tolist(), digests, strict=True)
            ],
            [],
            run_id=run,
        )
        services.store.upsert(
            [
                VectorPoint(photo_id(digest), vectors[row], PointPayload(places[row // VIEWS]))
                for row, digest in zip(rows.tolist(), digests, strict=True)
            ]
        )
    say(f"{n:,} photos written")
    services.store.optimize()
    say("graph built")
    return vectors


def _perturbed(rng: np.random.Generator, vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Another view of the same spot (dim,)."""
    width = len(vector) // 3
    view = vector[:width] * 3.0**0.5 + rng.normal(size=width) * (NOISE / width**0.5)
    block = view.astype(np.float32)[None]
    found: NDArray[np.float32] = fuse(visual=block, text_aligned=block, location_aligned=block)[0]
    return found


class _Stopwatch:
    """Seconds spent in calls of one method of an object, which it stands in for."""

    def __init__(self, target: Any, name: str) -> None:
        self.seconds, self._target, self._name = 0.0, target, name
        self._method = getattr(target, name)
        setattr(target, name, self._timed)

    def _timed(self, *arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return self._method(*arguments, **options)
        finally:
            self.seconds += time.perf_counter() - start

    def restore(self) -> None:
        """Give the object its own method back."""
        delattr(self._target, self._name)


def _parts(
    services: Services, asked: list[NDArray[np.float32]], method: str
) -> list[dict[str, Any]]:
    locator: Locator = locator_of(services, services.index)
    locator.locate(asked[0], image="warm-up")
    watches = {
        "search": _Stopwatch(services.store, "query"),
        "look up": _Stopwatch(services.catalogue, "facts"),
        "place names": _Stopwatch(services.gazetteer, "lookup"),
    }
    times: dict[str, list[float]] = {name: [] for name in (*watches, "re-rank", "all but reading")}
    for vector in asked:
        before = {name: watch.seconds for name, watch in watches.items()}
        start = time.perf_counter()
        locator.locate(vector, image="q")
        whole = time.perf_counter() - start
        spent = {name: watch.seconds - before[name] for name, watch in watches.items()}
        spent["re-rank"] = whole - sum(spent.values())
        for name, seconds in (spent | {"all but reading": whole}).items():
            times[name].append(1000.0 * seconds)
    for watch in watches.values():
        watch.restore()
    return [_row(name, method, some) for name, some in times.items()]


def _row(part: str, method: str, times_ms: list[float]) -> dict[str, Any]:
    return {
        "part": part,
        "method": method,
        "p50_ms": statistics.median(times_ms),
        "p95_ms": float(np.quantile(times_ms, 0.95)),
    }
