"""Kill workers, brokers and servers with 2,000 photos.

    python benchmarks/chaos.py [PHOTOS]

The scenarios are those of tests/workers/test_chaos.py, which every test run does with fewer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PHOTOS = 2000


def main() -> int:
    """Run every scenario; the exit code of pytest."""
    photos = sys.argv[1] if len(sys.argv) > 1 else str(PHOTOS)
    root = Path(__file__).parent.parent
    command = [sys.executable, "-m", "pytest", "-v", "--durations=0", "tests/workers/test_chaos.py"]
    return subprocess.run(
        command, cwd=root, env=os.environ | {"CHAOS_PHOTOS": photos}, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
