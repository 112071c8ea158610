from __future__ import annotations

from pathlib import Path

import pytest

from geosearch.errors import InvalidInput
from geosearch.evaluation.labels import author_of, read_labels
from geosearch.geo import Coordinate

HEADER = "IMG_ID,AUTHOR,LAT,LON,S3_Label,S16_Label,S365_Label,Prob_indoor,Prob_natural,Prob_urban\n"
SCENE = ",2,15,231,0.1,0.2,0.7\n"


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def yfcc_line(number: int, photo: str, *, lat: float, lon: float) -> str:
    """A line as in yfcc4k.txt: line number, id, hash, user, … longitude, latitude, …"""
    cells = [
        str(number), photo, "hash", "48600095270@N01", "nick", "2010-01-01", "1262304000", "Canon",
        "a+title", "a+description", "tag,tag", "", str(lon), str(lat), "16", "http://page", "http://f",
        "CC", "http://licence", "8", "9", "secret", "secret2", "jpg", "0",
    ]  # fmt: skip
    return "\t".join(cells) + "\n"


def test_a_table_of_geoestimation_is_read_by_column_name(tmp_path: Path) -> None:
    text = HEADER + "45/77/3228511372.jpg,43008843@N00,46.778991,23.611207" + SCENE
    (row,) = read_labels(_write(tmp_path, text)).rows
    assert (row.id, row.author) == ("45/77/3228511372.jpg", "43008843@N00")
    assert row.coordinate == Coordinate(46.778991, 23.611207)
    assert row.number == 2


def test_yfcc4k_lines_have_longitude_before_latitude(tmp_path: Path) -> None:
    text = yfcc_line(7, "3228511372", lat=46.78, lon=23.61)
    (row,) = read_labels(_write(tmp_path, text)).rows
    assert row.coordinate == Coordinate(46.78, 23.61)
    assert (row.id, row.author) == ("3228511372", "48600095270@N01")


def test_columns_may_stand_in_any_order_and_case(tmp_path: Path) -> None:
    text = "longitude,Latitude,photo_id\n13.2,55.7,1\n"
    (row,) = read_labels(_write(tmp_path, text)).rows
    assert row.coordinate == Coordinate(55.7, 13.2)
    assert row.author is None


def test_the_first_published_im2gps3k_table_has_its_header_swapped_and_is_read_right(
    tmp_path: Path,
) -> None:
    """Its first rows: Bermuda, and an island off Ningbo at 29.98 N, 122.39 E."""
    text = HEADER.replace("LAT,LON", "LON,LAT")
    text += "1000269685_e60e9cdfb4_1125_78841376@N00.jpg,78841376@N00,32.325436,-64.764404" + SCENE
    text += "1005977048_5ccf8b05d3_1201_91728102@N00.jpg,91728102@N00,29.976052,122.390356" + SCENE
    labels = read_labels(_write(tmp_path, text))
    assert [row.coordinate for row in labels.rows] == [
        Coordinate(32.325436, -64.764404),
        Coordinate(29.976052, 122.390356),
    ]
    assert "calls latitude LON" in labels.notes[0]


def test_a_right_header_with_longitude_first_is_believed(tmp_path: Path) -> None:
    labels = read_labels(_write(tmp_path, "img_id,lon,lat\na,122.39,29.98\n"))
    assert labels.rows[0].coordinate == Coordinate(29.98, 122.39)
    assert labels.notes == ()


def test_the_photographer_is_taken_from_the_file_name_where_the_table_is_wrong() -> None:
    name = "Ankara_00003_601190107_9f05b2251e_1292_8504005@N07.jpg"
    assert author_of(name, "9f05b2251e_1292_8504005@N07") == "8504005@N07"
    assert author_of("45/77/3228511372.jpg", "43008843@N00") == "43008843@N00"
    assert author_of("a.jpg", "") is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x,a,91,0", r"labels.csv row 3 \(x\): latitude 91 is outside -90..90"),
        ("x,a,0,181", r"row 3 \(x\): longitude 181 is outside"),
        ("x,a,nan,0", r"row 3 \(x\): latitude nan"),
        ("x,a,,0", r"row 3 \(x\): '', '0' are no coordinate"),
        ("x,a", "row 3: 2 cells are too few"),
    ],
)
def test_a_bad_label_names_its_row(tmp_path: Path, row: str, message: str) -> None:
    path = _write(tmp_path, "IMG_ID,AUTHOR,LAT,LON\nok,a,1,2\n" + row + "\n")
    with pytest.raises(InvalidInput, match=message):
        read_labels(path)


@pytest.mark.parametrize("text", ["", "\n\n", "town,size\nLund,9\n"])
def test_a_file_that_is_no_label_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match=r"is empty|neither columns"):
        read_labels(_write(tmp_path, text))


def test_a_missing_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read as a label file"):
        read_labels(tmp_path / "none.csv")
