"""Wall clocks that a test turns, each that of one process and its children."""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")


def built_clock(folder: Path) -> Path | None:
    """The library that answers for the system's clock; None where nothing can compile it."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = folder / "clock.so"
    command = [compiler, "-O1", "-shared", "-fPIC", str(SOURCE), "-o", str(library), "-ldl"]
    subprocess.run(command, check=True)
    return library


class Clock:
    """The wall clock of one machine, right until it is `turned`."""

    def __init__(self, library: Path, path: Path) -> None:
        path.write_bytes(struct.pack("q", 0))
        with path.open("r+b") as file:
            self._offset = mmap.mmap(file.fileno(), 8)
        self.environment = {"LD_PRELOAD": str(library), "TEST_CLOCK": str(path)}

    def turned(self, hours: float) -> None:
        """Show so many hours more than it is; with less than 0, fewer."""
        self._offset[:] = struct.pack("q", round(3600 * hours))
