"""Positions in photos of every format: found again, and the picture untouched."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from geosearch.errors import ConfigError, InvalidCoordinate, UnreadableImage
from geosearch.exif import read_tags
from geosearch.geo import Coordinate
from geosearch.geotags import Position, write_copy, write_in_place, write_position
from geosearch.images import open_rgb
from geosearch.metadata import read_metadata
from geosearch.records import LabelSource

SUVA = Position(Coordinate(-18.1416, 178.4419), LabelSource.MANUAL)
GUESS = Position(Coordinate(55.705, 13.193), LabelSource.PREDICTED, radius_m=12_345.0)


def picture(form: str, *, with_exif: bool = True, **options: object) -> bytes:
    """A small photo with a camera, a time and another position in its EXIF."""
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    exif = Image.Exif()
    if with_exif:
        exif[ExifTags.Base.Make] = "Acme"
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2020:05:01 12:00:00"
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(
            {1: "N", 2: (1.0, 2.0, 3.0), 3: "E", 4: (4.0, 5.0, 6.0), 6: 100.0, 17: 45.0}
        )
        options["exif"] = exif
    out = io.BytesIO()
    if form == "HEIF":
        block = exif.tobytes() if with_exif else None
        pytest.importorskip("pillow_heif").from_pillow(image).save(out, exif=block, quality=90)
    else:
        image.save(out, form, **options)
    return out.getvalue()


def pixels(data: bytes) -> bytes:
    return open_rgb(data).tobytes()


CASES = [
    ("JPEG", {}), ("JPEG", {"with_exif": False}), ("JPEG", {"progressive": True}),
    ("PNG", {}), ("PNG", {"with_exif": False}), ("TIFF", {}), ("TIFF", {"with_exif": False}),
    ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {}), ("WEBP", {"with_exif": False}),
    ("WEBP", {"lossless": True, "with_exif": False}),
]  # fmt: skip


@pytest.mark.parametrize(("form", "options"), CASES)
def test_a_position_is_found_again_and_the_picture_is_the_same(
    form: str, options: dict[str, object]
) -> None:
    before = picture(form, **options)  # type: ignore[arg-type]
    after = write_position(before, SUVA)
    found = read_metadata(after)
    assert found.label is not None
    assert found.label.source is LabelSource.EXIF
    assert found.label.coordinate.distance_km(SUVA.coordinate) < 1e-5
    assert found.camera == read_metadata(before).camera
    assert found.notes == ()
    assert pixels(after) == pixels(before)
    again = write_position(after, GUESS)
    assert pixels(again) == pixels(before)
    assert read_metadata(again).label is not None


def test_the_compressed_jpeg_is_copied_byte_for_byte() -> None:
    before = picture("JPEG")
    after = write_position(before, SUVA)
    start = before.index(b"\xff\xdb")  # the first quantisation table, where the picture begins
    assert after.endswith(before[start:])


def test_a_heic_photo_keeps_its_picture_and_gets_its_position() -> None:
    before = picture("HEIF")
    after = write_position(before, SUVA)
    found = read_metadata(after)
    assert found.label is not None
    assert found.label.coordinate.distance_km(SUVA.coordinate) < 1e-5
    assert found.camera == "Acme"
    assert pixels(after) == pixels(before)
    assert len(after) > len(before)


def test_a_heic_photo_without_exif_is_refused_in_words() -> None:
    with pytest.raises(UnreadableImage, match="export it as JPEG"):
        write_position(picture("HEIF", with_exif=False), SUVA)


def test_what_belonged_to_the_old_position_goes_and_what_is_still_true_stays() -> None:
    with Image.open(io.BytesIO(write_position(picture("JPEG"), SUVA))) as image:
        block = image.info["exif"]
    tags = read_tags(block).gps
    assert 6 not in tags, "the altitude was that of the old place"
    assert tags[17] == (45.0,), "the camera looked where it looked"


def test_a_predicted_position_stays_predicted_when_the_photo_is_read_again() -> None:
    after = write_position(picture("JPEG"), GUESS)
    label = read_metadata(after).label
    assert label is not None
    assert label.source is LabelSource.PREDICTED
    with Image.open(io.BytesIO(after)) as image:
        assert read_tags(image.info["exif"]).gps[31] == (12_345.0,)
    corrected = read_metadata(write_position(after, SUVA)).label
    assert corrected is not None
    assert corrected.source is LabelSource.EXIF


def test_no_position_cannot_be_written() -> None:
    with pytest.raises(InvalidCoordinate, match="no position"):
        write_position(picture("JPEG"), Position(Coordinate(0.0, 0.0), LabelSource.MANUAL))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.floats(-90, 90, allow_nan=False),
    st.floats(-180, 180, allow_nan=False),
    st.sampled_from(["JPEG", "PNG", "TIFF", "WEBP"]),
)
def test_every_place_on_earth_survives(lat: float, lon: float, form: str) -> None:
    where = Coordinate(lat, lon)
    if abs(where.lat) < 1e-9 and abs(where.lon) < 1e-9:
        return
    label = read_metadata(write_position(picture(form), Position(where, LabelSource.MANUAL))).label
    assert label is not None
    assert label.coordinate.distance_km(where) < 1e-5


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.data())
def test_damaged_photos_are_refused_or_written_but_nothing_else_is_raised(
    data: st.DataObject,
) -> None:
    good = picture(data.draw(st.sampled_from(["JPEG", "PNG", "TIFF", "WEBP"])))
    position = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(bad), position]))
    try:
        write_position(bytes(bad[:cut]), SUVA)
    except UnreadableImage:
        pass


def test_an_exif_block_with_no_room_left_is_refused() -> None:
    before = picture("JPEG")
    (length,) = struct.unpack_from(">H", before, before.index(b"\xff\xe1") + 2)
    start = before.index(b"\xff\xe1")
    filler = bytes(65_500 - length)
    full = (
        before[: start + 2]
        + struct.pack(">H", 65_500)
        + before[start + 4 : start + 2 + length]
        + filler
        + before[start + 2 + length :]
    )
    with pytest.raises(UnreadableImage, match="more than the 65,533"):
        write_position(full, SUVA)


def test_a_copy_keeps_the_times_of_its_file_and_never_overwrites(tmp_path: Path) -> None:
    source = tmp_path / "a.jpg"
    source.write_bytes(picture("JPEG"))
    os.utime(source, (1_000_000_000, 1_000_000_000))
    before = source.read_bytes()
    written = write_copy(source, tmp_path / "copies" / "a.jpg", SUVA)
    assert written.target.stat().st_mtime == 1_000_000_000
    assert source.read_bytes() == before
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        write_copy(source, written.target, SUVA)


def test_a_photo_changed_in_place_keeps_its_first_original(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(picture("JPEG"))
    original = path.read_bytes()
    first = write_in_place(path, SUVA)
    write_in_place(path, GUESS)
    assert first.backup is not None
    assert first.backup.read_bytes() == original
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.jpg", "a.jpg.original"]
