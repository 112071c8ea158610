"""What the effort of a search by photo finds and costs, on features of real photos.

Some photos are asked of all the others, always by a walk over the graph; `ef` is how many points it
keeps in sight (`store.planning.PHOTO_EF`). A search makes such a walk from 24,000 photos on and
compares with the copies of each below (`store.layout.SCAN_UP_TO`), `copies` here; `every` compares
with the vectors. True are the ten nearest in float32. Efforts
take turns, query by query, after one turn whose times count for nothing.

    python benchmarks/search_effort.py FEATURES.npz [--queries 500] [--seed 0] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from geosearch.benchmarks.filling import filled_store
from geosearch.evaluation.features import load_features
from geosearch.geo import Coordinate
from geosearch.store.base import Match, SearchMode
from geosearch.store.layout import VectorLayout

EFS = (32, 48, 64, 96, 128, 256, 512)
WALKED = VectorLayout(scan_up_to=1)
LIMIT = 10
TURNS = 3


def measured(path: Path, *, queries: int, seed: int) -> list[dict[str, Any]]:
    """Recall@10, how often the very nearest is among the ten, and the median time of each way."""
    features = load_features(path)
    order = np.random.default_rng(seed).permutation(len(features))
    vectors = features.image_features[order]  # (n, dim)
    places = [
        Coordinate(float(lat), float(lon))
        for lat, lon in zip(features.lat[order], features.lon[order], strict=True)
    ][queries:]
    asked, kept = vectors[:queries], vectors[queries:]
    nearest = np.argsort(-(asked @ kept.T))[:, :LIMIT].tolist()  # (queries, LIMIT)
    with tempfile.TemporaryDirectory(prefix="geosearch-bench-") as scratch:
        walked = filled_store(Path(scratch) / "walked", kept, places, WALKED)
        scanned = filled_store(Path(scratch) / "scanned", kept, places)
        ways: dict[str, Callable[..., list[Match]]] = {
            str(ef): partial(walked.rank, mode=SearchMode.HNSW, ef=ef) for ef in EFS
        }
        ways["copies"] = partial(scanned.rank, mode=SearchMode.SCAN)
        ways["every"] = partial(scanned.rank, mode=SearchMode.EXACT)
        found: dict[str, list[float]] = {way: [] for way in ways}
        first: dict[str, list[bool]] = {way: [] for way in ways}
        ms: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(TURNS):
            for vector, truth in zip(asked, nearest, strict=True):
                for way, rank in ways.items():
                    start_s = time.perf_counter()
                    hits = rank(vector, None, LIMIT)
                    took_ms = 1000.0 * (time.perf_counter() - start_s)
                    if turn == 0:
                        ids = [hit.id.int for hit in hits]
                        found[way].append(len({*ids} & {*truth}) / LIMIT)
                        first[way].append(truth[0] in ids)
                    else:
                        ms[way].append(took_ms)
            sys.stderr.write(f"turn {turn + 1} of {TURNS}\n")
        walked.close()
        scanned.close()
    return [
        {
            "ef": way,
            "recall_at_10": float(np.mean(found[way])),
            "nearest_in_10": float(np.mean(first[way])),
            "p50_ms": statistics.median(ms[way]),
        }
        for way in ways
    ]


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("features", type=Path, help="NPZ of labelled image features")
    parser.add_argument("--queries", type=int, default=500, help="photos asked of the others")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args()
    rows = measured(options.features, queries=options.queries, seed=options.seed)
    if options.as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    sys.stdout.write("    ef  recall@10  nearest in 10     ms\n")
    for row in rows:
        recalls = f"{row['recall_at_10']:9.4f}  {row['nearest_in_10']:13.4f}"
        sys.stdout.write(f"{row['ef']:>6}  {recalls}  {row['p50_ms']:5.2f}\n")


if __name__ == "__main__":
    main()
