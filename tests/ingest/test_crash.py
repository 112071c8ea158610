"""Killed at any moment, the same command finishes the job, as if undisturbed."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from geosearch.client import GeoSearch
from geosearch.encoder.fakes import ColorGridEmbedder
from geosearch.services import Services
from geosearch.settings import Settings

PHOTOS = 200
KILLS = 10

SCRIPT = """
import sys
from pathlib import Path
from geosearch.client import GeoSearch
from geosearch.encoder.fakes import ColorGridEmbedder
from geosearch.services import Services
from geosearch.settings import Settings

settings = Settings(home=Path(sys.argv[1]), batch_size=8)
with Services(settings, load_embedder=lambda _: ColorGridEmbedder(delay_s=0.05)) as services:
    services.pipeline
    print("ready", flush=True)
    GeoSearch(services).ingest(sys.argv[2])
    print("done", flush=True)
"""


def _state(home: Path) -> tuple[Any, ...]:
    """Everything that two homes with the same photos must share."""
    settings = Settings(home=home)
    with Services(settings, load_embedder=lambda _: ColorGridEmbedder()) as services:
        geosearch = GeoSearch(services)
        rows = sorted(
            (row["sha256"], row["path"], row["state"], row["lat"], row["lon"], row["city"])
            for row in services.catalogue.export_rows()
        )
        points = sorted((str(hit.id), hit.payload) for hit in services.store.scroll())
        vectors = services.store.vectors([hit.id for hit in services.store.scroll()])
        return (
            rows,
            points,
            sorted((str(key), vector.tobytes()) for key, vector in vectors.items()),
            geosearch.status()["photos"],
            geosearch.status()["index"],
        )


def test_killed_at_ten_random_moments_an_ingest_ends_as_if_undisturbed(
    tmp_path: Path, make_jpeg: Callable[..., bytes]
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(PHOTOS):
        data = make_jpeg(number, gps=(-60 + 0.5 * number, 1.5 * number - 150))
        (folder / f"{number:03d}.jpg").write_bytes(data)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")

    def start(home: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(home), str(folder)], stdout=subprocess.PIPE
        )

    undisturbed = start(tmp_path / "undisturbed")
    assert undisturbed.communicate(timeout=600)[0] == b"ready\ndone\n"

    chance = random.Random(20260)
    home = tmp_path / "disturbed"
    killed_at_work = 0
    for number in range(KILLS):
        process = start(home)
        with process:
            assert process.stdout is not None
            if number % 4 != 3:  # now and then while the engines are still starting
                assert process.stdout.readline() == b"ready\n"
            time.sleep(chance.uniform(0.0, 0.35))
            process.kill()
            killed_at_work += b"done" not in process.stdout.read()
    assert killed_at_work >= KILLS // 2, "the runs were over before they could be killed"

    last = start(home)
    assert last.communicate(timeout=600)[0] == b"ready\ndone\n"
    assert _state(home) == _state(tmp_path / "undisturbed")


@pytest.mark.skipif(sys.platform != "linux", reason="mounting a small disk needs Linux")
def test_a_disk_that_fills_up_stops_the_ingest_and_room_lets_it_finish(
    tmp_path: Path, make_jpeg: Callable[..., bytes]
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=500m,mode=755", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        folder = tmp_path / "photos"
        folder.mkdir()
        for number in range(60):
            data = make_jpeg(number, gps=(0.5 + number, number))
            (folder / f"{number:03d}.jpg").write_bytes(data)
        run = [sys.executable, "-c", SCRIPT, str(disk / "home"), str(folder)]
        subprocess.run([*run[:-1], str(folder / "000.jpg")], check=True, capture_output=True)
        filler = disk / "filler"
        free = subprocess.run(
            ["df", "--output=avail", "-B1", str(disk)], check=True, capture_output=True, text=True
        )
        filler.write_bytes(b"\0" * max(0, int(free.stdout.split()[1]) - 20_000))
        full = subprocess.run(run, capture_output=True, text=True, check=False)
        assert full.returncode != 0
        assert "GeosearchError" in _tree(full.stderr), full.stderr
        filler.unlink()
        subprocess.run(run, check=True, capture_output=True)
        rows, points, _, counts, _ = _state(disk / "home")
        assert counts["indexed"] == len(points) == len(rows) == 60
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _tree(stderr: str) -> str:
    """`GeosearchError` if the last error of a traceback is one of ours."""
    import geosearch.errors as errors

    last = stderr.strip().splitlines()[-1].split(":")[0].rsplit(".", 1)[-1]
    kind = getattr(errors, last, None)
    return "GeosearchError" if kind and issubclass(kind, errors.GeosearchError) else last
