"""Row about starting: from a command to its first result, each time in a new process."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Any

from peers import inputs
from peers.contest import ROOT, Contender, Contest, aim, inherited, line

OURS, SCRIPT = "geosearch search --image", "script with open_clip and faiss"
GEOCLIP = "script with GeoCLIP.predict"
TORCH = "of it, import torch"
ARCHITECTURE = "ViT-B-32"


def start(contest: Contest) -> dict[str, Any]:
    """Seconds of a whole process that answers one photo, files in the disk's cache."""
    photos = contest.size(1000, least=50)
    folder = inputs.photos(contest.work, photos, (640, 448))
    home = contest.work / f"started-{photos}"
    filled = home.with_suffix(".filled")  # a run that was cut off leaves a home half-filled
    if not filled.exists():
        contest.discard(str(home))
        contest.ask(Contender(OURS, "start_geosearch", {"home": str(home), "photos": str(folder)}))
        filled.touch()
    photo = str(min(folder.glob("*.jpg")))
    script = Contender(
        SCRIPT,
        "start_faiss",
        {
            "architecture": ARCHITECTURE,
            "weights": str(inputs.weights(contest.work, ARCHITECTURE)),
            "index": str(contest.work / f"start-{photos}.index"),
            "points": photos,
            "photo": photo,
        },
        home="peers",
    )
    one = inputs.photos(contest.work, 1, (640, 448))
    geoclip = Contender(
        GEOCLIP, "locate_geoclip", {"photos": str(one), "kept": False, "is_warm": True}
    )
    versions = contest.ask(script)["versions"]  # this time it makes its index
    environment = {k: v for k, v in inherited().items() if not k.startswith("GEOSEARCH_")} | {
        "GEOSEARCH_HOME": str(home),
        "GEOSEARCH_ENCODER": "lite",
        "PYTHONPATH": str(ROOT),
    }
    ours = [sys.executable, "-c", "from geosearch.cli import main; main()"]
    ours += ["search", "--image", photo, "--json"]
    commands = {OURS: ours, TORCH: [sys.executable, "-c", "import torch"]}
    seconds: dict[str, list[float]] = {OURS: [], TORCH: [], SCRIPT: [], GEOCLIP: []}
    for number in range(contest.rounds + 1):
        for name, values in seconds.items():
            began = time.perf_counter()
            if name in commands:
                subprocess.run(commands[name], env=environment, check=True, capture_output=True)
            else:
                contest.ask(script if name == SCRIPT else geoclip)
            if number > 0:  # the first one brings files into memory
                values.append(time.perf_counter() - began)
        contest.say(
            f"  round {number}: " + ", ".join(f"{v[-1]:.2f} s" for v in seconds.values() if v)
        )
    return {
        "title": f"start to first result, {photos:,} photos, warm disk",
        "sizes": {"photos": photos},
        "lines": [
            line(OURS + " (lite)", "s", seconds[OURS]),
            line(TORCH, "s", seconds[TORCH]),
            line(f"{SCRIPT} ({ARCHITECTURE})", "s", seconds[SCRIPT], against=seconds[OURS]),
            line(GEOCLIP, "s", seconds[GEOCLIP], against=seconds[OURS]),
        ],
        "aims": [aim("under 2.5 s with lite", statistics.median(seconds[OURS]), 2.5, at_most=True)],
        "versions": versions,
    }
