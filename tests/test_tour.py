"""docs/tour.py does what it says, with engines in the process and by a server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from geosearch.client import GeoSearch
from tests.api.conftest import serving

TOUR = Path(__file__).parents[1] / "docs" / "tour.py"

pytestmark = pytest.mark.skipif(
    find_spec("efficientnet_lite_pytorch") is None, reason="the extra lite is not installed"
)


@contextmanager
def _served(home: Path) -> Iterator[str]:
    with GeoSearch(home=home, encoder="lite") as served, serving(served) as url:
        yield url


@pytest.mark.parametrize("is_served", [False, True], ids=["in the process", "by a server"])
def test_the_tour_ends_well_and_says_what_it_did(tmp_path: Path, is_served: bool) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GEOSEARCH_")}
    environment |= {"TMPDIR": str(tmp_path), "PYTHONPATH": str(TOUR.parents[1])}
    command = [sys.executable, str(TOUR)]

    def run(*address: str) -> str:
        done = subprocess.run(
            [*command, *address], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    if is_served:
        with _served(tmp_path / "home") as url:
            said = run(url)
    else:
        said = run()
    assert "172 photos taken in, 172 were there the second time" in said
    assert "Norway now, by a person's word (manual)" in said
    assert "171 photos written" in said
    half = re.search(r"half of 43 answers are within ([0-9.]+) km", said)
    assert half is not None
    assert float(half[1]) < 3000.0  # half the way between places drawn at random is 10,000
