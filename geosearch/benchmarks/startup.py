"""How long the doors take to open, against an empty Python."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

CASES = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import geosearch": [sys.executable, "-c", "import geosearch"],
    "geosearch --help": [sys.executable, "-c", "from geosearch.cli import main; main(['--help'])"],
}


def startup(progress: Callable[[str], None] | None = None, *, size: int = 11) -> dict[str, Any]:
    """Median seconds of `size` starts of each case, taken in turn so that drift hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in CASES}
    for number in range(size):
        for name, command in CASES.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - start)
        if progress is not None:
            progress(f"start {number + 1} of {size}")
    empty = statistics.median(seconds["python -c pass"])
    rows = [
        {
            "case": name,
            "p50_ms": 1000.0 * statistics.median(values),
            "ratio": statistics.median(values) / empty,
            "baseline": "python -c pass",
        }
        for name, values in seconds.items()
    ]
    return {"name": "startup", "rows": rows}
