from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geosearch.errors import ConfigError, InvalidInput
from geosearch.evaluation.datasets import Dataset, ImageFolder, Query, load_manifest, load_public
from geosearch.evaluation.features import load_features
from geosearch.geo import Coordinate

LUND = Coordinate(55.7, 13.2)


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def _labels(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text("IMG_ID,AUTHOR,LAT,LON\n" + "\n".join(rows) + "\n")
    return path


def test_images_are_found_by_path_name_stem_and_flickr_name(tmp_path: Path) -> None:
    flickr = "601190107_9f05b2251e_1292_8504005@N07.jpg"
    _touch(tmp_path, "45/77/1.jpg", "deep/2.png", f"more/Ankara_00003_{flickr}", "note.txt")
    folder = ImageFolder(tmp_path)
    assert folder.find("45/77/1.jpg") == tmp_path / "45/77/1.jpg"
    assert folder.find("ab/cd/1.jpg") == tmp_path / "45/77/1.jpg"
    assert folder.find("2") == folder.find("2.jpg") == tmp_path / "deep/2.png"
    assert folder.find(flickr) == tmp_path / "more" / f"Ankara_00003_{flickr}"
    assert folder.find("note") is None


def test_two_files_of_one_name_are_refused_and_not_guessed(tmp_path: Path) -> None:
    _touch(tmp_path, "a/1.jpg", "b/1.jpg")
    with pytest.raises(InvalidInput, match="could be"):
        ImageFolder(tmp_path).find("1")


def test_missing_images_are_counted_and_reported(tmp_path: Path) -> None:
    _touch(tmp_path / "images", "1.jpg")
    labels = _labels(tmp_path, "1.jpg,a,55.7,13.2", "2.jpg,b,1,2")
    dataset = load_public("im2gps3k", labels=labels, images=tmp_path / "images")
    assert [query.id for query in dataset.queries] == ["1.jpg"]
    assert dataset.missing == ("2.jpg",)
    assert dataset.labelled == 2
    assert any("1 of 2 labelled photos have no image" in note for note in dataset.notes)
    assert any("published with 2997" in note for note in dataset.notes)


def test_no_image_at_all_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(InvalidInput, match="none of the 1 labelled photos is in"):
        load_public("yfcc4k", labels=_labels(tmp_path, "1,a,1,2"), images=tmp_path / "images")


def test_an_unknown_benchmark_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose from im2gps"):
        load_public("im2gps9k", labels=tmp_path, images=tmp_path)
    with pytest.raises(ConfigError, match="is no folder"):
        load_public("im2gps", labels=_labels(tmp_path, "1,a,1,2"), images=tmp_path / "none")


def test_a_manifest_gives_places_and_photographers(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jpg", "b.jpg")
    manifest = tmp_path / "m.csv"
    manifest.write_text(
        "path,lat,lon,author,city\na.jpg,1,2,Ann,Lund\nb.jpg,3,4,,Rome\nc.jpg,,,,\nd.jpg,5,6,,\n"
    )
    dataset = load_manifest(manifest)
    assert [(query.author, query.place) for query in dataset.queries] == [
        ("Ann", "Lund"),
        (None, "Rome"),
    ]
    assert len(dataset.missing) == 1
    assert any("1 rows of m.csv have no label" in note for note in dataset.notes)


def test_files_of_a_manifest_are_also_looked_for_in_the_image_folder(tmp_path: Path) -> None:
    _touch(tmp_path / "elsewhere", "a.jpg")
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,lat,lon\nold/a.jpg,1,2\n")
    (query,) = load_manifest(manifest, images=tmp_path / "elsewhere").queries
    assert query.image == tmp_path / "elsewhere" / "a.jpg"


def test_a_bad_row_of_a_manifest_is_named(tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,lat,lon\na.jpg,95,2\n")
    with pytest.raises(InvalidInput, match=r"m\.csv row 2: latitude 95"):
        load_manifest(manifest)


def _dataset(*queries: Query) -> Dataset:
    return Dataset("d", queries)


def test_intervals_are_by_photographer_else_by_place_else_by_spot() -> None:
    far = Coordinate(10.0, 10.0)
    both = _dataset(Query("1", LUND, author="a"), Query("2", LUND, author="b"))
    assert both.grouping == "photographer"
    one_author = _dataset(
        Query("1", LUND, author="a", place="p"), Query("2", LUND, author="a", place="q")
    )
    assert (one_author.grouping, one_author.groups()) == ("place", ["p", "q"])
    near = Coordinate(LUND.lat + 0.001, LUND.lon)
    bare = _dataset(Query("1", LUND), Query("2", near), Query("3", far, author="a"))
    assert bare.grouping == "spot"
    first, second, third = bare.groups()
    assert first == second != third


def test_a_limit_takes_photos_from_everywhere_and_says_so() -> None:
    dataset = _dataset(*(Query(str(n), LUND) for n in range(10))).limited(3)
    assert [query.id for query in dataset.queries] == ["0", "3", "6"]
    assert "only 3 of 10" in dataset.notes[0]
    assert dataset.limited(99) is dataset


def save_features(path: Path, **changes: object) -> Path:
    arrays: dict[str, object] = {
        "image_features": np.eye(4, 3, dtype=np.float16) + np.float16(0.1),
        "lat": np.array([1.0, 1.0, 2.0, 3.0]),
        "lon": np.array([4.0, 4.0, 5.0, 180.0]),
        "place": np.array(["a", "a", "b", "c"]),
        "dataset": np.array(["x", "x", "x", "y"]),
    }
    arrays.update(changes)
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})  # type: ignore[arg-type]
    return path


def test_features_are_normalised_and_chosen_by_data_set(tmp_path: Path) -> None:
    features = load_features(save_features(tmp_path / "f.npz"), dataset="x")
    assert np.linalg.norm(features.image_features, axis=1) == pytest.approx(1.0)
    assert (len(features), features.name) == (3, "x")
    fused = features.queries(fused=True).queries
    assert [(query.id, query.rows) for query in fused] == [("a", (0, 1)), ("b", (2,))]
    assert len(features.queries().queries) == 3
    (second,) = features.queries(rows=np.array([1])).queries
    assert (second.id, second.rows, second.place) == ("x:1", (1,), "a")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_features": np.array([[1.0], [np.nan], [1.0], [1.0]])}, "row 1 is not finite"),
        ({"image_features": np.array([[1.0], [1.0], [0.0], [1.0]])}, "row 2 .*point nowhere"),
        ({"lat": np.array([1.0, 1.0, 2.0, 91.0])}, "lat of row 3 is 91;"),
        ({"lon": np.array([1.0, 181.0, 2.0, 9.0])}, "lon of row 1 is 181;"),
        ({"lat": np.array([1.0, np.nan, 2.0, np.nan])}, "lat of row 1 is nan;"),
        ({"lat": np.zeros(3)}, "lat has 3 entries for 4 image features"),
        ({"lat": None}, "has no column 'lat'"),
        ({"lat": np.zeros((4, 1))}, r"lat has shape \(4, 1\)"),
        ({"place": np.array("Lund")}, "place is a single value"),
        ({"image_features": np.ones(4)}, "it must be"),
    ],
)
def test_bad_features_are_refused_in_one_sentence(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        load_features(save_features(tmp_path / "f.npz", **changes))


def test_files_that_are_no_features_are_refused(tmp_path: Path) -> None:
    (tmp_path / "f.npz").write_bytes(b"no zip")
    with pytest.raises(InvalidInput, match="is no NPZ file, or truncated"):
        load_features(tmp_path / "f.npz")
    with pytest.raises(ConfigError, match="no such file of features"):
        load_features(tmp_path / "none.npz")
    with pytest.raises(ConfigError, match="no photo of the data set 'z'; it has: x, y"):
        load_features(save_features(tmp_path / "g.npz"), dataset="z")


def test_an_npz_with_pickled_objects_runs_nothing(tmp_path: Path) -> None:
    path = save_features(tmp_path / "f.npz", place=np.array([{}, {}, {}, {}], dtype=object))
    with pytest.raises(InvalidInput, match="is no NPZ file, or truncated"):
        load_features(path)
