"""Run rows and write the page: ``python -m peers --peers-python VENV/bin/python`` (`make bench`).

A finished row is a file in the work folder and is not run again, so an interrupted run goes on
with the same command; `--redo` runs the named rows anew. Rows of several scales may lie side by
side; the page takes of each row the one of the largest scale. It is written after each row, from
all rows that there are, and names those that there are not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from geosearch.errors import GeosearchError
from peers import bookkeeping, ingestion, locating, page, quality, remembering, searching, starting
from peers.contest import ROOT, ContenderFailed, Contest, machine

ROWS: dict[str, Callable[[Contest], dict[str, Any]]] = {
    "ingest": ingestion.ingest,
    "again": ingestion.again,
    "locate": locating.locate,
    "search": searching.search,
    "filtered": searching.filtered,
    "memory": remembering.memory,
    "register": bookkeeping.register,
    "relabel": bookkeeping.relabel,
    "delete": bookkeeping.delete,
    "start": starting.start,
    "growth": searching.growth,
    "streets": quality.streets,
    "drawn": quality.drawn,
}
"""In the order of the page."""

SCALES = {
    "ingest": 0.2,
    "again": 0.2,
    "locate": 0.2,
    "search": 1.0,
    "filtered": 1.0,
    "memory": 0.3,
    "register": 1.0,
    "relabel": 1.0,
    "delete": 1.0,
    "start": 1.0,
    "growth": 1.0,
    "streets": 1.0,
    "drawn": 1.0,
}
"""Of each row unless `--scale` is given: all of them in about two hours on two cores, no GPU."""


def main() -> int:
    """Run what is asked for; 1 when a row failed."""
    options = _options()
    names = options.rows.split(",") if options.rows else list(ROWS)
    if not options.rows and options.features is None:
        names.remove("streets")
        _say("streets: left out, it needs --features")
    unknown = set(names) - set(ROWS)
    if unknown:
        sys.exit(f"there is no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    failed = 0
    for name in names:
        scale = SCALES[name] if options.scale is None else options.scale
        contest = Contest(
            work=options.work.absolute(),
            peers_python=options.peers_python.absolute(),
            scale=scale,
            rounds=options.rounds,
            features=options.features,
            say=_say,
        )
        kept = contest.work / "rows" / f"{name}-{scale:g}.json"
        if kept.exists() and not options.redo:
            _say(f"{name}: measured already, {kept}")
            continue
        _say(f"{name}, scale {scale:g}")
        before, start = os.getloadavg()[0], time.monotonic()
        try:
            row = ROWS[name](contest)
        except (
            ContenderFailed, GeosearchError, OSError, ValueError, subprocess.SubprocessError
        ) as error:  # fmt: skip
            _say(f"{name} FAILED: {error}")
            failed += 1
            continue
        row = {"rounds": options.rounds} | row
        row |= {
            "row": name,
            "scale": scale,
            "date": datetime.now(UTC).date().isoformat(),
            "load": [before, os.getloadavg()[0]],
            "machine": machine(),
            "seconds": time.monotonic() - start,
        }
        contest.remember(kept, row)
        for one in row["aims"]:
            _say(f"  {one['aim']}: {one['value']:.4g} {'' if one['is_met'] else 'MISSED'}")
        _say(f"  {row['seconds'] / 60.0:.1f} minutes")
        if options.page is not None:
            write_page(options.page, options.work)
    if options.page is not None:  # when every row was finished before
        write_page(options.page, options.work)
    return 1 if failed else 0


def write_page(to: Path, work: Path) -> None:
    """Put the finished rows of a work folder into the page; without any it stays as it is."""
    rows = _largest(work)
    if not rows:
        return
    missing = [name for name in ROWS if name not in {row["row"] for row in rows}]
    text = to.read_text(encoding="utf-8")
    to.write_text(page.replaced(text, page.render(rows, missing)), encoding="utf-8")
    _say(f"{to}: {len(rows)} of {len(ROWS)} rows")


def _largest(work: Path) -> list[dict[str, Any]]:
    """Of each row the one of the largest scale, in the order of the page."""
    found: dict[str, dict[str, Any]] = {}
    for path in (work / "rows").glob("*.json"):
        row = json.loads(path.read_text(encoding="utf-8"))
        if row["row"] in ROWS and row["scale"] >= found.get(row["row"], row)["scale"]:
            found[row["row"]] = row
    return [found[name] for name in ROWS if name in found]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="peers", description="Side by side with the peers.")
    parser.add_argument("--peers-python", type=Path, required=True, help="of the peers' packages")
    parser.add_argument("--rows", help=f"some of {','.join(ROWS)}; all of them unless told")
    scales = ", ".join(f"{name} {scale:g}" for name, scale in SCALES.items())
    parser.add_argument(
        "--scale",
        type=float,
        help=f"of every row, in place of its own: 1 for full size, 0.01 for a trial ({scales})",
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each runs (default 3)")
    parser.add_argument("--redo", action="store_true", help="run rows that are finished anew")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "peers")
    parser.add_argument("--features", type=Path, help="NPZ of labelled image features")
    parser.add_argument("--page", type=Path, help="the page to write the figures into")
    options = parser.parse_args()
    if options.scale is not None and not 0.0 < options.scale <= 1.0:
        parser.error(f"--scale is above 0 and at most 1, not {options.scale:g}")
    if options.rounds < 1:
        parser.error(f"--rounds is 1 or more, not {options.rounds}")
    return options


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
