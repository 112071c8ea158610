"""docs/api.md: every command line in it does what it says on a real server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from geosearch.catalogue.keys import ApiKeys
from geosearch.client import GeoSearch
from tests.api.conftest import serving

GUIDE = Path(__file__).resolve().parent.parent.parent / "docs" / "api.md"
ADDRESS = "http://127.0.0.1:8000"


def curl_lines() -> list[str]:
    """Commands of the guide, continued lines joined."""
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.startswith("curl ")]


def test_every_curl_line_of_the_guide_is_answered(
    filled: GeoSearch, tmp_path: Path, make_jpeg: Callable[..., bytes]
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine; apt-get install curl")
    _, key = ApiKeys(filled.services.engine).create("guide", ["read", "write"])
    for number, name in enumerate(("unknown.jpg", "a.jpg", "b.jpg")):
        (tmp_path / name).write_bytes(make_jpeg(number, gps=(1.0, 2.0), size=(90 + number, 60)))
    lines = curl_lines()
    answers = []
    with serving(filled, asks_keys=True) as url:
        for line in lines:
            assert ADDRESS in line
            command = line.replace(ADDRESS, url).replace("curl ", "curl -sS --fail-with-body ", 1)
            ran = subprocess.run(
                ["sh", "-c", command],
                cwd=tmp_path,
                env=os.environ | {"KEY": key, "no_proxy": "*"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
            answers.append(ran.stdout)
    assert len(lines) >= 5
    by_area, by_photo, steps, narrowed, uploaded = answers[:5]
    assert '"matched":3' in by_area.replace(" ", "")
    assert '"hits"' in by_photo
    assert "event: prediction" in steps
    assert '"country":"SE"' in narrowed.replace(" ", "")
    assert uploaded.count('"indexed"') == 2
