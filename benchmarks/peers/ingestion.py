"""Rows about taking photos in: for the first time, and again with a few new ones among them."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from peers import inputs
from peers.contest import Answer, Contender, Contest, aim, line
from peers.figures import ratios

ARCHITECTURE = "ViT-B-32"
OURS, ALONE = "GeoSearch", "its reading, decoding and encoding alone"
OURS_FLOAT32 = "GeoSearch, float32"
CLIP_RETRIEVAL, TUNED = "clip-retrieval + faiss", "clip-retrieval + faiss, batches of 32"
LOADER = "open_clip, DataLoader, Qdrant upsert"
_SMALL_BATCHES = {"batch_size": 32, "workers": 2}


def ingest(contest: Contest) -> dict[str, Any]:
    """Photos a second of the first ingest, of everyone."""
    size = contest.size(1000, least=16)
    folder = inputs.photos(contest.work, size)
    answers = contest.rounds_of(
        [
            _ours(contest, OURS),
            _ours(contest, OURS_FLOAT32, dtype="float32"),
            _ours(contest, ALONE, action="alone"),
            *_peers(contest),
        ],
        photos=str(folder),
        expected=size,
        home=None,
    )
    rates = {name: [one["per_second"] for one in some] for name, some in answers.items()}
    theirs = max((CLIP_RETRIEVAL, TUNED), key=lambda name: float(np.median(rates[name])))
    same = answers[LOADER][0]["probe"]
    return {
        "title": f"ingest {size:,} JPEGs of 4 MP with one {ARCHITECTURE}",
        "sizes": {"photos": size},
        "lines": [
            line(
                name, "photos/s", values, against=None if name == OURS else rates[OURS],
                is_rate=True,
                cpu_ms=statistics.median(1000.0 * one["cpu_s"] / size for one in answers[name]),
                dtype=answers[name][0]["dtype"], peak_mb=answers[name][-1]["peak_mb"],
                least_cosine=_least_cosine(answers[name][0]["probe"], same),
            )
            for name, values in rates.items()
        ],
        "aims": [
            aim("≥ 2 times clip-retrieval", ratios(rates[OURS], rates[theirs]).median, 2.0),
            aim("≥ 1.3 times the DataLoader", ratios(rates[OURS], rates[LOADER]).median, 1.3),
            aim("≥ 0.95 of encoding alone", ratios(rates[OURS], rates[ALONE]).median, 0.95),
        ],
        "versions": _versions(answers),
    }  # fmt: skip


def again(contest: Contest) -> dict[str, Any]:
    """Seconds to have a folder indexed once more after 1 % was added to it.

    clip-retrieval knows no second time: it takes everything in anew, with either batch size.
    """
    size = contest.size(1000, least=50)
    new = max(1, size // 100)
    grown = size + new * contest.rounds
    everything = sorted(inputs.photos(contest.work, grown).glob("*.jpg"))
    seconds: dict[str, list[float]] = {OURS: [], CLIP_RETRIEVAL: [], TUNED: []}
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory(dir=contest.work, prefix="again-") as scratch:
        folder, home = Path(scratch) / "photos", str(Path(scratch) / "home")
        folder.mkdir()
        for path in everything[:size]:
            shutil.copy2(path, folder)
        contest.ask(_ours(contest, OURS), photos=str(folder), home=home, expected=size)
        for number in range(contest.rounds):
            known = size + number * new
            for path in everything[known : known + new]:
                shutil.copy2(path, folder)
            turn: list[tuple[Contender, str | None, int]] = [(_ours(contest, OURS), home, new)]
            turn += [(one, None, known + new) for one in _clip_retrieval(contest)]
            for contender, kept, expected in turn:
                answer = contest.ask(contender, photos=str(folder), home=kept, expected=expected)
                seconds[contender.name].append(answer["seconds"])
                versions |= answer["versions"]
            contest.say(
                f"  round {number + 1}: "
                + ", ".join(f"{name} {values[-1]:.2f} s" for name, values in seconds.items())
            )
    theirs = min((CLIP_RETRIEVAL, TUNED), key=lambda name: statistics.median(seconds[name]))
    return {
        "title": f"ingest again, {new:,} new among {size:,}",
        "sizes": {"photos": size, "new": new},
        "lines": [
            line(name, "s", values, against=None if name == OURS else seconds[OURS])
            for name, values in seconds.items()
        ],
        "aims": [
            aim("≥ 20 times clip-retrieval", ratios(seconds[theirs], seconds[OURS]).median, 20.0)
        ],
        "versions": versions,
    }


def _ours(contest: Contest, name: str, *, action: str = "ingest", dtype: str = "auto") -> Contender:
    request = {**_model(contest), "action": action, "dtype": dtype}
    return Contender(name, "ingest_geosearch", request)


def _peers(contest: Contest) -> list[Contender]:
    loader = Contender(LOADER, "ingest_loader", _model(contest) | _SMALL_BATCHES)
    return [*_clip_retrieval(contest), loader]


def _clip_retrieval(contest: Contest) -> list[Contender]:
    """With its own batches of 256 and four processes, and with what suits few photos and cores."""
    model: dict[str, Any] = _model(contest)
    return [
        Contender(CLIP_RETRIEVAL, "ingest_clip_retrieval", model, home="peers"),
        Contender(TUNED, "ingest_clip_retrieval", model | _SMALL_BATCHES, home="peers"),
    ]


def _model(contest: Contest) -> dict[str, str]:
    path = inputs.weights(contest.work, ARCHITECTURE)
    return {"architecture": ARCHITECTURE, "weights": str(path), "scratch": str(contest.work)}


def _least_cosine(mine: list[list[float]], others: list[list[float]]) -> float:
    """How far the features of the first photos are apart, as a check that the model is the same."""
    one, other = np.array(mine), np.array(others)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / lengths).min())


def _versions(answers: dict[str, list[Answer]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for some in answers.values():
        found |= some[0]["versions"]
    return found
