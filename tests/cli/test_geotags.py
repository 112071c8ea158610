from __future__ import annotations

import json
from pathlib import Path

from geosearch.metadata import read_metadata
from geosearch.records import LabelSource


def test_a_place_by_hand_goes_into_copies(run, folder: Path, tmp_path: Path) -> None:
    photos = [folder / "lund-0.jpg", folder / "suva-1.jpg"]
    before = [photo.read_bytes() for photo in photos]
    code, out, err = run(
        "write-exif", *photos, "--at", "48.8584,2.2945", "--into", tmp_path / "copies", "--json"
    )
    assert code == 0, err
    document = json.loads(out)
    assert (document["written"], document["failed"]) == (2, 0)
    assert document["files"][0]["source"] == "manual"
    assert [photo.read_bytes() for photo in photos] == before
    label = read_metadata((tmp_path / "copies" / "lund-0.jpg").read_bytes()).label
    assert label is not None
    assert str(label.coordinate) == "48.85840, 2.29450"


def test_answers_of_a_table_are_written_as_predictions_and_bad_files_are_named(
    run, folder: Path, tmp_path: Path
) -> None:
    photo, broken = folder / "lund-0.jpg", folder / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe1")
    table = tmp_path / "where.csv"
    table.write_text(
        "image,lat,lon,radius_km_90\n"
        f"{photo},1.5,2.5,25\n{broken},1.5,2.5,25\n{folder / 'suva-0.jpg'},,,\n"
    )
    code, out, _ = run("write-exif", "--from", table, "--in-place", "--json")
    assert code == 1
    document = json.loads(out)
    assert (document["written"], document["failed"]) == (1, 1)
    assert document["errors"][0]["path"] == str(broken)
    assert Path(document["files"][0]["backup"]).is_file()
    label = read_metadata(photo.read_bytes()).label
    assert label is not None
    assert label.source is LabelSource.PREDICTED


def test_originals_are_not_changed_without_being_told_to(run, folder: Path) -> None:
    code, _, err = run("write-exif", folder / "lund-0.jpg", "--at", "1,2")
    assert code == 2
    assert "--into FOLDER" in err
