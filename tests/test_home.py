from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from geosearch.errors import ConfigError, HomeLocked, IncompatibleHome
from geosearch.home import FORMAT, Home


def test_a_second_process_is_told_who_holds_the_home(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from geosearch.home import Home\n"
        "home = Home(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(HomeLocked, match=rf"process {process.pid}.*GEOSEARCH_HOME"):
            Home(tmp_path)
        process.kill()
    with Home(tmp_path):
        pass  # a killed holder holds no longer


def test_a_home_made_by_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    marker = tmp_path / "home.json"
    marker.write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(IncompatibleHome, match=r"newer GeoSearch.*upgrade"):
        Home(tmp_path)
    assert json.loads(marker.read_text()) == {"format": FORMAT + 1}


def test_a_refused_home_is_not_held(tmp_path: Path) -> None:
    (tmp_path / "home.json").write_text("{")
    for _ in range(2):
        with pytest.raises(IncompatibleHome, match="not readable"):
            Home(tmp_path)


def test_a_home_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="GEOSEARCH_HOME"):
        Home(tmp_path / "file" / "home")
