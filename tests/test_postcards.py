import csv
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from PIL import ExifTags, Image

from geosearch.errors import ConfigError
from geosearch.geo import Coordinate
from geosearch.postcards import (
    CITIES,
    Postcards,
    city_named,
    draw,
    plan_shot,
    sun_position,
    write_postcards,
)
from geosearch.postcards.buildings import STYLES
from geosearch.postcards.files import HELD_OUT_FIRST_VIEW, exif_of
from geosearch.postcards.landmarks import LANDMARKS
from geosearch.postcards.plants import TREES
from geosearch.postcards.shots import CLIMATES, SCATTER_KM, season_of
from geosearch.postcards.street import SCRIPTS, VEHICLES

SMALL = (192, 128)
SIX = tuple(city_named(name) for name in ("Lisbon", "Suva", "Kyoto", "Rome", "Cairo", "London"))


@pytest.fixture(scope="module")
def postcards(tmp_path_factory: pytest.TempPathFactory) -> Postcards:
    folder = tmp_path_factory.mktemp("postcards")
    return write_postcards(folder, cities=SIX, views_per_city=2, size=SMALL)


def read_gps(path: Path) -> Coordinate | None:
    with Image.open(path) as image:
        gps = image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    if not gps:
        return None
    degrees = []
    for value, ref, negative in (
        (ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef, "S"),
        (ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef, "W"),
    ):
        whole = sum(float(part) / 60**power for power, part in enumerate(gps[value]))
        degrees.append(-whole if gps[ref] == negative else whole)
    return Coordinate(*degrees)


def test_the_same_seed_draws_the_same_pixels_and_another_seed_does_not() -> None:
    first = np.asarray(draw(SIX[0], 3, seed=7, size=SMALL))
    again = np.asarray(draw(SIX[0], 3, seed=7, size=SMALL))
    other = np.asarray(draw(SIX[0], 3, seed=8, size=SMALL))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_same_arguments_write_the_same_bytes(postcards: Postcards, tmp_path: Path) -> None:
    again = write_postcards(tmp_path, cities=SIX[:1], views_per_city=2, size=SMALL)
    for path in [*again.labelled, *(photo.path for photo in again.held_out)]:
        original = postcards.directory / path.relative_to(tmp_path)
        assert path.read_bytes() == original.read_bytes()


def test_two_views_of_a_city_differ() -> None:
    first, second = (np.asarray(draw(SIX[1], view, size=SMALL)).astype(int) for view in (0, 1))
    assert np.abs(first - second).mean() > 5


@pytest.mark.parametrize("city", CITIES, ids=lambda city: city.name)
def test_every_city_can_be_drawn_and_shows_more_than_one_colour(city) -> None:
    image = draw(city, 1, size=SMALL)
    assert image.size == SMALL
    assert image.mode == "RGB"
    assert np.asarray(image).std() > 12


def test_every_word_of_the_city_table_names_something_that_can_be_drawn() -> None:
    for city in CITIES:
        assert city.climate in CLIMATES
        assert set(city.styles) <= set(STYLES)
        assert set(city.trees) - {"none"} <= set(TREES)
        assert set(city.landmarks) <= set(LANDMARKS)
        assert city.script in SCRIPTS
        assert city.ride[0] in VEHICLES
        assert ZoneInfo(city.zone).key == city.zone


def test_cities_lie_on_all_continents_and_on_both_sides_of_every_axis() -> None:
    assert len(CITIES) >= 40
    assert len({city.name for city in CITIES}) == len(CITIES)
    assert {"AQ", "AU", "BR", "EG", "FR", "JP", "US"} <= {city.country for city in CITIES}
    for north in (True, False):
        for east in (True, False):
            assert any(
                (city.center.lat > 0) is north and (city.center.lon > 0) is east for city in CITIES
            )


def test_some_landmarks_stand_in_cities_more_than_1000_km_apart() -> None:
    shared = 0
    for name in LANDMARKS:
        homes = [city.center for city in CITIES if name in city.landmarks]
        assert homes, f"no city has the landmark {name}"
        shared += any(a.distance_km(b) > 1000 for a in homes for b in homes)
    assert shared >= 8


def test_gps_in_exif_reads_back_as_the_coordinate_of_the_shot(postcards: Postcards) -> None:
    expected = [plan_shot(city, view).coordinate for city in SIX for view in range(2)]
    assert len(postcards.labelled) == len(expected)
    for path, coordinate in zip(postcards.labelled, expected, strict=True):
        found = read_gps(path)
        assert found is not None
        assert found.lat == pytest.approx(coordinate.lat, abs=1e-6)
        assert found.lon == pytest.approx(coordinate.lon, abs=1e-6)


def test_a_labelled_photo_says_when_by_whom_and_under_which_licence(postcards: Postcards) -> None:
    shot = plan_shot(SIX[0], 0)
    with Image.open(postcards.labelled[0]) as image:
        exif = image.getexif()
        detail = exif.get_ifd(ExifTags.IFD.Exif)
    local = detail[ExifTags.Base.DateTimeOriginal] + detail[ExifTags.Base.OffsetTimeOriginal]
    assert datetime.strptime(local, "%Y:%m:%d %H:%M:%S%z") == shot.taken_at
    assert exif[ExifTags.Base.Copyright] == "CC0-1.0"
    assert exif[ExifTags.Base.Artist]
    assert "Lisbon" in exif[ExifTags.Base.ImageDescription]


def test_a_caption_with_letters_beyond_ascii_survives_in_exif(tmp_path: Path) -> None:
    made = write_postcards(
        tmp_path, cities=[city_named("Valparaíso")], views_per_city=1, size=SMALL
    )
    with Image.open(made.labelled[0]) as image:
        raw = image.getexif()[ExifTags.Base.ImageDescription]
    assert "Valparaíso" in raw.encode("latin-1").decode("utf-8")


def test_held_out_photos_carry_no_gps_no_caption_and_no_time_zone(postcards: Postcards) -> None:
    assert len(postcards.held_out) == len(SIX)
    for photo in postcards.held_out:
        assert read_gps(photo.path) is None
        with Image.open(photo.path) as image:
            exif = image.getexif()
            assert ExifTags.Base.ImageDescription not in exif
            assert ExifTags.Base.OffsetTimeOriginal not in exif.get_ifd(ExifTags.IFD.Exif)
        assert photo.city.encode() not in photo.path.read_bytes()


def test_the_truth_table_says_where_the_held_out_photos_are(postcards: Postcards) -> None:
    with postcards.manifest.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["city"] for row in rows] == [city.name for city in SIX]
    for row, photo in zip(rows, postcards.held_out, strict=True):
        assert postcards.directory / row["path"] == photo.path
        assert float(row["lat"]) == pytest.approx(photo.coordinate.lat, abs=1e-6)
        assert float(row["lon"]) == pytest.approx(photo.coordinate.lon, abs=1e-6)


def test_asking_for_more_views_changes_neither_the_first_ones_nor_the_held_out(
    postcards: Postcards, tmp_path: Path
) -> None:
    more = write_postcards(tmp_path, cities=SIX[:1], views_per_city=3, size=SMALL)
    assert more.labelled[1].read_bytes() == postcards.labelled[1].read_bytes()
    assert more.held_out[0].path.read_bytes() == postcards.held_out[0].path.read_bytes()


def test_no_held_out_view_is_also_a_labelled_one() -> None:
    held_out = plan_shot(SIX[0], HELD_OUT_FIRST_VIEW)
    assert all(plan_shot(SIX[0], view).coordinate != held_out.coordinate for view in range(50))


def test_views_lie_within_the_scatter_of_their_city_and_spread_over_it() -> None:
    for city in CITIES:
        away = [city.center.distance_km(plan_shot(city, view).coordinate) for view in range(20)]
        assert max(away) <= SCATTER_KM + 0.001
        assert max(away) > SCATTER_KM / 2


def test_progress_counts_every_photo_up_to_the_total(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    write_postcards(
        tmp_path,
        cities=SIX[:2],
        views_per_city=1,
        size=SMALL,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_city_without_postcards_is_refused_with_the_names_of_those_that_have() -> None:
    with pytest.raises(ConfigError, match=r"Atlantis.*Amsterdam"):
        city_named("Atlantis")


@pytest.mark.parametrize("size", [(63, 128), (128, 0)])
def test_a_postcard_too_small_to_draw_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="smallest side is 64"):
        draw(SIX[0], 0, size=size)


def test_negative_counts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="negative"):
        write_postcards(tmp_path, views_per_city=-1)


def test_a_large_photo_is_drawn_at_its_size() -> None:
    assert draw(SIX[0], 0, size=(2448, 1632)).size == (2448, 1632)


def test_the_sun_at_noon_in_winter_stands_lower_the_farther_north() -> None:
    heights = []
    for name, hour in (("Singapore", 13), ("Cairo", 12), ("London", 12), ("Reykjavik", 13)):
        city = city_named(name)
        noon = datetime(2024, 12, 21, hour, tzinfo=ZoneInfo(city.zone))
        heights.append(sun_position(city.center, noon).elevation_deg)
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] < 4 < 60 < heights[0]


def test_the_sun_stands_where_the_almanac_says() -> None:
    # Local noon on a solstice: height is 90° less latitude plus declination (23.44°).
    berlin = sun_position(
        Coordinate(52.52, 13.405), datetime(2024, 6, 21, 13, 8, tzinfo=ZoneInfo("Europe/Berlin"))
    )
    assert berlin.elevation_deg == pytest.approx(90 - 52.52 + 23.44, abs=0.4)
    assert berlin.azimuth_deg == pytest.approx(180, abs=2.5)


def test_the_sun_rises_in_the_east_and_passes_north_of_a_southern_city() -> None:
    sydney = city_named("Sydney")
    morning = datetime(2024, 3, 20, 9, tzinfo=ZoneInfo(sydney.zone))
    noon = morning + timedelta(hours=4)
    assert 45 < sun_position(sydney.center, morning).azimuth_deg < 110
    azimuth = sun_position(sydney.center, noon).azimuth_deg
    assert azimuth < 30 or azimuth > 330


def test_seasons_are_turned_round_south_of_the_equator() -> None:
    assert season_of(50.0, 15) == "winter"
    assert season_of(-50.0, 15) == "summer"
    assert season_of(50.0, 120) == "spring"
    assert season_of(-50.0, 120) == "autumn"


def test_a_late_hour_is_darker_than_noon() -> None:
    views = sorted(range(40), key=lambda view: plan_shot(SIX[3], view).light.sun.elevation_deg)
    dusk, noon = (
        np.asarray(draw(SIX[3], view, size=SMALL)).mean() for view in views[:: len(views) - 1]
    )
    assert dusk < noon - 15


def test_coordinates_on_the_other_side_of_both_axes_keep_their_signs() -> None:
    shot = plan_shot(city_named("Rio de Janeiro"), 0)
    gps = exif_of(shot, caption=None, with_gps=True).get_ifd(ExifTags.IFD.GPSInfo)
    assert gps[ExifTags.GPS.GPSLatitudeRef] == "S"
    assert gps[ExifTags.GPS.GPSLongitudeRef] == "W"
