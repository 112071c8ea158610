"""Searches and ingests while an index is filled and switched to: no error, no mixture, no gap."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from support.cluster import PYTHONPATH
from support.encoders import TurnedEmbedder, choose, turned_services
from support.qdrant_server import QdrantServer

from geosearch.client import GeoSearch
from geosearch.encoder.fakes import ColorGridEmbedder
from geosearch.places import Gazetteer
from geosearch.records import IndexState
from geosearch.settings import Settings

MakeJpeg = Callable[..., bytes]

PHOTOS = 120
KILLS = 8
OLD, NEW = (str(TurnedEmbedder(name).identity) for name in ("none", "heads-new"))

SCRIPT = """
import sys
from geosearch.client import GeoSearch
from geosearch.settings import load_settings
from support.encoders import turned_services

with turned_services(load_settings(), delay_s=float(sys.argv[1])) as services:
    print("ready", flush=True)
    report = GeoSearch(services).reindex()
    print("done", report.switched, flush=True)
"""


def _photos(folder: Path, make_jpeg: MakeJpeg, count: int = PHOTOS) -> Path:
    folder.mkdir()
    for number in range(count):
        data = make_jpeg(number, gps=(-60 + number, 1.5 * number - 150))
        (folder / f"{number:03d}.jpg").write_bytes(data)
    return folder


def _process(settings: Settings, delay_s: float) -> subprocess.Popen[str]:
    """`reindex` in another process."""
    names = settings.model_dump(exclude_unset=True)
    if settings.database_url is not None:
        names["database_url"] = settings.database_url.get_secret_value()
    environment = {f"GEOSEARCH_{name.upper()}": str(value) for name, value in names.items()}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(delay_s)],
        env={"PYTHONPATH": PYTHONPATH, "PATH": "/usr/bin:/bin", **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


class Searcher:
    """Searches for photos that are there, again and again, and keeps what is wrong with answers."""

    def __init__(self, geosearch: GeoSearch, photos: list[Path]) -> None:
        self._geosearch = geosearch
        self._photos = photos
        self._chance = random.Random(5)
        self.wrong: list[str] = []
        self.encoders: list[str | None] = []

    def search(self) -> None:
        photo = self._chance.choice(self._photos)
        try:
            found = self._geosearch.search(image=photo, k=PHOTOS)
        except Exception as error:  # every error is what this looks for
            self.wrong.append(repr(error))
            return
        self.encoders.append(found.encoder)
        best = found.hits[0] if found.hits else None
        if best is None or best.photo.path != str(photo) or (best.score or 0.0) < 0.999:
            self.wrong.append(f"{photo.name} found {best} with {found.encoder}")
        if len(found.hits) < PHOTOS:
            self.wrong.append(f"only {len(found.hits)} photos with {found.encoder}")

    def until(self, is_over: Callable[[], bool]) -> None:
        while not is_over():
            self.search()
            time.sleep(0.02)


def _check(searcher: Searcher) -> None:
    assert searcher.wrong == []
    assert {*searcher.encoders} == {OLD, NEW}
    # One process never goes back once it has moved.
    assert sorted(searcher.encoders, key=lambda one: one == NEW) == searcher.encoders


def test_in_one_process_searches_and_ingests_go_on_and_none_sees_a_mixture(
    tmp_path: Path, database_url: str, gazetteer: Gazetteer, make_jpeg: MakeJpeg
) -> None:
    folder = _photos(tmp_path / "photos", make_jpeg)
    late = _photos(tmp_path / "late", lambda seed, **of: make_jpeg(seed + 1000, **of), 12)
    settings = Settings(home=tmp_path / "home", database_url=database_url, batch_size=8)
    with turned_services(settings, delay_s=0.05) as services:
        services.gazetteer = gazetteer
        geosearch = GeoSearch(services)
        geosearch.ingest(folder)
        choose(settings.home, "heads-new")
        problems: list[BaseException] = []

        def guarded(work: Callable[[], object]) -> None:
            try:
                work()
            except BaseException as error:  # told to the test
                problems.append(error)

        def take_in() -> None:
            for photo in sorted(late.iterdir()):
                geosearch.ingest(photo)

        reindexing = threading.Thread(target=guarded, args=(geosearch.reindex,))
        ingesting = threading.Thread(target=guarded, args=(take_in,))
        searcher = Searcher(geosearch, sorted(folder.iterdir()))
        reindexing.start()
        ingesting.start()
        searcher.until(lambda: not reindexing.is_alive() and not ingesting.is_alive())
        searcher.search()
        assert problems == []
        _check(searcher)
        assert services.store.count() == PHOTOS + 12
        assert services.indexes.backlog(NEW) == []
        assert services.reconciler.run(mend=False).is_clean


def test_on_a_server_a_process_that_searches_follows_the_switch_of_another_one(
    tmp_path: Path, database_url: str, gazetteer: Gazetteer, make_jpeg: MakeJpeg
) -> None:
    folder = _photos(tmp_path / "photos", make_jpeg)
    with QdrantServer(tmp_path / "qdrant") as server:
        settings = Settings(
            home=tmp_path / "home", database_url=database_url, qdrant_url=server.url, batch_size=8
        )
        with turned_services(settings) as services:
            services.gazetteer = gazetteer
            geosearch = GeoSearch(services)
            geosearch.ingest(folder)
            choose(settings.home, "heads-new")
            searcher = Searcher(geosearch, sorted(folder.iterdir()))
            with _process(settings, 0.05) as other:
                searcher.until(lambda: other.poll() is not None)
                assert other.stdout is not None
                assert other.stdout.read() == "ready\ndone True\n"
            end = time.monotonic() + 60.0
            searcher.until(lambda: searcher.encoders[-1] == NEW or time.monotonic() > end)
            _check(searcher)


def test_killed_at_random_moments_a_reindex_ends_as_if_undisturbed(
    tmp_path: Path, database_url: str, gazetteer: Gazetteer, make_jpeg: MakeJpeg
) -> None:
    folder = _photos(tmp_path / "photos", make_jpeg)
    settings = Settings(home=tmp_path / "home", database_url=database_url, batch_size=8)
    with turned_services(settings) as services:
        services.gazetteer = gazetteer
        GeoSearch(services).ingest(folder)
    choose(settings.home, "heads-new")
    chance = random.Random(3)
    killed_at_work = 0
    for _ in range(KILLS):
        with _process(settings, 0.05) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0.0, 0.9))
            process.kill()
            killed_at_work += "done" not in process.stdout.read()
        with turned_services(settings) as services:
            services.gazetteer = gazetteer
            searcher = Searcher(GeoSearch(services), sorted(folder.iterdir()))
            searcher.search()
            assert searcher.wrong == []
    assert killed_at_work >= KILLS // 2, "the runs were over before they could be killed"
    with _process(settings, 0.0) as process:
        assert process.communicate(timeout=600)[0].startswith("ready\ndone")
    with turned_services(settings) as services:
        states = {one.encoder: one.state for one in services.indexes.all()}
        assert states == {NEW: IndexState.ACTIVE, OLD: IndexState.RETIRED}
        photos = {hit.id for hit in services.store.scroll()}
        assert len(photos) == PHOTOS
        vectors = services.store.vectors(photos)
        embedder = TurnedEmbedder("heads-new")
        for fact in services.catalogue.facts(photos).values():
            expected = embedder.embed(Path(fact.path).read_bytes())
            assert float(vectors[fact.id] @ expected) > 0.9999
        assert services.reconciler.run(mend=False).is_clean


def test_one_encoder_finds_nothing_in_the_index_of_another(make_jpeg: MakeJpeg) -> None:
    """Or the tests above could not see a mixture."""
    photo = make_jpeg(1)
    assert ColorGridEmbedder().dim == TurnedEmbedder("none").dim
    same = TurnedEmbedder("none").embed(photo) @ TurnedEmbedder("none").embed(photo)
    other = TurnedEmbedder("none").embed(photo) @ TurnedEmbedder("heads-new").embed(photo)
    assert same > 0.999
    assert other < 0.8
