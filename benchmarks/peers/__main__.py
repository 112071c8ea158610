"""Run rows and write the page: ``python -m peers --peers-python VENV/bin/python`` (`make bench`).

A finished row is a file in the work folder and is not run again, so an interrupted run goes on
with the same command; `--redo` runs the named rows anew. Rows of several scales may lie side by
side; the page takes of each row the one of the largest scale.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
    contest = Contest(
        work=options.work.absolute(),
        peers_python=options.peers_python.absolute(),
        scale=options.scale,
        rounds=options.rounds,
        features=options.features,
        say=_say,
    )
    failed = 0
    for name in names:
        kept = contest.work / "rows" / f"{name}-{options.scale:g}.json"
        if kept.exists() and not options.redo:
            _say(f"{name}: measured already, {kept}")
            continue
        _say(f"{name}, scale {options.scale:g}")
        before, start = os.getloadavg()[0], time.monotonic()
        try:
            row = ROWS[name](contest)
        except (ContenderFailed, OSError, subprocess.SubprocessError) as error:
            _say(f"{name} FAILED: {error}")
            failed += 1
            continue
        row = {"rounds": options.rounds} | row
        row |= {
            "row": name,
            "scale": options.scale,
            "date": datetime.now(UTC).date().isoformat(),
            "load": [before, os.getloadavg()[0]],
            "machine": machine(),
            "seconds": time.monotonic() - start,
        }
        contest.remember(kept, row)
        for one in row["aims"]:
            _say(f"  {one['aim']}: {one['value']:.4g} {'' if one['is_met'] else 'MISSED'}")
    rows = _largest(contest)
    if rows and options.page is not None:
        text = options.page.read_text(encoding="utf-8")
        options.page.write_text(page.replaced(text, page.render(rows)), encoding="utf-8")
        _say(f"{options.page}: {len(rows)} rows")
    return 1 if failed else 0


def _largest(contest: Contest) -> list[dict[str, Any]]:
    """Of each row the one of the largest scale, in the order of the page."""
    found: dict[str, dict[str, Any]] = {}
    for path in (contest.work / "rows").glob("*.json"):
        row = contest.recall(path)
        if row["row"] in ROWS and row["scale"] >= found.get(row["row"], row)["scale"]:
            found[row["row"]] = row
    return [found[name] for name in ROWS if name in found]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="peers", description="Side by side with the peers.")
    parser.add_argument("--peers-python", type=Path, required=True, help="of the peers' packages")
    parser.add_argument("--rows", help=f"some of {','.join(ROWS)}; all of them unless told")
    parser.add_argument("--scale", type=float, default=1.0, help="0.02 for a trial (default 1)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each runs (default 3)")
    parser.add_argument("--redo", action="store_true", help="run rows that are finished anew")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "peers")
    parser.add_argument("--features", type=Path, help="NPZ of labelled image features")
    parser.add_argument("--page", type=Path, help="the page to write the figures into")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
