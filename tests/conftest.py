from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from sqlalchemy import Engine, text
from support.places import CITIES

from geosearch.catalogue.embedded import EmbeddedPostgres
from geosearch.catalogue.repository import Catalogue
from geosearch.catalogue.session import migrate, open_engine
from geosearch.client import GeoSearch
from geosearch.encoder.fakes import ColorGridEmbedder
from geosearch.places import Gazetteer
from geosearch.services import Services
from geosearch.settings import Settings

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("GEOSEARCH_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shared() -> Path:
    if not (SHARED / "photos" / "labels.csv").is_file():
        pytest.skip("the sample photos (../shared/photos) are not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for the whole session; its URL, with a template of migrated tables."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("pg") / "postgres")
    admin = open_engine(server.url)
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # Nobody pulls its plug, and its data go with the session: disks need not be waited for.
        connection.execute(text("ALTER SYSTEM SET fsync = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
        connection.execute(text("CREATE DATABASE migrated"))
    template = open_engine(server.url.replace("/postgres?", "/migrated?"))
    migrate(template)
    template.dispose()
    admin.dispose()
    yield server.url
    server.close()


_numbers = itertools.count()


@pytest.fixture(scope="session")
def make_database(postgres: str) -> Callable[[], str]:
    """Makes a database with tables; gives its URL."""

    def make_database() -> str:
        name = f"test_{next(_numbers)}"
        admin = open_engine(postgres)
        with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE migrated"))
        admin.dispose()
        return postgres.replace("/postgres?", f"/{name}?")

    return make_database


@pytest.fixture
def database_url(make_database: Callable[[], str]) -> str:
    """A database of its own for one test, with tables."""
    return make_database()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def catalogue(engine: Engine) -> Catalogue:
    return Catalogue(engine)


@pytest.fixture(scope="session")
def gazetteer() -> Gazetteer:
    """Loaded once: half a second."""
    return Gazetteer()


@pytest.fixture
def services(tmp_path: Path, database_url: str, gazetteer: Gazetteer) -> Iterator[Services]:
    """Real PostgreSQL and Qdrant Edge, with the small encoder."""
    settings = Settings(home=tmp_path / "home", database_url=database_url, batch_size=8)
    with Services(settings, load_embedder=lambda _: ColorGridEmbedder()) as services:
        services.gazetteer = gazetteer
        yield services


@pytest.fixture
def geosearch(services: Services) -> GeoSearch:
    return GeoSearch(services)


MakeJpeg = Callable[..., bytes]


@pytest.fixture(scope="session")
def make_jpeg() -> MakeJpeg:
    """A JPEG of coarse colours by seed; `gps=(lat, lon)` and `taken` go into its EXIF."""

    def make(
        seed: int = 0,
        *,
        gps: tuple[float, float] | None = None,
        taken: str | None = None,
        size: tuple[int, int] = (64, 48),
    ) -> bytes:
        colors = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        image = Image.fromarray(colors).resize(size, Image.Resampling.NEAREST)
        exif = Image.Exif()
        if gps is not None:
            tags = ExifTags.GPS
            exif.get_ifd(ExifTags.IFD.GPSInfo).update(
                {
                    tags.GPSLatitudeRef: "N" if gps[0] >= 0 else "S",
                    tags.GPSLatitude: _sexagesimal(gps[0]),
                    tags.GPSLongitudeRef: "E" if gps[1] >= 0 else "W",
                    tags.GPSLongitude: _sexagesimal(gps[1]),
                }
            )
        if taken is not None:
            exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=90, exif=exif)
        return buffer.getvalue()

    return make


def _sexagesimal(degrees: float) -> tuple[float, float, float]:
    minutes, seconds = divmod(round(abs(degrees) * 3600, 4), 60)
    whole, minutes = divmod(minutes, 60)
    return (whole, minutes, seconds)


@pytest.fixture
def folder(tmp_path: Path, make_jpeg: MakeJpeg) -> Path:
    """Twelve labelled photos of four cities, three of each, alike in colour within a city."""
    directory = tmp_path / "photos"
    directory.mkdir()
    for number, (name, (lat, lon)) in enumerate(CITIES.items()):
        for view in range(3):
            data = make_jpeg(
                number,
                gps=(lat + 0.001 * view, lon),
                taken=f"202{view}:05:0{number + 1} 12:00:00",
                size=(64 + view, 48),
            )
            (directory / f"{name}-{view}.jpg").write_bytes(data)
    return directory
