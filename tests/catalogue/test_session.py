from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from geosearch.catalogue.embedded import EmbeddedPostgres
from geosearch.catalogue.session import open_engine
from geosearch.errors import CatalogueError, ConfigError


def test_an_unreachable_server_is_one_sentence() -> None:
    with pytest.raises(CatalogueError, match="refused"):
        open_engine("postgresql://nobody@127.0.0.1:1/none")


def test_text_that_is_no_url_says_how_to_write_one() -> None:
    with pytest.raises(ConfigError, match="postgresql://"):
        open_engine("localhost")


def test_the_embedded_server_starts_again_after_its_user_was_killed(tmp_path: Path) -> None:
    data = tmp_path / "postgres"
    EmbeddedPostgres(data).close()
    # What a killed process leaves behind: its number, or half of it.
    for left_behind in (json.dumps([4_000_000]), "[40000"):
        (data / ".handle_pids.json").write_text(left_behind)
        server = EmbeddedPostgres(data)
        open_engine(server.url).dispose()
        server.close()
        assert not (data / "postmaster.pid").exists(), "the server was not stopped"


def test_a_copied_home_starts_although_copying_opened_its_directory(tmp_path: Path) -> None:
    data, copy = tmp_path / "postgres", tmp_path / "copy"
    EmbeddedPostgres(data).close()
    shutil.copytree(data, copy)
    copy.chmod(0o755)  # what cp -r makes of 0700 under the usual umask
    if os.geteuid() == 0:  # and of files that PostgreSQL's own user had
        for path in (copy, *copy.rglob("*")):
            os.chown(path, 0, 0)
    server = EmbeddedPostgres(copy)
    try:
        open_engine(server.url).dispose()
        assert copy.stat().st_mode & 0o077 == 0
    finally:
        server.close()


def test_a_directory_of_another_user_says_whose_it_is_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text("18")
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(CatalogueError, match=f"belongs to user {owner}.*chown"):
        EmbeddedPostgres(data)


def test_only_the_owner_can_connect_to_the_embedded_server(postgres: str) -> None:
    socket = Path(postgres.split("host=")[1]) / ".s.PGSQL.5432"
    assert socket.stat().st_mode & 0o077 == 0
