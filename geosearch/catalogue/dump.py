"""The whole record as one file, and back: pg_dump and pg_restore as the wheel brings them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, func, select, text
from sqlalchemy.exc import ProgrammingError

from geosearch.catalogue.embedded import postgres_tool
from geosearch.catalogue.models import Base, EmbeddingRow, PhotoRow, SourceRow
from geosearch.catalogue.session import translated_errors
from geosearch.errors import CatalogueError

VERSION_TABLE = "alembic_version"


def dump(engine: Engine, file: Path) -> dict[str, str]:
    """Write our tables to a file in PostgreSQL's custom format; what they held, as a fingerprint.

    Both come from one snapshot, so they agree whatever is written meanwhile.

    Raises:
        CatalogueError: pg_dump fails; the message quotes it.
    """
    with _snapshot(engine) as (connection, snapshot):
        tables = [f"--table={name}" for name in (*Base.metadata.tables, VERSION_TABLE)]
        _run("pg_dump", engine, ["--format=custom", "--no-owner", "--no-privileges",
             f"--snapshot={snapshot}", f"--file={file}", *tables])  # fmt: skip
        return _fingerprint(connection)


def load(engine: Engine, file: Path) -> None:
    """Put the tables of a dump in place of those that are there, which must be empty.

    Raises:
        CatalogueError: pg_restore fails; there are no tables then.
    """
    with translated_errors(), engine.begin() as connection:
        # Also those of a later version that the dump does not know and that point to its tables.
        for name in (*Base.metadata.tables, VERSION_TABLE):
            connection.execute(text(f"DROP TABLE IF EXISTS {name} CASCADE"))
    _run("pg_restore", engine, ["--no-owner", "--no-privileges", "--single-transaction",
         "--exit-on-error", str(file)])  # fmt: skip


def fingerprint(engine: Engine) -> dict[str, str]:
    """What tells one state of the record from another; empty strings where there is no table."""
    with translated_errors(), engine.connect() as connection:
        try:
            return _fingerprint(connection)
        except ProgrammingError:
            return {}


def _fingerprint(connection: Connection) -> dict[str, str]:
    photos = connection.execute(
        select(func.count(), func.max(PhotoRow.updated_at), func.min(PhotoRow.sha256))
    ).one()
    counts = {
        "embeddings": select(func.count()).select_from(EmbeddingRow),
        "sources": select(func.count()).select_from(SourceRow),
    }
    return {
        "photos": str(photos[0]),
        "newest": str(photos[1].timestamp()) if photos[0] else "",
        "first": photos[2] or "",
        "revision": str(connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))),
        **{name: str(connection.scalar(query)) for name, query in counts.items()},
    }


@contextmanager
def _snapshot(engine: Engine) -> Iterator[tuple[Connection, str]]:
    """A transaction that sees one moment, and the name under which others may see it too."""
    with (
        translated_errors(),
        engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection,
    ):
        yield connection, str(connection.scalar(text("SELECT pg_export_snapshot()")))


def _run(tool: str, engine: Engine, options: list[str]) -> None:
    url = engine.url
    # Not on the command line, which every user of the machine can read.
    environment = os.environ | ({} if url.password is None else {"PGPASSWORD": str(url.password)})
    command = [str(postgres_tool(tool)), f"--dbname={_plain_url(url)}", "--no-password", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = " / ".join(done.stderr.strip().splitlines()[-3:]) or f"exit code {done.returncode}"
        raise CatalogueError(f"{tool} failed: {reason[:500]}")


def _plain_url(url: URL) -> str:
    """As libpq takes it: no driver, no password."""
    return URL.create(
        "postgresql",
        username=url.username,
        host=url.host,
        port=url.port,
        database=url.database,
        query=url.query,
    ).render_as_string(hide_password=False)
