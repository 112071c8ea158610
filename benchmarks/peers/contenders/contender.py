"""What every contender does: read a request, measure, write an answer. Standard library only."""

from __future__ import annotations

import json
import resource
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
    """Seconds of the blocks that it was put around, and of the processor in all of them together.

    The processor's count threads and finished children. Other work on the machine lengthens them
    far less.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.cpu_s = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time a block."""
        cpu_s, start = used_s(), time.perf_counter()
        yield
        self.seconds.append(time.perf_counter() - start)
        self.cpu_s += used_s() - cpu_s

    @property
    def milliseconds(self) -> list[float]:
        """The same, in milliseconds."""
        return [1000.0 * seconds for seconds in self.seconds]

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of the processor that one block took on average."""
        return 1000.0 * self.cpu_s / len(self.seconds)


def padded(ids: Sequence[int], k: int) -> list[int]:
    """Exactly k ids, -1 where there are fewer."""
    return [*ids[:k], *[-1] * (k - len(ids))]


def used_s() -> float:
    """Processor time of this process and of its children that have ended."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def peak_mb() -> float:
    """Most memory that this process ever had resident, in MB."""
    return _status_kib("VmHWM") * 1024 / 1e6


def resident_mb() -> float:
    """Memory of this process now, files that it has mapped included, in MB."""
    return _status_kib("VmRSS") * 1024 / 1e6


def anonymous_mb() -> float:
    """Memory of this process now that belongs to no file, in MB."""
    return _status_kib("RssAnon") * 1024 / 1e6


def _status_kib(name: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name))
