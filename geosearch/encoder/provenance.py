"""Which code made a checkpoint: the commit, if this is a checkout, and versions of libraries."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from geosearch import __version__


def git_commit() -> str | None:
    """The newest commit that changed this package; None for an installed wheel."""
    package = Path(__file__).resolve().parent.parent
    try:
        # Of this folder only: a wheel may be installed inside someone else's repository.
        process = subprocess.run(
            ["git", "-C", str(package), "log", "-1", "--format=%H", "--", "."],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return process.stdout.strip() or None


def versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that the numbers depend on."""
    found = {"python": platform.python_version(), "geosearch": __version__}
    for name in ("torch", "numpy", "safetensors", "geoclip", "accelerate"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
