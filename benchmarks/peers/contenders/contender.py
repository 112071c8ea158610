"""What every contender does: read a request, measure, write an answer. Standard library only."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

Request = dict[str, Any]
Answer = dict[str, Any]


def play(measure: Callable[[Request], Answer], *packages: str) -> None:
    """Answer the request that the command line names, with versions and peak memory."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answer = measure(request)
    answer["versions"] = {name: metadata.version(name) for name in packages}
    answer["peak_mb"] = peak_mb()
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


class Clock:
    """Seconds of the blocks that it was put around."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time a block."""
        start = time.perf_counter()
        yield
        self.seconds.append(time.perf_counter() - start)

    @property
    def milliseconds(self) -> list[float]:
        """The same, in milliseconds."""
        return [1000.0 * seconds for seconds in self.seconds]


def padded(ids: Sequence[int], k: int) -> list[int]:
    """Exactly k ids, -1 where there are fewer."""
    return [*ids[:k], *[-1] * (k - len(ids))]


def peak_mb() -> float:
    """Most memory that this process ever had resident, in MB."""
    return _status_kib("VmHWM") * 1024 / 1e6


def resident_mb() -> float:
    """Memory of this process now, files that it has mapped included, in MB."""
    return _status_kib("VmRSS") * 1024 / 1e6


def _status_kib(name: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name))
