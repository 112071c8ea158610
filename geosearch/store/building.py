"""Building the graph of an embedded store in a process of its own.

The engine holds Python's lock while it builds, for seconds in thousands of photos; searches of the
same process would wait for it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from geosearch.errors import StoreError

POLITENESS = 5
"""Searches come first: the builder asks for a lower priority."""


def build_apart(directory: Path, *, dim: int, identity: str) -> None:
    """Build the graph of the store in a directory that nobody has open, and wait for it.

    Raises:
        StoreError: the other process failed; the message quotes it.
    """
    command = [sys.executable, "-m", __name__, str(directory), str(dim), identity]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = " / ".join(done.stderr.strip().splitlines()[-2:]) or f"code {done.returncode}"
        raise StoreError(f"cannot build the graph of {directory}: {said[:500]}")


def main(directory: str, dim: str, identity: str) -> None:
    """Open the store, build its graph, close it."""
    from geosearch.store.edge import EdgeStore

    os.nice(POLITENESS)
    store = EdgeStore(Path(directory), dim=int(dim), identity=identity)
    try:
        store.optimize()
    finally:
        store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
