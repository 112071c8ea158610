"""An index is filled beside the one in use and switched to when it is whole."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from support.encoders import TurnedEmbedder, choose, turned_services
from support.qdrant_server import QdrantServer

from geosearch.catalogue.removal import remove_photo
from geosearch.client import GeoSearch
from geosearch.client.encoders import drop_encoder, index_summaries
from geosearch.errors import CatalogueError, ConfigError, IdentityMismatch
from geosearch.geo import Coordinate
from geosearch.ingest import sources
from geosearch.places import Gazetteer
from geosearch.records import IndexState, photo_id
from geosearch.services import Services
from geosearch.settings import Settings
from geosearch.store.server import ALIAS
from geosearch.store.server.connection import connect

MakeJpeg = Callable[..., bytes]

OLD, NEW = (str(TurnedEmbedder(name).identity) for name in ("none", "heads-new"))


@pytest.fixture(autouse=True)
def _files_settle_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SETTLED_AFTER_S", 0.0)


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return Settings(home=tmp_path / "home", database_url=database_url, batch_size=4)


@pytest.fixture
def services(settings: Settings, gazetteer: Gazetteer) -> Iterator[Services]:
    with turned_services(settings) as services:
        services.gazetteer = gazetteer
        yield services


@pytest.fixture
def geosearch(services: Services, folder: Path) -> GeoSearch:
    """Twelve photos in the old index, and another encoder chosen."""
    geosearch = GeoSearch(services)
    geosearch.ingest(folder)
    choose(services.settings.home, "heads-new")
    return geosearch


def _finds(geosearch: GeoSearch, photo: Path, *, photos: int = 12) -> str:
    """Search for a photo that is there: it must be found itself, among all; the encoder."""
    found = geosearch.search(image=photo, k=100)
    assert len(found.hits) == photos
    best = found.hits[0]
    assert best.score is not None
    assert best.score > 0.999, "a query and an index of two encoders"
    assert found.encoder is not None
    return found.encoder


def _id(photo: Path) -> str:
    return str(photo_id(hashlib.sha256(photo.read_bytes()).hexdigest()))


def test_a_chosen_encoder_is_searched_with_once_its_index_is_filled(
    geosearch: GeoSearch, folder: Path
) -> None:
    lund = folder / "lund-0.jpg"
    assert _finds(geosearch, lund) == OLD
    report = geosearch.reindex()
    assert (report.indexed, report.failed, report.switched) == (12, 0, True)
    assert (report.encoder, report.previous) == (NEW, OLD)
    assert _finds(geosearch, lund) == NEW
    again = geosearch.reindex()
    assert (again.scanned, again.indexed, again.switched) == (0, 0, False)


def test_photos_go_to_the_old_index_until_the_new_one_is_switched_to(
    geosearch: GeoSearch, folder: Path, make_jpeg: MakeJpeg
) -> None:
    assert not geosearch.reindex(switch=False).switched
    more = folder / "more.jpg"
    more.write_bytes(make_jpeg(99, gps=(1.0, 2.0)))
    assert geosearch.ingest(folder).indexed == 1
    assert _finds(geosearch, more, photos=13) == OLD
    report = geosearch.reindex()
    assert (report.indexed, report.switched) == (1, True)
    assert _finds(geosearch, more, photos=13) == NEW


def test_what_changes_while_an_index_is_filled_is_in_it_when_it_is_switched_to(
    geosearch: GeoSearch,
    folder: Path,
    tmp_path: Path,
    make_jpeg: MakeJpeg,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A photo comes, one gets another label and one goes, after they were passed by."""
    services = geosearch.services
    gone, moved = _id(folder / "lund-1.jpg"), _id(folder / "lund-2.jpg")
    encode, done = TurnedEmbedder.encode, []

    def encode_and_change(self, pixels):
        if "heads-new" in str(self.identity) and not done:
            done.append(True)
            (folder / "more.jpg").write_bytes(make_jpeg(99, gps=(1.0, 2.0)))
            manifest = tmp_path / "labels.csv"
            manifest.write_text("path,lat,lon\nphotos/lund-2.jpg,59.33,18.07\n")
            with services.borrowed_index() as index:
                assert index.identity == OLD
            geosearch.ingest(folder / "more.jpg", manifest=manifest)
            services.store.delete([UUID(gone)])
            remove_photo(services.engine, UUID(gone), removed_from=[OLD])
        return encode(self, pixels)

    monkeypatch.setattr(TurnedEmbedder, "encode", encode_and_change)
    assert geosearch.reindex().switched
    points = {str(hit.id): hit.payload for hit in services.store.scroll()}
    assert services.index.identity == NEW
    assert len(points) == 12
    assert gone not in points
    assert points[moved].coordinate == Coordinate(59.33, 18.07)
    assert _id(folder / "more.jpg") in points
    assert services.indexes.backlog(NEW) == []
    assert services.reconciler.run(mend=False).is_clean


def test_photos_that_cannot_be_read_keep_searches_with_the_old_index(
    geosearch: GeoSearch, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "lund-0.jpg").unlink()
    (folder / "lund-1.jpg").write_bytes((folder / "nairobi-0.jpg").read_bytes())
    report = geosearch.reindex()
    assert (report.indexed, report.failed, report.switched) == (10, 2, False)
    assert {Path(error.path).name for error in report.errors} == {"lund-0.jpg", "lund-1.jpg"}
    assert "another photo" in "".join(error.reason for error in report.errors)
    assert "--leave-out-unreadable" in caplog.text
    assert geosearch.search(image=folder / "nairobi-0.jpg").encoder == OLD
    report = geosearch.reindex(leave_out_unreadable=True)
    assert (report.indexed, report.failed, report.switched) == (0, 2, True)
    assert _finds(geosearch, folder / "nairobi-0.jpg", photos=10) == NEW


def test_an_index_from_an_earlier_time_is_brought_up_to_date_before_it_is_used_again(
    geosearch: GeoSearch, folder: Path, tmp_path: Path, engine: Engine
) -> None:
    services = geosearch.services
    geosearch.reindex()
    manifest = tmp_path / "labels.csv"
    manifest.write_text("path,lat,lon\nphotos/lund-2.jpg,59.33,18.07\n")
    geosearch.ingest(manifest=manifest)
    gone = UUID(_id(folder / "lund-1.jpg"))
    services.store.delete([gone])
    remove_photo(engine, gone, removed_from=[NEW])
    choose(services.settings.home, None)
    report = geosearch.reindex()
    assert (report.encoder, report.indexed, report.switched) == (OLD, 0, True)
    assert (report.updated, report.removed) == (1, 1)
    assert services.reconciler.run(mend=False).is_clean
    assert services.store.count() == 11


def test_vectors_that_an_index_lost_are_made_again(geosearch: GeoSearch, folder: Path) -> None:
    geosearch.reindex(switch=False)
    services = geosearch.services
    [record] = [one for one in services.indexes.all() if one.encoder == NEW]
    services.collections.drop(record.collection)
    report = geosearch.reindex()
    assert (report.indexed, report.switched) == (12, True)
    assert _finds(geosearch, folder / "lund-0.jpg") == NEW


def test_what_an_ingest_writes_to_the_old_index_after_the_switch_is_in_the_new_one_at_its_end(
    geosearch: GeoSearch, folder: Path, make_jpeg: MakeJpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "late.jpg").write_bytes(make_jpeg(77, gps=(3.0, 4.0)))
    encode, done = TurnedEmbedder.encode, []

    def encode_after_the_switch(self, pixels):
        if "none" in self.identity.weights and not done:
            done.append(True)
            worker = threading.Thread(target=geosearch.reindex)
            worker.start()
            worker.join()
        return encode(self, pixels)

    monkeypatch.setattr(TurnedEmbedder, "encode", encode_after_the_switch)
    assert geosearch.ingest(folder).indexed == 1
    assert done
    assert _finds(geosearch, folder / "late.jpg", photos=13) == NEW
    assert geosearch.services.indexes.backlog(NEW) == []


def test_encoders_are_named_and_the_index_in_use_is_not_dropped(
    geosearch: GeoSearch, folder: Path
) -> None:
    services = geosearch.services
    geosearch.reindex(switch=False)
    listed = {one.encoder: one for one in index_summaries(services)}
    assert (listed[OLD].state, listed[OLD].photos, listed[OLD].wanted) == (
        IndexState.ACTIVE, 12, False,
    )  # fmt: skip
    assert (listed[NEW].state, listed[NEW].photos, listed[NEW].wanted) == (
        IndexState.FILLING, 12, True,
    )  # fmt: skip
    choose(services.settings.home, None)
    assert geosearch.reindex(encoder=listed[NEW].id[:6]).switched
    with pytest.raises(ConfigError, match="in use"):
        drop_encoder(services, listed[NEW].id)
    assert drop_encoder(services, listed[OLD].id).indexes == (listed[OLD].id,)
    assert [one.encoder for one in index_summaries(services)] == [NEW]
    assert not (services.home.qdrant / listed[OLD].collection).exists()
    assert _finds(geosearch, folder / "lund-0.jpg") == NEW
    with pytest.raises(ConfigError, match="no encoders are named"):
        geosearch.reindex(encoder="heads-that-nobody-trained")


def test_two_calls_do_not_fill_the_same_index(geosearch: GeoSearch) -> None:
    with (
        geosearch.services.indexes.reindexing(NEW),
        pytest.raises(CatalogueError, match="already"),
    ):
        geosearch.reindex()


def test_an_encoder_that_changed_under_its_name_is_not_searched_with_before_a_reindex(
    geosearch: GeoSearch, folder: Path, settings: Settings
) -> None:
    """As after an upgrade that makes other vectors: half of a mixture would be found."""
    geosearch.close()
    with Services(settings, load_embedder=lambda _: TurnedEmbedder("upgraded")) as upgraded:
        second = GeoSearch(upgraded)
        with pytest.raises(IdentityMismatch, match="reindex"):
            second.search(image=folder / "lund-0.jpg")
        assert second.reindex().switched
        assert _finds(second, folder / "lund-0.jpg") == str(TurnedEmbedder("upgraded").identity)


def test_indexes_of_an_older_version_are_found_again(
    geosearch: GeoSearch, folder: Path, engine: Engine, settings: Settings
) -> None:
    """Their rows come from the migration, which knows identities and no more."""
    choose(settings.home, None)
    geosearch.close()
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE vector_index SET state = 'retired', backbone = NULL, heads = NULL")
        )
    with turned_services(settings) as services:
        assert _finds(GeoSearch(services), folder / "lund-0.jpg") == OLD
        [listed] = index_summaries(services)
        assert (listed.state, listed.backbone) == (IndexState.ACTIVE, settings.encoder)


def test_on_a_server_the_alias_moves_with_the_switch_and_other_processes_follow(
    settings: Settings, folder: Path, tmp_path: Path, gazetteer: Gazetteer
) -> None:
    with QdrantServer(tmp_path / "qdrant") as server:
        shared = settings.model_copy(update={"qdrant_url": server.url})
        client = connect(server.url)

        def aliased() -> str:
            [alias] = client.get_aliases().aliases
            assert alias.alias_name == ALIAS
            return alias.collection_name

        with turned_services(shared) as here, turned_services(shared) as there:
            here.gazetteer = there.gazetteer = gazetteer
            first, second = GeoSearch(here), GeoSearch(there)
            first.ingest(folder)
            assert _finds(second, folder / "lund-0.jpg") == OLD
            old = here.index.record.collection
            assert aliased() == old
            choose(shared.home, "heads-new")
            assert first.reindex().switched
            assert aliased() == here.index.record.collection != old
            with there.borrowed_index(is_current=True) as index:
                assert index.identity == NEW
            assert _finds(second, folder / "lund-0.jpg") == NEW
            drop_encoder(here, OLD)
            assert [one.identity for one in here.collections.all()] == [NEW]
        client.close()
