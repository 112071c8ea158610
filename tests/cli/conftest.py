"""Command lines run in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command_line import Run

from geosearch import services as services_module
from geosearch.cli import main
from geosearch.encoder.fakes import ColorGridEmbedder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert isinstance(exit_.value.code, int)
        return exit_.value.code, captured.out, captured.err

    return run


@pytest.fixture
def own_home(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real engines of this test alone, and a small encoder."""
    monkeypatch.setenv("GEOSEARCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GEOSEARCH_DATABASE_URL", database_url)
    monkeypatch.setattr(services_module, "_load_embedder", lambda _: ColorGridEmbedder())
