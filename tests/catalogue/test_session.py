from __future__ import annotations

import json
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


def test_only_the_owner_can_connect_to_the_embedded_server(postgres: str) -> None:
    socket = Path(postgres.split("host=")[1]) / ".s.PGSQL.5432"
    assert socket.stat().st_mode & 0o077 == 0
