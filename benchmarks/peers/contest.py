"""Rounds: contenders run in turn, each in a process of its own, and what they answer.

A contender is a script under `contenders/` that reads a request and writes an answer, both JSON
files. Ours run in this interpreter, peers in theirs, whose packages need not agree with ours.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from peers.figures import ratios, spread

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
TIMEOUT_S = 4 * 3600.0

# They choose kernels of an older BLAS for a machine's sake and would slow whoever links to one; the
# last one has a source tree compiled anew at each start, which packages are at installation.
_NOT_INHERITED = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "OMP_NUM_THREADS",
    "PYTHONDONTWRITEBYTECODE",
)

Say = Callable[[str], None]
Answer = dict[str, Any]


class ContenderFailed(Exception):
    """A contender's process ended without an answer; the message quotes its last lines."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Who takes part: `request` is what the script is asked, `home` whose packages it uses."""

    name: str
    script: str
    request: Mapping[str, Any] = field(default_factory=dict)
    home: Literal["ours", "peers"] = "ours"


@dataclass(frozen=True, slots=True)
class Contest:
    """Where and how a run measures.

    Args:
        work: inputs, built indexes and finished rows; what is there is not made again.
        peers_python: the interpreter of the peers' environment.
        scale: of the sizes; 1 is the real thing.
        rounds: how often each contender runs.
        features: an NPZ of labelled image features of real photos, None without.
        say: told what is going on.
    """

    work: Path
    peers_python: Path
    scale: float
    rounds: int
    features: Path | None
    say: Say

    def size(self, full: int, *, least: int) -> int:
        """A number of things at the scale of this run."""
        return max(least, round(full * self.scale))

    def ask(self, contender: Contender, **more: Any) -> Answer:
        """Run a contender once.

        Raises:
            ContenderFailed: its process failed.
        """
        python = sys.executable if contender.home == "ours" else str(self.peers_python)
        environment = inherited()
        paths = [HERE.parent, ROOT] if contender.home == "ours" else [HERE.parent]
        environment["PYTHONPATH"] = os.pathsep.join(map(str, paths))
        self.work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.work, prefix="asked-") as scratch:
            request, answer = Path(scratch) / "request.json", Path(scratch) / "answer.json"
            request.write_text(json.dumps({**contender.request, **more}), encoding="utf-8")
            script = HERE / "contenders" / f"{contender.script}.py"
            done = subprocess.run(
                [python, str(script), str(request), str(answer)],
                env=environment,
                cwd=scratch,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT_S,
                check=False,
            )
            if done.returncode != 0 or not answer.is_file():
                tail = done.stdout.decode(errors="replace")[-3000:]
                raise ContenderFailed(f"{contender.name} ended with {done.returncode}:\n{tail}")
            found: Answer = json.loads(answer.read_text(encoding="utf-8"))
        return found

    def recall(self, path: Path) -> dict[str, Any]:
        """What was remembered in a file; nothing if it is not there."""
        if not path.exists():
            return {}
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def remember(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Write facts to a file, the whole of it or nothing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(facts, indent=1, ensure_ascii=False), encoding="utf-8")
        new.rename(path)

    def discard(self, name: str) -> None:
        """Remove what a build that did not finish left behind."""
        path = Path(name)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def rounds_of(
        self, contenders: Sequence[Contender], rounds: int | None = None, **more: Any
    ) -> dict[str, list[Answer]]:
        """Every contender's answers, in rounds in which each runs once.

        The order turns from round to round, so that nobody always comes first.
        """
        answers: dict[str, list[Answer]] = {contender.name: [] for contender in contenders}
        for number in range(rounds or self.rounds):
            turn = number % len(contenders)
            for contender in [*contenders[turn:], *contenders[:turn]]:
                start = time.perf_counter()
                answers[contender.name].append(self.ask(contender, **more))
                seconds = time.perf_counter() - start
                self.say(f"  round {number + 1}, {contender.name}: {seconds:.1f} s")
        return answers


def inherited() -> dict[str, str]:
    """The environment of every process that is measured, without what would slow it."""
    return {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}


def line(
    name: str,
    unit: str,
    values: Sequence[float],
    *,
    against: Sequence[float] | None = None,
    is_rate: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """One contender's line of a row.

    Args:
        name: who.
        unit: of the values.
        values: one a round.
        against: ours, for the ratio; above 1 ours is better.
        is_rate: more is better; otherwise less is.
        more: further facts, as `recall`.
    """
    found: dict[str, Any] = {"contender": name, "unit": unit, **spread(values).as_dict(), **more}
    if against is not None:
        better, worse = (against, values) if is_rate else (values, against)
        found["ratio"] = ratios(better, worse).as_dict()
    return found


def aim(text: str, value: float, wanted: float, *, at_most: bool = False) -> dict[str, Any]:
    """What a row should reach, what it reached, and whether that is enough."""
    is_met = value <= wanted if at_most else value >= wanted
    return {"aim": text, "value": value, "wanted": wanted, "is_met": is_met}


def machine() -> dict[str, Any]:
    """What this runs on."""
    names = (
        text.split(":", 1)[1].strip()
        for text in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if text.startswith("model name")
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": next(names, platform.processor() or platform.machine()),
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 1e9),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
