"""A small disk of one test: a file system in memory, which can really be full."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

CHUNK = b"\0" * 2**16


class Disk:
    """A tmpfs of so many MiB, mounted at `path`.

    Raises:
        PermissionError: this process may not mount one.
    """

    def __init__(self, size_mib: int) -> None:
        # A socket below it may have 108 characters in its path, which pytest's folders exceed.
        self.path = Path(tempfile.mkdtemp(prefix="geosearch-disk-"))
        self._ballast = self.path / "ballast"
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(self.path)]
        try:
            done = subprocess.run(mount, capture_output=True, text=True, check=False)
        except OSError as error:
            self.path.rmdir()
            raise PermissionError(f"no file system can be mounted: {error}") from error
        if done.returncode:
            self.path.rmdir()
            raise PermissionError(f"no file system can be mounted: {done.stderr.strip()}")

    @property
    def free_bytes(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self) -> None:
        """Leave no byte."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (len(CHUNK), 512):
                try:
                    while True:
                        file.write(CHUNK[:size])
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
        assert self.free_bytes == 0

    def make_room(self) -> None:
        """Give back what `fill` took."""
        self._ballast.unlink()

    def close(self) -> None:
        """Let it go with all that is on it, also while a process still holds a file there."""
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)
        with suppress(OSError):
            self.path.rmdir()
