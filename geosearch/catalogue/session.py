"""Engines, sessions and migrations: how the record is reached. Opens nothing at import."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import psycopg
from sqlalchemy import Connection, Engine, create_engine, exc, text
from sqlalchemy.orm import Session, sessionmaker

from geosearch.errors import CatalogueError, ConfigError, IncompatibleHome, StorageFull


def open_engine(url: str) -> Engine:
    """An engine for PostgreSQL by psycopg 3, checked by one statement.

    Args:
        url: postgresql://…, with or without a driver.

    Raises:
        ConfigError: the URL does not parse.
        CatalogueError: the server cannot be reached or refuses.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise ConfigError(
            "GEOSEARCH_DATABASE_URL is not a URL; write postgresql://USER@HOST/DATABASE"
        )
    if scheme in ("postgresql", "postgres"):
        scheme = "postgresql+psycopg"
    try:
        # Statements are few and alike; preparing them after the first use saves planning time.
        engine = create_engine(
            f"{scheme}://{rest}", pool_pre_ping=True, connect_args={"prepare_threshold": 1}
        )
    except (exc.ArgumentError, exc.NoSuchModuleError) as error:
        raise ConfigError(
            "GEOSEARCH_DATABASE_URL does not parse; write postgresql://USER@HOST/DATABASE"
        ) from error
    with translated_errors(), engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    return engine


@contextmanager
def translated_errors() -> Iterator[None]:
    """Errors of SQLAlchemy and psycopg as ours.

    Raises:
        StorageFull: the server has no room left.
        CatalogueError: anything else it refuses.
    """
    try:
        yield
    except exc.DBAPIError as error:
        reason = " ".join(str(error.orig).split())[:300]
        if isinstance(error.orig, psycopg.errors.DiskFull) or "No space left" in reason:
            raise StorageFull(
                f"PostgreSQL has no room left ({reason}); free space and run the same command "
                "again: what was recorded stays, and it goes on where it stopped"
            ) from error
        if isinstance(error.orig, psycopg.errors.UndefinedTable):
            raise CatalogueError(
                "the catalogue's tables do not exist yet; run: geosearch migrate"
            ) from error
        raise CatalogueError(f"PostgreSQL refused: {reason}") from error


@contextmanager
def session_scope(factory: sessionmaker[Session], *, is_durable: bool = True) -> Iterator[Session]:
    """One transaction: committed when the block ends, rolled back when it raises.

    Never hold one across encoding or a network call.

    Args:
        factory: makes the session.
        is_durable: wait until the commit is on disk. Without it a crash of the *server* may lose
            the commit, but never keep a later one and lose this one; a crash of this process loses
            nothing either way.
    """
    with translated_errors(), factory() as session, session.begin():
        if not is_durable:
            session.execute(text("SET LOCAL synchronous_commit TO OFF"))
        yield session


def migrations_directory() -> Path:
    """The Alembic scripts: inside the package once installed, beside it in a source tree."""
    packaged = Path(str(files("geosearch"))) / "migrations"
    return packaged if packaged.is_dir() else packaged.parent.parent / "migrations"


def is_known_revision(revision: str) -> bool:
    """Whether this version of the package knows a form of the tables."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(migrations_directory()))
    return revision in {script.revision for script in scripts.walk_revisions()}


def newest_revision() -> str:
    """The form of the tables that this version works with: scripts are named by their revision.

    Raises:
        CatalogueError: the scripts are not there.
    """
    scripts = (migrations_directory() / "versions").glob("[0-9]*_*.py")
    newest = max((script.name.partition("_")[0] for script in scripts), default=None)
    if newest is None:
        raise CatalogueError(f"no migrations in {migrations_directory()}; reinstall geosearch")
    return newest


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Bring the tables to this version's form; safe to call at any time and from many processes.

    Returns:
        The revision before and after.

    Raises:
        IncompatibleHome: the tables were made by a newer version.
        CatalogueError: PostgreSQL refuses.
    """
    head = newest_revision()
    with translated_errors(), engine.connect() as connection:
        # As nearly always; Alembic, a tenth of a second of imports, is then not needed.
        if _revision(connection) == head:
            return head, head

    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with translated_errors(), engine.begin() as connection:
        # Two processes that start together must not both create the tables.
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('geosearch.migrate'))"))
        before = _revision(connection)
        if before is not None and not is_known_revision(before):
            raise IncompatibleHome(
                f"the catalogue is at revision {before}, which this version does not know (newest "
                f"known: {head}); upgrade geosearch, or set GEOSEARCH_HOME or "
                "GEOSEARCH_DATABASE_URL to another catalogue"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before, head


def _revision(connection: Connection) -> str | None:
    """The form that the tables have; None where there are none."""
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision
