"""The directory of the embedded engines: who holds it, and which version wrote it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from filelock import FileLock, Timeout

from geosearch.closing import Closing
from geosearch.errors import ConfigError, HomeLocked, IncompatibleHome

FORMAT = 1
"""Raised when an older version could not read what this one writes."""


class Home(Closing):
    """GEOSEARCH_HOME, held by this process until `close`.

    The embedded engines allow one opener each, so the whole directory has one holder at a time.

    Args:
        path: created if it does not exist.

    Raises:
        HomeLocked: another process holds it.
        IncompatibleHome: a newer version made it.
        ConfigError: it cannot be created or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path / "lock", timeout=0)
            self._lock.acquire()
        except Timeout:
            raise HomeLocked(
                f"{path} is in use by {self._holder()}; wait for it to finish, set GEOSEARCH_HOME "
                "to another directory, or run servers (GEOSEARCH_DATABASE_URL, "
                "GEOSEARCH_QDRANT_URL), which many processes can share"
            ) from None
        except OSError as error:
            raise ConfigError(
                f"GEOSEARCH_HOME={path} cannot be used ({error.strerror or error}); "
                "name a directory that you may write"
            ) from error
        try:
            self._check_format()
            (path / "holder").write_text(str(os.getpid()))
        except BaseException:
            self._lock.release()
            raise

    @property
    def postgres(self) -> Path:
        """Data directory of the embedded PostgreSQL."""
        return self.path / "postgres"

    @property
    def qdrant(self) -> Path:
        """Directory of the collections of Qdrant Edge."""
        return self.path / "qdrant"

    def close(self) -> None:
        """Let go of the directory; harmless when called twice."""
        self._lock.release()

    def _check_format(self) -> None:
        marker = self.path / "home.json"
        if not marker.exists():
            # Written aside and renamed, so that a crash leaves either none or a whole one.
            draft = marker.with_suffix(".tmp")
            draft.write_text(json.dumps({"format": FORMAT}))
            draft.replace(marker)
            return
        try:
            found = int(json.loads(marker.read_text())["format"])
        except (ValueError, KeyError, TypeError) as error:
            raise IncompatibleHome(
                f"{marker} is not readable as a GeoSearch home; restore it from a backup or set "
                "GEOSEARCH_HOME to another directory"
            ) from error
        if found > FORMAT:
            raise IncompatibleHome(
                f"{self.path} has format {found}, made by a newer GeoSearch; this version reads up "
                f"to {FORMAT}: upgrade geosearch, or set GEOSEARCH_HOME to another directory"
            )

    def _holder(self) -> str:
        try:
            return f"process {int((self.path / 'holder').read_text())}"
        except (OSError, ValueError):
            return "another process"
