"""Row about memory: what an index of a million photos keeps resident, layout by layout."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np

from peers import inputs
from peers.contest import Answer, Contender, Contest, aim, line
from peers.figures import recall
from peers.searching import built

BLOCK_DIM = 768
FULL = 1_000_000
FLAT = "faiss flat"

LAYOUTS = {
    "GeoSearch, 8 bits": ("int8", False),
    "GeoSearch, 8 bits, vectors on disk": ("int8", True),
    "GeoSearch, 4 bits, vectors on disk": ("int4", True),
    "GeoSearch, float32": ("none", False),
}
"""`GEOSEARCH_VECTOR_QUANTIZATION` and `GEOSEARCH_VECTORS_ON_DISK`; the first is how it comes."""

WANTED_RECALL = 0.97


def memory(contest: Contest) -> dict[str, Any]:
    """GB that stay resident after 200 searches, drawn out from two sizes to a million photos.

    Files that are mapped count as far as they were read. The slope between the sizes leaves out
    what a process needs anyway. faiss flat keeps every number: 4 bytes each.
    """
    # Up to 24,000 all are compared, which reads every page; both sizes are above.
    large = contest.size(200_000, least=60_000)
    sizes = (large // 2, large)
    dim = 3 * BLOCK_DIM
    flat_gb = 4.0 * dim * FULL / 1e9
    lines: list[dict[str, Any]] = []
    versions: dict[str, str] = {}
    best: dict[str, float] = {}
    for name, (quantization, on_disk) in LAYOUTS.items():
        found: dict[int, list[Answer]] = {}
        facts: dict[str, Any] = {}
        for n in sizes:
            folder = inputs.vectors(contest.work, n, block_dim=BLOCK_DIM)
            index = contest.work / f"memory-{quantization}-{on_disk}-{n}x{dim}"
            contender = Contender(
                name,
                "memory_geosearch",
                {
                    "inputs": str(folder), "index": str(index), "k": inputs.K,
                    "quantization": quantization, "on_disk": on_disk,
                },
            )  # fmt: skip
            facts = built(contest, [contender]).get(name, {})
            found[n] = contest.rounds_of([contender])[name]
            truth = np.load(folder / "truth.npy")
        share = recall(np.array(found[large][0]["found"]), truth)
        values = [
            _at_full(sizes, small["resident_mb"], big["resident_mb"])
            for small, big in zip(found[sizes[0]], found[large], strict=True)
        ]
        lines.append(
            line(
                name, "GB", values, against=[flat_gb] * len(values), recall=share,
                vectors=large, **facts,
                cpu_ms=statistics.median(one["cpu_ms"] for one in found[large]),
                resident_mb=statistics.median(one["resident_mb"] for one in found[large]),
                anonymous_mb=statistics.median(one["anonymous_mb"] for one in found[large]),
            )
        )  # fmt: skip
        lines[-1]["ratio"] = {k: 1.0 / v for k, v in lines[-1]["ratio"].items()}
        versions |= found[large][0]["versions"]
        if share >= WANTED_RECALL:
            best[name] = statistics.median(values) / flat_gb
    least = min(best.values(), default=1.0)
    flat = _flat(contest, large)
    lines.append(line(FLAT, "GB", [flat_gb], recall=1.0, vectors=large, **flat))
    return {
        "title": f"memory of {FULL:,} fused vectors (3 x {BLOCK_DIM}), from {large:,}",
        "sizes": {"vectors": list(sizes), "dim": dim},
        "lines": lines,
        "aims": [aim("≤ 0.3 of flat at recall ≥ 0.97", least, 0.3, at_most=True)],
        "versions": versions,
    }  # fmt: skip


def _at_full(sizes: tuple[int, int], small_mb: float, large_mb: float) -> float:
    """GB at a million photos, by the slope between two sizes."""
    return (large_mb - small_mb) / (sizes[1] - sizes[0]) * FULL / 1000.0


def _flat(contest: Contest, n: int) -> dict[str, Any]:
    """What faiss flat keeps resident at a size that it was measured at."""
    folder = inputs.vectors(contest.work, n, block_dim=BLOCK_DIM)
    request = {
        "inputs": str(folder), "k": inputs.K, "kind": "flat", "places": "independent",
        "index": str(contest.work / f"flat-{folder.name.removeprefix('vectors-')}"),
    }  # fmt: skip
    contender = Contender(FLAT, "search_faiss", request, home="peers")
    built(contest, [contender])
    [answer] = contest.rounds_of([contender], 1, action="search")[FLAT]
    return {"resident_mb": answer["resident_mb"]}
