"""Photos are sent in batches, and the server is asked in batches what it has of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from geosearch import GeoSearch
from geosearch.client.embedded import GeoSearch as Embedded
from geosearch.client.remote import RemoteGeoSearch
from geosearch.client.uploads import BATCH_FILES
from geosearch.records import IngestReport
from geosearch.services import Services
from tests.api.conftest import serving

MakeJpeg = Callable[..., bytes]


@pytest.fixture
def geo(services: Services) -> Iterator[RemoteGeoSearch]:
    with serving(Embedded(services), hosts=("127.0.0.1",)) as url, GeoSearch(url=url) as remote:
        assert isinstance(remote, RemoteGeoSearch)
        yield remote


@pytest.fixture
def asked(geo: RemoteGeoSearch, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each request was made."""
    made: Counter[str] = Counter()
    ask = geo._wire.ask

    def counted(method: str, path: str, **options: Any) -> Any:
        made[f"{method} {path}"] += 1
        return ask(method, path, **options)

    monkeypatch.setattr(geo._wire, "ask", counted)
    return made


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder apart from the home of the server."""
    (tmp_path / "album").mkdir()
    return tmp_path / "album"


def test_photos_that_the_server_has_are_asked_for_in_batches(
    geo: RemoteGeoSearch, asked: Counter[str], album: Path, make_jpeg: MakeJpeg
) -> None:
    most = 2 * BATCH_FILES + 1
    for number in range(most):
        (album / f"{number:03}.jpg").write_bytes(make_jpeg(number, gps=(1.0, 2.0)))
    told: list[int] = []
    assert geo.ingest(album).indexed == most
    assert asked == {"GET /v1/photos": 3, "POST /v1/photos": 3}
    asked.clear()
    again = geo.ingest(album, progress=lambda now: told.append(now.duplicates))
    assert (again.scanned, again.duplicates) == (most, most)
    assert asked == {"GET /v1/photos": 3}
    assert told == [BATCH_FILES, 2 * BATCH_FILES, most]


def test_a_photo_that_lies_there_twice_is_sent_once_and_new_ones_among_old_ones_are_found(
    geo: RemoteGeoSearch, asked: Counter[str], album: Path, make_jpeg: MakeJpeg
) -> None:
    (album / "b.jpg").write_bytes(make_jpeg(1, gps=(1.0, 2.0)))
    assert geo.ingest(album).indexed == 1
    (album / "c.jpg").write_bytes(make_jpeg(1, gps=(1.0, 2.0)))
    for name in ("a.jpg", "d.jpg"):
        (album / name).write_bytes(make_jpeg(2, gps=(1.0, 2.0)))
    report = geo.ingest(album)
    assert (report.indexed, report.duplicates) == (1, 3)
    assert asked["POST /v1/photos"] == 2


def test_what_is_said_anew_of_a_photo_is_sent_and_counted(
    geo: RemoteGeoSearch, album: Path, make_jpeg: MakeJpeg
) -> None:
    for number in range(3):
        (album / f"{number}.jpg").write_bytes(make_jpeg(number))
    table = album / "labels.csv"
    table.write_text("path,lat,lon\n0.jpg,1,1\n1.jpg,1,1\n2.jpg,1,1\n")

    def counts(report: IngestReport) -> tuple[int, int, int]:
        return report.indexed, report.updated, report.duplicates

    assert counts(geo.ingest(manifest=table)) == (3, 0, 0)
    table.write_text("path,lat,lon\n0.jpg,1,1\n1.jpg,2,2\n2.jpg,1,1\n")
    assert counts(geo.ingest(manifest=table)) == (0, 1, 2)
