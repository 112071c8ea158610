from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from geosearch.client import GeoSearch
from geosearch.encoder.fakes import ColorGridEmbedder
from geosearch.errors import ConfigError, StorageFull
from geosearch.geo import Coordinate
from geosearch.ingest import sources
from geosearch.ingest.sources import path_of
from geosearch.records import IngestReport, LabelSource, photo_id
from geosearch.store.base import VectorPoint

MakeJpeg = Callable[..., bytes]


def _counts(report: IngestReport) -> dict[str, int]:
    counts = {name: value for name, value in asdict(report).items() if isinstance(value, int)}
    scanned = counts.pop("scanned")
    assert scanned == sum(counts.values()), "a photo is in no count or in two"
    return {name: value for name, value in counts.items() if value}


def _rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def _assert_catalogue_and_index_agree(geosearch: GeoSearch) -> None:
    services = geosearch.services
    indexed = {fact.id: fact for batch in services.catalogue.newest() for fact in batch}
    points = {hit.id: hit.payload for hit in services.store.scroll()}
    assert points.keys() == indexed.keys()
    for identity, payload in points.items():
        fact = indexed[identity]
        assert fact.coordinate is not None
        assert payload.coordinate.distance_km(fact.coordinate) < 1e-6
        assert (payload.dataset, payload.country) == (fact.dataset, fact.country)
        assert payload.captured_at == fact.captured_at


@pytest.fixture(autouse=True)
def _files_settle_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SETTLED_AFTER_S", 0.0)


def test_labelled_photos_of_a_folder_are_indexed(geosearch: GeoSearch, folder: Path) -> None:
    assert _counts(geosearch.ingest(folder)) == {"indexed": 12}
    assert geosearch.status()["photos"]["indexed"] == 12
    _assert_catalogue_and_index_agree(geosearch)


def test_a_second_ingest_finds_only_duplicates_and_changes_nothing(
    geosearch: GeoSearch, folder: Path, engine: Engine
) -> None:
    geosearch.ingest(folder)
    before = _rows(engine, "SELECT * FROM photo ORDER BY id")
    assert _counts(geosearch.ingest(folder)) == {"duplicates": 12}
    assert _rows(engine, "SELECT * FROM photo ORDER BY id") == before


def test_a_moved_folder_holds_the_same_photos_and_their_new_paths(
    geosearch: GeoSearch, folder: Path, tmp_path: Path
) -> None:
    geosearch.ingest(folder)
    moved = folder.rename(tmp_path / "moved")
    assert _counts(geosearch.ingest(moved)) == {"duplicates": 12}
    assert all(str(moved) in hit.photo.path for hit in geosearch.search(k=12).hits)


def test_facts_of_a_photo_come_from_its_exif_and_its_place(
    geosearch: GeoSearch, folder: Path
) -> None:
    geosearch.ingest(folder, dataset="trip")
    [hit] = geosearch.search(near=(55.705, 13.193), radius_km=0.05).hits
    assert hit.photo.country == "SE"
    assert "Lund" in hit.photo.place
    assert hit.photo.dataset == "trip"
    assert hit.photo.captured_at is not None
    assert hit.photo.captured_at.isoformat() == "2020-05-01T10:00:00+00:00"  # noon in Lund


def test_the_same_bytes_twice_in_one_folder_are_one_photo(
    geosearch: GeoSearch, folder: Path
) -> None:
    shutil.copy(folder / "lund-0.jpg", folder / "copy.jpg")
    shutil.copy(folder / "lund-0.jpg", folder / "zcopy.jpg")
    assert _counts(geosearch.ingest(folder)) == {"indexed": 12, "duplicates": 2}
    assert _counts(geosearch.ingest(folder)) == {"duplicates": 14}


def test_a_changed_label_updates_the_payload_without_encoding_again(
    geosearch: GeoSearch, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    geosearch.ingest(folder)

    def refuse(*_: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(ColorGridEmbedder, "encode", refuse)
    manifest = tmp_path / "labels.csv"
    manifest.write_text(f"path,lat,lon,dataset\n{folder / 'lund-0.jpg'},59.33,18.07,corrected\n")
    assert _counts(geosearch.ingest(manifest=manifest)) == {"updated": 1}
    [hit] = geosearch.search(near=(59.33, 18.07), radius_km=1).hits
    assert (hit.photo.dataset, hit.photo.country) == ("corrected", "SE")
    assert "Stockholm" in hit.photo.place
    _assert_catalogue_and_index_agree(geosearch)
    assert _counts(geosearch.ingest(manifest=manifest)) == {"duplicates": 1}


def test_exif_does_not_overrule_what_a_manifest_said(
    geosearch: GeoSearch, folder: Path, tmp_path: Path, make_jpeg: MakeJpeg, engine: Engine
) -> None:
    manifest = tmp_path / "labels.csv"
    manifest.write_text("path,lat,lon\nphotos/lund-0.jpg,59.33,18.07\n")
    geosearch.ingest(manifest=manifest)
    shutil.copy(folder / "lund-0.jpg", folder / "again.jpg")  # read anew, with its EXIF
    geosearch.ingest(folder / "again.jpg")
    assert _rows(engine, "SELECT lat, label_source FROM photo") == [(59.33, LabelSource.MANIFEST)]


def test_a_sidecar_that_appears_later_corrects_the_label(
    geosearch: GeoSearch, folder: Path, engine: Engine
) -> None:
    geosearch.ingest(folder / "lund-0.jpg")
    (folder / "lund-0.xmp").write_text(
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        'xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:GPSLatitude="57,42.5N" '
        'exif:GPSLongitude="11,58.0E"/></rdf:RDF></x:xmpmeta>'
    )
    assert _counts(geosearch.ingest(folder / "lund-0.jpg")) == {"updated": 1}
    [(lat, source)] = _rows(engine, "SELECT lat, label_source FROM photo")
    assert (round(lat, 3), source) == (57.708, "xmp")


def test_a_photo_without_a_label_waits_and_a_manifest_brings_it_in(
    geosearch: GeoSearch, tmp_path: Path, make_jpeg: MakeJpeg
) -> None:
    (tmp_path / "x.jpg").write_bytes(make_jpeg(1))
    assert _counts(geosearch.ingest(tmp_path / "x.jpg")) == {"unlabelled": 1}
    assert _counts(geosearch.ingest(tmp_path / "x.jpg")) == {"unlabelled": 1}
    assert geosearch.status()["photos"]["unlabelled"] == 1
    (tmp_path / "labels.csv").write_text("path,lat,lon\nx.jpg,1,2\n")
    assert _counts(geosearch.ingest(manifest=tmp_path / "labels.csv")) == {"indexed": 1}
    _assert_catalogue_and_index_agree(geosearch)


def test_bad_photos_are_rows_with_reasons_and_the_others_go_on(
    geosearch: GeoSearch, folder: Path, make_jpeg: MakeJpeg, engine: Engine
) -> None:
    good = make_jpeg(9, gps=(1, 2), size=(640, 480))
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "fake.jpg").write_bytes(b"<html>not a photo</html>")
    (folder / "cut.jpg").write_bytes(good[: len(good) // 2])
    unlabelled = make_jpeg(8, size=(640, 480))
    (folder / "cut-unlabelled.jpg").write_bytes(unlabelled[: len(unlabelled) // 2])
    (folder / "gone.jpg").symlink_to(folder / "nowhere")
    report = geosearch.ingest(folder)
    assert _counts(report) == {"indexed": 12, "failed": 5}
    reasons = {Path(error.path).name: error.reason for error in report.errors}
    assert reasons.keys() == {"empty.jpg", "fake.jpg", "cut.jpg", "cut-unlabelled.jpg", "gone.jpg"}
    assert "empty" in reasons["empty.jpg"]
    assert reasons["gone.jpg"] == "no such file"
    recorded = _rows(engine, "SELECT error FROM photo WHERE state = 'failed'")
    assert len(recorded) == 4
    assert all(reason for (reason,) in recorded)
    again = geosearch.ingest(folder)
    assert _counts(again) == {"duplicates": 12, "failed": 5}
    assert {Path(e.path).name: e.reason for e in again.errors} == reasons


def test_a_repaired_file_is_taken_in_on_the_next_run(
    geosearch: GeoSearch, tmp_path: Path, make_jpeg: MakeJpeg
) -> None:
    good = make_jpeg(9, gps=(1, 2), size=(640, 480))
    path = tmp_path / "x.jpg"
    path.write_bytes(good[: len(good) // 2])
    assert _counts(geosearch.ingest(path)) == {"failed": 1}
    path.write_bytes(good)
    assert _counts(geosearch.ingest(path)) == {"indexed": 1}


def test_retry_takes_failed_photos_again_when_asked(
    geosearch: GeoSearch, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from geosearch.errors import UnreadableImage

    prepare = ColorGridEmbedder.prepare

    def break_down(*_: object) -> None:
        raise UnreadableImage("a decoder that is not installed")

    monkeypatch.setattr(ColorGridEmbedder, "prepare", break_down)
    assert _counts(geosearch.ingest(folder)) == {"failed": 12}
    monkeypatch.setattr(ColorGridEmbedder, "prepare", prepare)
    assert _counts(geosearch.retry()) == {}
    assert _counts(geosearch.retry(failed=True)) == {"indexed": 12}
    _assert_catalogue_and_index_agree(geosearch)


def test_a_file_that_was_mended_leaves_no_failed_photo_behind_unless_a_copy_is_left(
    geosearch: GeoSearch, folder: Path, make_jpeg: MakeJpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    from geosearch.errors import UnreadableImage

    def break_down(*_: object) -> None:
        raise UnreadableImage("a decoder that is not installed")

    first, second = sorted(folder.iterdir())[:2]
    with monkeypatch.context() as broken:
        broken.setattr(ColorGridEmbedder, "prepare", break_down)
        copy = folder / "copy.jpg"
        copy.write_bytes(second.read_bytes())
        assert geosearch.ingest([first, second, copy]).failed >= 2
    for number, path in enumerate((first, second)):
        path.write_bytes(make_jpeg(50 + number, gps=(10, 10)))
    assert geosearch.ingest([first, second]).indexed == 2
    counts = geosearch.services.catalogue.counts()
    assert (counts["indexed"], counts["failed"]) == (2, 1)
    [(path, reason)] = geosearch.services.catalogue.last_errors()
    assert "not installed" in reason


def test_manifest_rows_and_the_folder_they_lie_in_are_counted_once(
    geosearch: GeoSearch, folder: Path
) -> None:
    manifest = folder / "labels.csv"
    manifest.write_text("path,lat,lon\nlund-0.jpg,59.33,18.07\nnone.jpg,1,2\nsuva-0.jpg,91,0\n")
    report = geosearch.ingest(folder, manifest=manifest)
    assert _counts(report) == {"indexed": 11, "failed": 2}
    assert {error.path.rsplit("/", 1)[1] for error in report.errors} == {"none.jpg", "suva-0.jpg"}


def test_a_run_keeps_to_the_first_of_two_labels_for_the_same_bytes(
    geosearch: GeoSearch, tmp_path: Path, make_jpeg: MakeJpeg, engine: Engine
) -> None:
    rows = ["path,lat,lon"]
    for number in range(300):  # more than the window of chunks that are under way together
        (tmp_path / f"{number}.jpg").write_bytes(make_jpeg(number, size=(32, 32)))
        rows.append(f"{number}.jpg,10,{number % 170}")
    shutil.copy(tmp_path / "0.jpg", tmp_path / "late.jpg")
    shutil.copy(tmp_path / "299.jpg", tmp_path / "next.jpg")
    rows += ["next.jpg,-50,60", "late.jpg,-50,50"]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    for expected in ({"indexed": 300, "duplicates": 2}, {"duplicates": 302}):
        assert _counts(geosearch.ingest(manifest=tmp_path / "labels.csv")) == expected
    assert _rows(engine, "SELECT count(*) FROM photo WHERE lat <> 10") == [(0,)]
    _assert_catalogue_and_index_agree(geosearch)


def test_a_dry_run_counts_and_writes_nothing(
    geosearch: GeoSearch, folder: Path, engine: Engine
) -> None:
    (folder / "empty.jpg").write_bytes(b"")
    report = geosearch.ingest(folder, dry_run=True)
    assert _counts(report) == {"indexed": 12, "failed": 1}
    for table in ("photo", "source", "ingest_run", "embedding"):
        assert _rows(engine, f"SELECT count(*) FROM {table}") == [(0,)]
    assert geosearch.services.store.count() == 0


def test_a_tilde_is_the_users_folder(
    geosearch: GeoSearch, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert _counts(geosearch.ingest("~/photos")) == {"indexed": 12}
    assert geosearch.search(image="~/photos/lund-0.jpg", k=1).hits[0].photo.path == str(
        folder / "lund-0.jpg"
    )


def test_a_listing_without_a_filter_counts_all_and_reads_only_what_it_shows(
    geosearch: GeoSearch, folder: Path
) -> None:
    geosearch.ingest(folder)
    found = geosearch.search(k=2)
    assert (len(found.hits), found.matched) == (2, 12)


def test_nothing_to_ingest_is_said(geosearch: GeoSearch) -> None:
    with pytest.raises(ConfigError, match="name files or folders"):
        geosearch.ingest()


def test_a_name_that_is_not_utf8_survives_the_way_through_the_record(
    geosearch: GeoSearch, tmp_path: Path, make_jpeg: MakeJpeg
) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg"))
    path.write_bytes(make_jpeg(1, gps=(1, 2)))
    assert _counts(geosearch.ingest(tmp_path)) == {"indexed": 1}
    assert _counts(geosearch.ingest(tmp_path)) == {"duplicates": 1}
    [hit] = geosearch.search(image=path).hits
    assert path_of(hit.photo.path) == path
    [answer] = geosearch.locate(path)
    assert answer.image == hit.photo.path


def test_files_that_are_still_being_copied_can_be_left_for_later(
    geosearch: GeoSearch, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "SETTLED_AFTER_S", 60.0)
    assert geosearch.ingest(folder, settled_only=True).scanned == 0
    assert geosearch.ingest(folder).scanned == 12


def test_runs_are_recorded_with_their_counts(
    geosearch: GeoSearch, folder: Path, engine: Engine
) -> None:
    geosearch.ingest(folder)
    [(encoder, indexed, finished)] = _rows(
        engine, "SELECT encoder, indexed, finished_at IS NOT NULL FROM ingest_run"
    )
    assert (encoder, indexed, finished) == ("color-grid|1|none|grid-4|none|none", 12, True)


def test_a_full_disk_stops_the_run_and_the_same_call_finishes_it(
    geosearch: GeoSearch, folder: Path, monkeypatch: pytest.MonkeyPatch, make_jpeg: MakeJpeg
) -> None:
    for number in range(60):
        (folder / f"more-{number}.jpg").write_bytes(make_jpeg(number, gps=(number + 1, number)))
    store = geosearch.services.store
    upsert, calls = store.upsert, iter(range(100))

    def fill_up(points: list[VectorPoint]) -> None:
        if next(calls) == 3:
            raise StorageFull("no room left on the device")
        upsert(points)

    monkeypatch.setattr(store, "upsert", fill_up)
    with pytest.raises(StorageFull, match="no room"):
        geosearch.ingest(folder)
    monkeypatch.setattr(store, "upsert", upsert)
    assert geosearch.status()["photos"]["indexed"] < 72
    assert _counts(geosearch.ingest(folder)).keys() <= {"indexed", "duplicates"}
    assert geosearch.status()["photos"] == {
        "pending": 0, "embedded": 0, "indexed": 72, "failed": 0, "unlabelled": 0, "unreadable": 0,
    }  # fmt: skip
    _assert_catalogue_and_index_agree(geosearch)


def test_a_new_label_that_a_crash_kept_from_the_index_arrives_with_the_next_run(
    geosearch: GeoSearch, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    geosearch.ingest(folder)
    store = geosearch.services.store
    set_payload = store.set_payload

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    manifest = tmp_path / "labels.csv"
    manifest.write_text("path,lat,lon\nphotos/lund-0.jpg,59.33,18.07\n")
    monkeypatch.setattr(store, "set_payload", crash)
    with pytest.raises(KeyboardInterrupt):
        geosearch.ingest(manifest=manifest)
    monkeypatch.setattr(store, "set_payload", set_payload)
    geosearch.ingest(manifest=manifest)
    _assert_catalogue_and_index_agree(geosearch)
    identity = photo_id(hashlib.sha256((folder / "lund-0.jpg").read_bytes()).hexdigest())
    [lund] = geosearch.services.catalogue.facts([identity]).values()
    assert lund.coordinate == Coordinate(59.33, 18.07)


def test_points_that_the_index_lost_are_written_again(
    geosearch: GeoSearch, folder: Path, engine: Engine
) -> None:
    """As after a crash between writing a point and its becoming durable."""
    geosearch.ingest(folder)
    geosearch.services.store.delete([hit.id for hit in geosearch.services.store.scroll()][:5])
    with engine.begin() as connection:
        connection.execute(text("UPDATE photo SET state = 'embedded'"))
    assert _counts(geosearch.ingest(folder)) == {"indexed": 5, "duplicates": 7}
    _assert_catalogue_and_index_agree(geosearch)
