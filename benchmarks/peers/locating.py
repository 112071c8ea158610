"""Row about locating: one photo, warm, from its file to its place."""

from __future__ import annotations

import statistics
from typing import Any

from peers import inputs
from peers.contest import Contender, Contest, aim, line
from peers.figures import ratios

ARCHITECTURE = "ViT-L-14"
OURS, OURS_FLOAT32 = "GeoSearch", "GeoSearch, float32"
GEOCLIP, KEPT = "GeoCLIP.predict", "the same, its gallery embedded once"


def locate(contest: Contest) -> dict[str, Any]:
    """Milliseconds of one photo; the backbone has the same shape and random weights for both."""
    photos = contest.size(20, least=3)
    gallery = contest.size(50_000, least=1000)
    model = {
        "architecture": ARCHITECTURE,
        "weights": str(inputs.weights(contest.work, ARCHITECTURE)),
        "photos": str(inputs.photos(contest.work, photos)),
        "gallery": gallery,
    }

    def ours(name: str, dtype: str) -> Contender:
        home = {"home": str(contest.work / f"located-{gallery}-{dtype}"), "dtype": dtype}
        return Contender(name, "locate_geosearch", model | home)

    contenders = [
        ours(OURS, "auto"),
        ours(OURS_FLOAT32, "float32"),
        Contender(GEOCLIP, "locate_geoclip", model | {"kept": False}),
        Contender(KEPT, "locate_geoclip", model | {"kept": True}),
    ]
    answers = contest.rounds_of(contenders)
    times = {name: [statistics.median(one["ms"]) for one in some] for name, some in answers.items()}
    versions: dict[str, str] = {}
    for some in answers.values():
        versions |= some[0]["versions"]
    return {
        "title": f"image to coordinate, one photo of 4 MP, {ARCHITECTURE}, {gallery:,} photos",
        "sizes": {"photos": photos, "gallery": gallery},
        "lines": [
            line(name, "ms", values, against=None if name == OURS else times[OURS],
                 dtype=answers[name][0]["dtype"], peak_mb=answers[name][-1]["peak_mb"],
                 cpu_ms=statistics.median(one["cpu_ms"] for one in answers[name]))
            for name, values in times.items()
        ],
        "aims": [aim("≥ 5 times GeoCLIP.predict", ratios(times[GEOCLIP], times[OURS]).median, 5.0)],
        "versions": versions,
    }  # fmt: skip
