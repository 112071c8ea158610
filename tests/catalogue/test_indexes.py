"""The list of indexes: one in use, changes noted for the others, no switch before they are seen."""

from __future__ import annotations

import threading
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from geosearch.catalogue.drafts import PhotoDraft
from geosearch.catalogue.indexes import Indexes
from geosearch.catalogue.removal import remove_photo
from geosearch.catalogue.repository import Catalogue
from geosearch.errors import CatalogueError
from geosearch.geo import Coordinate
from geosearch.records import (
    EncoderChoice,
    IndexRecord,
    IndexState,
    Label,
    LabelSource,
    PhotoState,
)


def _record(name: str) -> IndexRecord:
    return IndexRecord(name, f"geosearch-{name}", IndexState.FILLING, EncoderChoice("lite", name))


def _photo(catalogue: Catalogue) -> UUID:
    photo = PhotoDraft(
        uuid4(), uuid4().hex * 2, "a.jpg", 1, PhotoState.PENDING,
        label=Label(Coordinate(1.0, 2.0), LabelSource.MANIFEST),
    )  # fmt: skip
    catalogue.record([photo], [], run_id=catalogue.begin_run("old", {}))
    return photo.id


def _indexed(catalogue: Catalogue, encoder: str = "old") -> UUID:
    photo = _photo(catalogue)
    catalogue.mark_embedded([photo], encoder=encoder)
    catalogue.mark_indexed([photo], encoder=encoder)
    return photo


def _nothing() -> None:
    pass


@pytest.fixture
def indexes(engine: Engine) -> Indexes:
    indexes = Indexes(engine)
    indexes.claim(_record("old"))
    return indexes


def test_the_first_index_claimed_is_in_use_and_later_claims_get_it(
    indexes: Indexes, catalogue: Catalogue
) -> None:
    _indexed(catalogue)
    found = indexes.claim(_record("new"))
    assert (found.encoder, found.choice) == ("old", EncoderChoice("lite", "old"))
    active = indexes.active()
    assert active is not None
    assert active.encoder == "old"


def test_an_index_without_photos_gives_way_to_the_next_claim(indexes: Indexes) -> None:
    assert indexes.claim(_record("new")).encoder == "new"
    assert {one.encoder: one.state for one in indexes.all()} == {
        "new": IndexState.ACTIVE,
        "old": IndexState.RETIRED,
    }


def test_photos_indexed_while_another_index_is_filled_wait_in_its_backlog(
    indexes: Indexes, catalogue: Catalogue
) -> None:
    before = _indexed(catalogue)
    indexes.begin(_record("new"))
    after = _indexed(catalogue)
    assert [photo for _, photo in indexes.backlog("new")] == [after]
    assert before != after
    assert indexes.backlog("old") == []


def test_an_index_is_not_switched_to_before_it_has_seen_every_change(
    indexes: Indexes, catalogue: Catalogue
) -> None:
    indexes.begin(_record("new"))
    photo = _indexed(catalogue)
    assert not indexes.switch("new", besides=[], announce=_nothing)
    active = indexes.active()
    assert active is not None
    assert active.encoder == "old"
    indexes.caught_up("new", [serial for serial, _ in indexes.backlog("new")])
    assert indexes.switch("new", besides=[], announce=_nothing)
    assert {one.encoder: one.state for one in indexes.all()} == {
        "new": IndexState.ACTIVE,
        "old": IndexState.RETIRED,
    }
    assert photo is not None


def test_photos_that_cannot_be_read_need_not_be_seen(
    indexes: Indexes, catalogue: Catalogue
) -> None:
    indexes.begin(_record("new"))
    photo = _indexed(catalogue)
    assert indexes.switch("new", besides=[photo], announce=_nothing)


def test_a_change_that_comes_while_an_older_one_is_worked_on_stays_in_the_backlog(
    indexes: Indexes, catalogue: Catalogue
) -> None:
    indexes.begin(_record("new"))
    photo = _indexed(catalogue)
    [(serial, _)] = indexes.backlog("new")
    catalogue.mark_indexed([photo], encoder="old")
    indexes.caught_up("new", [serial])
    assert [photo_id for _, photo_id in indexes.backlog("new")] == [photo]


def test_what_a_latecomer_writes_to_the_old_index_waits_for_the_one_in_use(
    indexes: Indexes, catalogue: Catalogue
) -> None:
    indexes.begin(_record("new"))
    assert indexes.switch("new", besides=[], announce=_nothing)
    late = _indexed(catalogue, "old")
    assert [photo for _, photo in indexes.backlog("new")] == [late]
    assert indexes.backlog("old") == []  # merely kept


def test_a_deleted_photo_waits_also_for_indexes_that_are_merely_kept(
    indexes: Indexes, catalogue: Catalogue, engine: Engine
) -> None:
    photo = _indexed(catalogue)
    indexes.begin(_record("new"))
    indexes.switch("new", besides=[], announce=_nothing)
    remove_photo(engine, photo, removed_from=["new"])
    assert [photo_id for _, photo_id in indexes.backlog("old")] == [photo]
    assert indexes.backlog("new") == []


def test_filling_begins_after_transactions_that_could_not_know_of_it(
    indexes: Indexes, catalogue: Catalogue, engine: Engine
) -> None:
    """Or a photo that they index would be in neither the pages that are filled nor the backlog."""
    photo = _photo(catalogue)
    begun = threading.Event()

    def begin() -> None:
        indexes.begin(_record("new"))
        begun.set()

    with engine.connect() as connection:
        connection.execute(text("SELECT 1 FROM vector_index FOR SHARE"))
        thread = threading.Thread(target=begin)
        thread.start()
        assert not begun.wait(0.5)
        connection.execute(text("UPDATE photo SET state = 'indexed' WHERE id = :id"), {"id": photo})
        connection.commit()
        thread.join()
    assert [draft.id for draft in catalogue.not_embedded(encoder="new")] == [photo]


def test_a_switch_waits_for_nobody_who_only_asks_which_index_is_in_use(
    indexes: Indexes, engine: Engine
) -> None:
    indexes.begin(_record("new"))
    with engine.connect() as connection:
        connection.execute(text("SELECT * FROM vector_index"))
        assert indexes.switch("new", besides=[], announce=_nothing)


def test_if_telling_of_the_switch_fails_nothing_is_switched(indexes: Indexes) -> None:
    indexes.begin(_record("new"))

    def fail() -> None:
        raise RuntimeError("the server does not answer")

    with pytest.raises(RuntimeError):
        indexes.switch("new", besides=[], announce=fail)
    active = indexes.active()
    assert active is not None
    assert active.encoder == "old"


def test_photos_deleted_meanwhile_are_not_said_to_be_filled(
    indexes: Indexes, catalogue: Catalogue
) -> None:
    photo = _indexed(catalogue)
    indexes.mark_filled([photo, uuid4()], encoder="new")
    assert indexes.embedded("new", after=None) == [photo]


def test_an_index_in_use_cannot_be_dropped_and_another_one_leaves_nothing(
    indexes: Indexes, catalogue: Catalogue
) -> None:
    photo = _indexed(catalogue)
    indexes.begin(_record("new"))
    indexes.mark_filled([photo], encoder="new")
    with pytest.raises(CatalogueError, match="in use"):
        indexes.drop("old")
    indexes.drop("new")
    assert [one.encoder for one in indexes.all()] == ["old"]
    assert catalogue.embedded_counts() == {"old": 1}


def test_one_process_at_a_time_fills_an_index(indexes: Indexes) -> None:
    with indexes.reindexing("new"):
        with pytest.raises(CatalogueError, match="already"), indexes.reindexing("new"):
            pass
        with indexes.reindexing("third"):
            pass
    with indexes.reindexing("new"):
        pass
