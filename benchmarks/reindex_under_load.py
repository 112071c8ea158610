"""Search 20 times a second while an index of 5,000 photos is filled and switched to.

    python benchmarks/reindex_under_load.py [edge|server] [--photos N] [--per-second N]

`edge`: everything in one process, with embedded vectors. `server`: searches here, the reindex in
another process, over the REST API (tests/support/qdrant_server.py, or QDRANT_URL). The encoders
are the small ones of the tests, with a pause for each batch, so that filling takes as long as with
a real one and the searches are what is measured. Each search asks for a photo of the collection: it
must come back as the best hit with a cosine of 1, together with as many hits as were asked for.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.encoders import choose, turned_services  # type: ignore[import-not-found]  # noqa: E402
from support.qdrant_server import QdrantServer  # type: ignore[import-not-found]  # noqa: E402

from geosearch.client import GeoSearch  # noqa: E402
from geosearch.settings import load_settings  # noqa: E402

BATCH = 32
LIMIT = 10
THREADS = 4

AFTERWARDS_S = 5.0
"""How long searches go on once the switch was noticed and the reindex is over."""

NEW = "heads-new"


def main() -> int:
    """Measure, print one JSON document; exit code 1 if anything was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("mode", choices=("edge", "server", "reindex"), nargs="?", default="edge")
    parser.add_argument("--photos", type=int, default=5000)
    parser.add_argument("--per-second", type=float, default=20.0)
    parser.add_argument("--pause-s", type=float, default=0.3, help="of encoding a batch of 32")
    asked = parser.parse_args()
    if asked.mode == "reindex":  # the other process
        with turned_services(load_settings(), delay_s=asked.pause_s) as services:
            return 0 if GeoSearch(services).reindex().switched else 1
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="geosearch-bench-")))
        photos = write_photos(scratch / "photos", asked.photos)
        settings = {"home": str(scratch / "home"), "batch_size": str(BATCH)}
        if asked.mode == "server":
            from geosearch.catalogue.embedded import EmbeddedPostgres

            postgres = EmbeddedPostgres(scratch / "postgres")
            stack.callback(postgres.close)
            url = os.environ.get("QDRANT_URL")
            if url is None:
                url = stack.enter_context(QdrantServer(scratch / "qdrant")).url
            settings |= {"database_url": postgres.url, "qdrant_url": url}
        with turned_services(load_settings(**settings)) as services:
            services.migrate()
            GeoSearch(services).ingest(manifest=scratch / "photos" / "labels.csv")
        choose(scratch / "home", NEW)
        document = measure(asked, settings, photos)
    sys.stdout.write(json.dumps(document, indent=1) + "\n")
    return 1 if document["errors"] or document["wrong"] else 0


class Searcher:
    """Searches for photos of the collection from several threads; keeps what came of it."""

    def __init__(self, geosearch: GeoSearch, photos: list[Path]) -> None:
        self._geosearch = geosearch
        self._photos = photos
        self._chance = random.Random(0)
        self._lock = threading.Lock()
        self.answers: Counter[str] = Counter()
        self.times_ms: list[float] = []
        self.errors: list[str] = []
        self.wrong: list[str] = []
        self.last: str | None = None

    def search(self, due: float) -> None:
        """One search; its time counts from when it was due."""
        with self._lock:
            photo = self._chance.choice(self._photos)
        try:
            found = self._geosearch.search(image=photo, k=LIMIT)
        except Exception as error:  # any error is what is looked for
            with self._lock:
                self.errors.append(repr(error))
            return
        best = found.hits[0] if found.hits else None
        is_right = best is not None and best.photo.path == str(photo)
        score = 0.0 if best is None or best.score is None else best.score
        with self._lock:
            self.times_ms.append(1000.0 * (time.perf_counter() - due))
            self.last = found.encoder
            self.answers[str(found.encoder)] += 1
            if not is_right or len(found.hits) != LIMIT or score < 0.999:
                self.wrong.append(f"{photo.name} with {found.encoder}: {found.hits[:1]}")


def measure(
    asked: argparse.Namespace, names: dict[str, str], photos: list[Path]
) -> dict[str, object]:
    """Search at the rate that is asked for until after the switch; what came of it."""
    with turned_services(load_settings(**names), delay_s=asked.pause_s) as services:
        geosearch = GeoSearch(services)
        before = geosearch.search(image=photos[0], k=LIMIT).encoder
        searcher = Searcher(geosearch, photos)
        is_over = start_reindex(asked, names, geosearch)
        begin = due = time.perf_counter()
        end = float("inf")
        searches = 0
        with ThreadPoolExecutor(THREADS) as pool:
            while time.perf_counter() < end:
                if end == float("inf") and searcher.last not in (None, before) and is_over():
                    end = time.perf_counter() + AFTERWARDS_S
                pool.submit(searcher.search, due)
                searches += 1
                due += 1.0 / asked.per_second
                time.sleep(max(0.0, due - time.perf_counter()))
        seconds = time.perf_counter() - begin
    return {
        "mode": asked.mode,
        "photos": len(photos),
        "searches": searches,
        "per_second": searches / seconds,
        "seconds": seconds,
        "errors": len(searcher.errors),
        "wrong": len(searcher.wrong),
        "examples": [*searcher.errors[:5], *searcher.wrong[:5]],
        "answers": dict(searcher.answers),
        "p50_ms": float(np.median(searcher.times_ms)),
        "p95_ms": float(np.quantile(searcher.times_ms, 0.95)),
        "longest_ms": max(searcher.times_ms),
    }


def start_reindex(
    asked: argparse.Namespace, names: dict[str, str], geosearch: GeoSearch
) -> Callable[[], bool]:
    """Begin to reindex, here or in another process; tells whether that is over."""
    if asked.mode == "edge":
        thread = threading.Thread(target=geosearch.reindex)
        thread.start()
        return lambda: not thread.is_alive()
    environment = {f"GEOSEARCH_{name.upper()}": value for name, value in names.items()}
    process = subprocess.Popen(
        [sys.executable, __file__, "reindex", "--pause-s", str(asked.pause_s)],
        env=os.environ | environment,
    )

    def is_over() -> bool:
        if process.poll() not in (None, 0):
            raise RuntimeError(f"the reindex ended with {process.returncode}")
        return process.returncode == 0

    return is_over


def write_photos(folder: Path, count: int) -> list[Path]:
    """JPEGs of coarse colours, and a manifest of where they were taken."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths, rows = [], ["path,lat,lon"]
    for number in range(count):
        colors = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        path = folder / f"{number:05d}.jpg"
        Image.fromarray(colors).resize((64, 48), Image.Resampling.NEAREST).save(path, quality=90)
        paths.append(path)
        rows.append(f"{path},{rng.uniform(-60, 70):.4f},{rng.uniform(-180, 180):.4f}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return paths


if __name__ == "__main__":
    sys.exit(main())
