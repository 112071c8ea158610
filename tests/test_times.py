from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest

from geosearch.geo import Coordinate
from geosearch.times import local_time_to_utc, parse_date_time, parse_offset, zone_name

LUND, TOKYO, ATLANTIC = Coordinate(55.7, 13.19), Coordinate(35.68, 139.69), Coordinate(30, -40)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2018:07:25 16:34:23", datetime(2018, 7, 25, 16, 34, 23)),
        ("2018:06:26 17:46:33.847", datetime(2018, 6, 26, 17, 46, 33, 847_000)),
        ("2018-07-25T16:34:23Z", datetime(2018, 7, 25, 16, 34, 23, tzinfo=UTC)),
        ("2018-07-25T16:34+0530",
         datetime(2018, 7, 25, 16, 34, tzinfo=timezone(timedelta(hours=5, minutes=30)))),
        ("1936-05-01", datetime(1936, 5, 1)),
        (" 2018:07:25 16:34 ", datetime(2018, 7, 25, 16, 34)),
    ],
)  # fmt: skip
def test_dates_of_cameras_and_of_iso_8601_are_read(text, moment):
    assert parse_date_time(text) == moment


@pytest.mark.parametrize(
    "text",
    ["", " ", "0000:00:00 00:00:00", "2018:02:30 10:00:00", "2018:07:25 25:00:00", "yesterday",
     "1750:01:01 00:00:00", "9999:12:31 23:59:59", "2018:07:25 16:34:23+99:00", "٢٠١٨:٠٧:٢٥"],
)  # fmt: skip
def test_what_is_no_capture_time_is_none(text):
    assert parse_date_time(text) is None


@pytest.mark.parametrize(
    ("text", "hours"), [("Z", 0), ("+14:00", 14), ("-0330", -3.5), ("+00:00", 0)]
)
def test_offsets_are_read(text, hours):
    assert parse_offset(text) == timezone(timedelta(hours=hours))


@pytest.mark.parametrize("text", ["", "+15:00", "+02:75", "2", "+2:00", "CET"])
def test_what_is_no_offset_is_none(text):
    assert parse_offset(text) is None


@pytest.mark.parametrize(
    ("place", "month", "hour"), [(LUND, 1, 11), (LUND, 7, 10), (TOKYO, 7, 3), (ATLANTIC, 7, 15)]
)
def test_local_time_becomes_utc_by_the_zone_and_season_of_the_place(place, month, hour):
    noon = datetime(2020, month, 15, 12)
    assert local_time_to_utc(noon, place) == datetime(2020, month, 15, hour, tzinfo=UTC)


def test_an_hour_that_happens_twice_is_read_as_the_first():
    twice = datetime(2020, 10, 25, 2, 30)
    assert local_time_to_utc(twice, LUND) == datetime(2020, 10, 25, 0, 30, tzinfo=UTC)


def test_a_time_with_a_zone_is_an_error_of_the_caller():
    with pytest.raises(ValueError, match="has a time zone already"):
        local_time_to_utc(datetime(2020, 1, 1, tzinfo=UTC), LUND)


@pytest.mark.parametrize(
    "place", [Coordinate(90, 0), Coordinate(-90, 0), Coordinate(0, 180), Coordinate(0, -180)]
)
def test_poles_and_antimeridian_have_a_zone(place):
    assert zone_name(place) is not None


def test_many_threads_get_the_same_zones():
    places = [Coordinate(lat, lon) for lat in range(-80, 81, 20) for lon in range(-180, 181, 20)]
    alone = [zone_name(place) for place in places]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(zone_name, places * 4)) == alone * 4
