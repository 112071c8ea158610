"""Rows about searching: all vectors, those within a circle, and how it grows with their number."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np

from peers import inputs
from peers.contest import Answer, Contender, Contest, aim, line
from peers.figures import log_log_slope, ratios, recall

BLOCK_DIM = 256
RECALL, FILTERED_RECALL = 0.98, 0.99
OURS, PLAIN_WALK = "GeoSearch", "Qdrant Edge, its own filtered walk"
LEAST = "GeoSearch's index at the least ef"
FLAT, HNSW, MASKED = "faiss flat", "faiss HNSW", "faiss flat + mask"
PGVECTOR, LOCAL = "pgvector HNSW", "qdrant-client, local mode"
EFS = (32, 64, 128, 256, 512)
HEADLINE = ("correlated", 0.01)
"""Which of the circles the summary states."""

GROWTH = (10_000, 50_000, 200_000, 500_000)
TRIAL_SHARES = (0.05, 0.25, 1.0)
"""Of the largest size, in a run that is too small for three sizes of `GROWTH`."""


def search(contest: Contest) -> dict[str, Any]:
    """Latency of the ten nearest, each contender at its least effort that finds 0.98 of them."""
    n = contest.size(200_000, least=2000)
    found = _searched(contest, n, [OURS, LEAST, FLAT, HNSW, PGVECTOR, LOCAL])
    medians = found["medians"]
    against = {name: ratios(medians[name], medians[OURS]).median for name in medians}
    return {
        "title": f"search {n:,} fused vectors (3 x {BLOCK_DIM}), top {inputs.K}",
        "sizes": {"vectors": n, "dim": 3 * BLOCK_DIM},
        "lines": found["lines"],
        "aims": [
            aim("recall ≥ 0.98", found["lines"][0]["recall"], RECALL),
            aim("≥ 10 times faiss flat", against[FLAT], 10.0),
            aim("≤ 2 times faiss HNSW's time", 1.0 / against[HNSW], 2.0, at_most=True),
            aim(
                "the same, both at the least ef",
                ratios(medians[LEAST], medians[HNSW]).median,
                2.0,
                at_most=True,
            ),
            aim("faster than pgvector", against[PGVECTOR], 1.0),
            aim("faster than qdrant-client's local mode", against[LOCAL], 1.0),
        ],
        "versions": found["versions"],
    }


def filtered(contest: Contest) -> dict[str, Any]:
    """The same within circles that keep from 0.01 % to half of all points."""
    n = contest.size(200_000, least=2000)
    folder = inputs.vectors(contest.work, n, block_dim=BLOCK_DIM)
    lines: list[dict[str, Any]] = []
    aims: list[dict[str, Any]] = []
    versions: dict[str, str] = {}
    for places in inputs.PLACES:
        contenders = [
            _contender(contest, n, name, places=places)
            for name in (OURS, PLAIN_WALK, MASKED, PGVECTOR)
        ]
        built(contest, contenders)
        answers = contest.rounds_of(contenders, action="filtered", efs=[128])
        truth = np.load(folder / f"{places}-truth.npy")  # (shares, q, k)
        for at, share in enumerate(inputs.SHARES):
            size: dict[str, Any] = {"places": places, "share": share}
            times = {
                name: [statistics.median(one["rows"][at]["ms"]) for one in some]
                for name, some in answers.items()
            }
            recalls = {
                name: recall(np.array(some[0]["rows"][at]["found"]), truth[at])
                for name, some in answers.items()
            }
            if (places, share) == HEADLINE:
                size["headline"] = ""
            for name, values in times.items():
                size.pop("cpu_ms", None)
                if "headline" in size:
                    size["headline"] = (
                        f"{statistics.median(values):.2f} ms at recall {recalls[name]:.3f} "
                        f"({100 * share:g} % kept, {places})"
                    )
                if "cpu_ms" in answers[name][0]["rows"][at]:
                    size["cpu_ms"] = statistics.median(
                        one["rows"][at]["cpu_ms"] for one in answers[name]
                    )
                p95 = _p95([one["rows"][at]["ms"] for one in answers[name]])
                lines.append(
                    line(name, "ms", values, against=None if name == OURS else times[OURS],
                         recall=recalls[name], p95=p95, **size)
                )  # fmt: skip
            rivals = [
                ratios(times[name], times[OURS]).median
                for name in times
                if name != OURS and recalls[name] >= FILTERED_RECALL
            ]
            where = f"{100 * share:g} % kept, {places}"
            aims.append(aim(f"recall ≥ 0.99, {where}", recalls[OURS], FILTERED_RECALL))
            if rivals:
                aims.append(aim(f"fastest with that recall, {where}", min(rivals), 1.0))
        for some in answers.values():
            versions |= some[0]["versions"]
    return {
        "title": f"the same within a radius, {n:,} vectors",
        "sizes": {"vectors": n, "dim": 3 * BLOCK_DIM},
        "lines": lines,
        "aims": aims,
        "versions": versions,
    }


def growth(contest: Contest) -> dict[str, Any]:
    """Search and building the index at growing numbers, and the exponents of their growth."""
    sizes = growth_sizes(contest.size(GROWTH[-1], least=20_000))
    lines, slopes = [], {}
    costs: dict[str, dict[int, float]] = {}
    versions: dict[str, str] = {}
    for n in sizes:
        contest.say(f" {n:,} vectors")
        found = _searched(contest, n, [OURS, FLAT, HNSW], rounds=1)
        versions |= found["versions"]
        for one in found["lines"]:
            lines.append(one | {"vectors": n})
            for what in ("median", "cpu_ms", "build_s", "graph_s", "resident_mb"):
                if what in one:
                    costs.setdefault(f"{one['contender']}, {what}", {})[n] = one[what]
    for what, some in costs.items():
        if len(some) > 1 and all(cost > 0.0 for cost in some.values()):
            slopes[what] = log_log_slope(some)
    return {
        "rounds": 1,
        "title": f"growth from {sizes[0]:,} to {sizes[-1]:,} vectors",
        "sizes": {"vectors": sizes, "dim": 3 * BLOCK_DIM},
        "lines": lines,
        "slopes": slopes,
        "aims": [],
        "versions": versions,
    }


def growth_sizes(largest: int) -> list[int]:
    """Numbers of vectors up to the largest: three at least, so that a slope means something."""
    sizes = [n for n in GROWTH if n <= largest]
    return sizes if len(sizes) >= 3 else [round(share * largest) for share in TRIAL_SHARES]


def _searched(
    contest: Contest, n: int, names: list[str], rounds: int | None = None
) -> dict[str, Any]:
    """Lines of the named contenders on n vectors, and their medians round by round."""
    folder = inputs.vectors(contest.work, n, block_dim=BLOCK_DIM)
    truth = np.load(folder / "truth.npy")
    contenders = [_contender(contest, n, name) for name in names]
    builds = built(contest, contenders)
    efs = {
        contender.name: contender.request["efs"]
        for contender in contenders
        if "efs" in contender.request
    }
    answers = contest.rounds_of(contenders, rounds, action="search")
    chosen = {name: _least_effort(some, truth) for name, some in answers.items()}
    medians = {
        name: [statistics.median(one["tries"][chosen[name]]["ms"]) for one in some]
        for name, some in answers.items()
    }
    lines = []
    for name, values in medians.items():
        tried = [one["tries"][chosen[name]] for one in answers[name]]
        facts: dict[str, Any] = {
            "recall": recall(np.array(tried[0]["found"]), truth),
            "p95": _p95([one["ms"] for one in tried]),
            **builds.get(name, {}),
        }
        if "cpu_ms" in tried[0]:
            facts["cpu_ms"] = statistics.median(one["cpu_ms"] for one in tried)
        if name in efs:
            facts["ef"] = int(chosen[name])
        for fact in ("resident_mb", "build_s"):
            if fact in answers[name][-1]:
                facts[fact] = answers[name][-1][fact]
        lines.append(
            line(name, "ms", values, against=None if name == OURS else medians[OURS], **facts)
        )
    versions: dict[str, str] = {}
    for some in answers.values():
        versions |= some[0]["versions"]
        if some[0].get("pgvector"):
            versions["pgvector"] = some[0]["pgvector"]
    return {"lines": lines, "medians": medians, "versions": versions}


def _least_effort(answers: list[Answer], truth: np.ndarray[Any, Any]) -> str:
    """The first of the tried efforts that finds enough; the last if none does."""
    tries = answers[0]["tries"]
    for name, one in tries.items():
        if recall(np.array(one["found"]), truth) >= RECALL:
            return str(name)
    return str(list(tries)[-1])  # its recall stands in the table


def built(contest: Contest, contenders: list[Contender]) -> dict[str, dict[str, Any]]:
    """Have every contender that keeps an index build it, once for all runs on this work folder."""
    kept = contest.work / "built.json"
    known = contest.recall(kept)
    for contender in contenders:
        index = contender.request.get("index")
        if index is None:
            continue
        if index not in known:
            contest.discard(index)
            answer = contest.ask(contender, action="build")
            known[index] = {k: v for k, v in answer.items() if k.endswith(("_s", "disk_mb"))}
            contest.remember(kept, known)
            contest.say(f"  {contender.name} built in {answer['build_s']:.1f} s")
    return {
        contender.name: known[contender.request["index"]]
        for contender in contenders
        if "index" in contender.request
    }


def _contender(contest: Contest, n: int, name: str, places: str = "independent") -> Contender:
    folder = inputs.vectors(contest.work, n, block_dim=BLOCK_DIM)
    request: dict[str, Any] = {"inputs": str(folder), "k": inputs.K, "places": places}

    def index(kind: str) -> dict[str, Any]:
        return {"index": str(contest.work / f"{kind}-{folder.name.removeprefix('vectors-')}")}

    match name:
        case "GeoSearch" | "Qdrant Edge, its own filtered walk":
            plan = "planned" if name == OURS else "plain"
            return Contender(
                name, "search_geosearch", request | index(f"edge-{places}") | {"plan": plan}
            )
        case "GeoSearch's index at the least ef":
            more = index(f"edge-{places}") | {"plan": "plain", "efs": EFS}
            return Contender(name, "search_geosearch", request | more)
        case "faiss flat" | "faiss flat + mask":
            more = index("flat") | {"kind": "flat"}
            return Contender(name, "search_faiss", request | more, home="peers")
        case "faiss HNSW":
            more = index("hnsw") | {"kind": "hnsw", "efs": EFS}
            return Contender(name, "search_faiss", request | more, home="peers")
        case "pgvector HNSW":
            more = index(f"pgvector-{places}") | {"efs": EFS}
            return Contender(name, "search_pgvector", request | more)
        case "qdrant-client, local mode":
            return Contender(name, "search_qdrant_local", request)
    raise AssertionError(f"nobody is called {name}")


def _p95(rounds: list[list[float]]) -> float:
    return float(np.quantile(np.concatenate([np.array(one) for one in rounds]), 0.95))
