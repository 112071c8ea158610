from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geosearch.errors import InvalidManifest
from geosearch.geo import Coordinate
from geosearch.ingest.manifest import read_manifest
from geosearch.ingest.sources import BadSource, PhotoSource


def _read(
    tmp_path: Path, text: str | bytes, name: str = "labels.csv"
) -> list[PhotoSource | BadSource]:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(read_manifest(path))


def _good(sources: list[PhotoSource | BadSource]) -> list[PhotoSource]:
    bad = [source for source in sources if isinstance(source, BadSource)]
    assert bad == []
    return [source for source in sources if isinstance(source, PhotoSource)]


def _reason(sources: list[PhotoSource | BadSource]) -> str:
    [bad] = [source for source in sources if isinstance(source, BadSource)]
    return bad.reason


def test_a_row_names_a_file_beside_the_manifest_and_its_label(tmp_path: Path) -> None:
    [source] = _good(_read(tmp_path, "path,lat,lon\na/b.jpg,55.705,13.193\n"))
    assert source.path == tmp_path / "a/b.jpg"
    assert source.claims.coordinate == Coordinate(55.705, 13.193)


def test_a_row_may_name_a_url(tmp_path: Path) -> None:
    [source] = _good(_read(tmp_path, "url,lat,lon\nhttps://example.org/a.jpg,1,2\n"))
    assert (source.uri, source.path) == ("https://example.org/a.jpg", None)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_out(tmp_path: Path, separator: str) -> None:
    rows = [["path", "lat", "lon", "caption"], ["a.jpg", "1.5", "2.5", "a view"]]
    text = "\n".join(separator.join(row) for row in rows)
    [source] = _good(_read(tmp_path, text))
    assert source.claims.coordinate == Coordinate(1.5, 2.5)
    assert source.claims.caption == "a view"


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    assert len(_good(_read(tmp_path, b"\xef\xbb\xbfpath,lat,lon\r\na.jpg,1,2\r\n"))) == 1


def test_decimal_commas_are_read_between_semicolons(tmp_path: Path) -> None:
    [source] = _good(_read(tmp_path, "path;lat;lon\na.jpg;-55,705;13,193\n"))
    assert source.claims.coordinate == Coordinate(-55.705, 13.193)


def test_decimal_commas_between_commas_are_told_apart_by_quotes(tmp_path: Path) -> None:
    [source] = _good(_read(tmp_path, 'path,lat,lon\na.jpg,"55,705","13,193"\n'))
    assert source.claims.coordinate == Coordinate(55.705, 13.193)
    reason = _reason(_read(tmp_path, "path,lat,lon\na.jpg,55,705,13,193\n"))
    assert "row 2" in reason
    assert "5 cells for 3 columns" in reason
    assert "quotes" in reason


@pytest.mark.parametrize(
    ("lat", "lon", "words"),
    [
        ("91", "0", ["latitude 91", "-90..90"]),
        ("NaN", "0", ["lat NaN", "finite"]),
        ("inf", "0", ["lat inf", "finite"]),
        ("139.69", "35.68", ["latitude 139.69", "swapped"]),
        ("10", "181", ["longitude 181"]),
        ("north", "0", ["'north'", "decimal degrees"]),
        ("10", "", ["lon is blank"]),
    ],
)
def test_a_bad_label_names_row_and_reason_and_the_others_go_on(
    tmp_path: Path, lat: str, lon: str, words: list[str]
) -> None:
    sources = _read(tmp_path, f"path,lat,lon\nok.jpg,1,2\nbad.jpg,{lat},{lon}\nok2.jpg,3,4\n")
    reason = _reason(sources)
    assert "labels.csv row 3" in reason
    assert all(word in reason for word in words), reason
    assert sum(isinstance(source, PhotoSource) for source in sources) == 2


def test_blank_coordinates_claim_nothing(tmp_path: Path) -> None:
    [source] = _good(_read(tmp_path, "path,lat,lon\na.jpg,,\n"))
    assert source.claims.coordinate is None


def test_the_origin_is_a_label_when_a_person_wrote_it(tmp_path: Path) -> None:
    [source] = _good(_read(tmp_path, "path,lat,lon\na.jpg,0,0\n"))
    assert source.claims.coordinate == Coordinate(0, 0)


def test_a_missing_column_is_named_beside_those_found(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match=r"lon is missing.*found are: path, lat, town"):
        _read(tmp_path, "path,lat,town\na.jpg,1,x\n")
    with pytest.raises(InvalidManifest, match=r"path \(or url\) is missing"):
        _read(tmp_path, "lat,lon\n1,2\n")


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match="lat is there twice"):
        _read(tmp_path, "path,lat,latitude,lon\na.jpg,1,1,2\n")


def test_other_names_and_capitals_of_columns_are_understood(tmp_path: Path) -> None:
    [source] = _good(_read(tmp_path, "File,Latitude,LNG,Licence\na.jpg,1,2,CC0\n"))
    assert (source.claims.coordinate, source.claims.license) == (Coordinate(1, 2), "CC0")


def test_other_columns_are_kept_as_attributes(tmp_path: Path) -> None:
    [source] = _good(_read(tmp_path, "path,lat,lon,Heading,note\na.jpg,1,2,270,\n"))
    assert source.claims.attributes == {"Heading": "270"}


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2024-05-31T18:30:00+02:00", datetime(2024, 5, 31, 16, 30, tzinfo=UTC)),
        ("2024-05-31 18:30", datetime(2024, 5, 31, 16, 30, tzinfo=UTC)),
        ("1904", datetime(1903, 12, 31, 23, 0, tzinfo=UTC)),
    ],
)
def test_a_time_without_a_zone_is_local_to_the_place(
    tmp_path: Path, text: str, utc: datetime
) -> None:
    [source] = _good(_read(tmp_path, f"path,lat,lon,captured_at\na.jpg,55.7,13.2,{text}\n"))
    assert source.claims.captured_at == utc


def test_a_time_that_is_none_is_kept_as_words(tmp_path: Path) -> None:
    [source] = _good(_read(tmp_path, "path,lat,lon,captured_at\na.jpg,1,2,about 1910\n"))
    assert source.claims.captured_at is None
    assert source.claims.attributes == {"captured_at": "about 1910"}


def test_rows_are_counted_as_a_spreadsheet_does(tmp_path: Path) -> None:
    reason = _reason(_read(tmp_path, 'path,lat,lon,caption\na.jpg,1,2,"two\nlines"\n,1,2,\n'))
    assert "row 3" in reason
    assert "neither path nor url" in reason


def test_a_manifest_in_another_encoding_says_how_to_save_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match="CSV UTF-8"):
        _read(tmp_path, "path,lat,lon\nmalmö.jpg,1,2\n".encode("latin-1"))


@pytest.mark.parametrize("content", [b"", b"\n", b"\x00\x00\x00", b"\x89PNG\r\n"])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InvalidManifest):
        _read(tmp_path, content)


def test_a_missing_manifest_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match="no such manifest"):
        list(read_manifest(tmp_path / "none.csv"))


def test_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table(
        {
            "path": ["a.jpg", "b.jpg", "c.jpg"],
            "lat": [55.705, None, 91.0],
            "lon": [13.193, None, 0.0],
            "captured_at": [datetime(2024, 5, 31, 16, 30, tzinfo=UTC), None, None],
            "views": [3, None, 1],
        }
    )
    parquet.write_table(table, tmp_path / "labels.parquet")
    first, second, third = read_manifest(tmp_path / "labels.parquet")
    assert isinstance(first, PhotoSource)
    assert first.claims.coordinate == Coordinate(55.705, 13.193)
    assert first.claims.captured_at == datetime(2024, 5, 31, 16, 30, tzinfo=UTC)
    assert first.claims.attributes == {"views": 3}
    assert isinstance(second, PhotoSource)
    assert second.claims.coordinate is None
    assert isinstance(third, BadSource)
    assert "row 4" in third.reason


def test_a_broken_parquet_file_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(InvalidManifest, match="not a readable Parquet"):
        _read(tmp_path, b"PAR1 and nothing more", name="labels.parquet")


@given(content=st.binary(max_size=400))
def test_any_bytes_give_sources_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "labels.csv"
    path.write_bytes(b"path,lat,lon,captured_at,x\n" + content)
    with suppress(InvalidManifest):
        sources = list(read_manifest(path))
        assert all(isinstance(source, PhotoSource | BadSource) for source in sources)
