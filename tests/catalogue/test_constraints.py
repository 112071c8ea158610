from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, insert, text

from geosearch.catalogue import lmm_tables  # noqa: F401
from geosearch.catalogue.models import Base, PhotoRow, SourceRow
from geosearch.catalogue.session import (
    migrate,
    migrations_directory,
    newest_revision,
    session_scope,
    translated_errors,
)
from geosearch.errors import CatalogueError, IncompatibleHome

GOOD: dict[str, Any] = {
    "sha256": "a" * 64,
    "uri": "/x.jpg",
    "size_bytes": 1,
    "lat": 55.7,
    "lon": 13.2,
    "label_source": "exif",
    "state": "pending",
}


def _write(engine: Engine, **changes: Any) -> None:
    with translated_errors(), engine.begin() as connection:
        connection.execute(insert(PhotoRow).values(id=uuid4(), **GOOD | changes))


def test_a_good_row_is_taken(engine: Engine) -> None:
    _write(engine)


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"lat": 90.1}, "lat_range"),
        ({"lat": float("nan")}, "lat_range"),
        ({"lon": 180.1}, "lon_range"),
        ({"lon": None}, "lat_with_lon"),
        ({"label_source": None}, "label_has_source"),
        ({"label_source": "guess"}, "label_source_known"),
        ({"state": "done"}, "state_known"),
        ({"state": "failed"}, "failed_has_error"),
        ({"error": "why"}, "failed_has_error"),
        ({"lat": None, "lon": None, "label_source": None}, "indexed_has_label"),
        ({"state": "unlabelled"}, "unlabelled_has_none"),
        ({"size_bytes": -1}, "counts_not_negative"),
        ({"sha256": "A" * 64}, "sha256_is_hex"),
        ({"country": "Se"}, "country_is_iso"),
    ],
)
def test_the_database_itself_refuses(
    engine: Engine, changes: dict[str, Any], constraint: str
) -> None:
    with pytest.raises(CatalogueError, match=constraint):
        _write(engine, **changes)


def test_the_same_bytes_are_one_photo(engine: Engine) -> None:
    _write(engine)
    with pytest.raises(CatalogueError, match="uq_photo_sha256"):
        _write(engine)


def test_a_source_without_a_photo_has_a_reason(engine: Engine) -> None:
    statement = insert(SourceRow).values(uri="/x.jpg")
    with (
        engine.connect() as connection,
        pytest.raises(CatalogueError, match="photo_or_error"),
        translated_errors(),
    ):
        connection.execute(statement)


def test_migrations_build_exactly_the_models(engine: Engine) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []
        written = connection.execute(
            text("SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid > 0")
        ).scalars()
        constraints = {
            str(constraint.name)
            for table in Base.metadata.tables.values()
            for constraint in table.constraints
            if str(constraint.name).startswith("ck_")
        }
        assert constraints <= set(written)


def test_migrating_twice_changes_nothing(engine: Engine) -> None:
    before, after = migrate(engine)
    assert before == after


def test_tables_that_are_up_to_date_need_no_scripts(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "upgrade", None)
    assert migrate(engine) == (newest_revision(), newest_revision())


def test_the_newest_script_by_name_is_the_last_one_of_the_chain() -> None:
    scripts = ScriptDirectory(str(migrations_directory()))
    assert newest_revision() == scripts.get_current_head()


def test_tables_of_a_newer_version_are_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(IncompatibleHome, match=r"9999.*upgrade geosearch"):
        migrate(engine)


def test_a_missing_table_says_to_migrate(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE source"))
    with engine.connect() as connection, pytest.raises(CatalogueError, match="geosearch migrate"):
        _select(connection, "source")


def _select(connection: Connection, table: str) -> None:
    with translated_errors():
        connection.execute(text(f"SELECT * FROM {table}"))


def test_a_failed_transaction_leaves_nothing(engine: Engine) -> None:
    from sqlalchemy.orm import sessionmaker

    factory = sessionmaker(engine)
    twice = [{"id": uuid4(), **GOOD}, {"id": uuid4(), **GOOD}]
    with pytest.raises(CatalogueError), session_scope(factory) as session:
        session.execute(insert(PhotoRow), twice)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM photo")).scalar() == 0
