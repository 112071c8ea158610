"""What one postcard is going to show: where, when, which way, in what weather."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from geosearch.geo import Coordinate, destination
from geosearch.postcards.canvas import RGB, clamp
from geosearch.postcards.city import City
from geosearch.postcards.light import Light, light_of, sun_position

SCATTER_KM = 3.0
"""Views lie at most so far from their city's centre."""


LANDMARK_SHARE = 0.9
"""Of the views of a city that has landmarks, so many show one."""


@dataclass(frozen=True, slots=True)
class Climate:
    """How a climate looks.

    Args:
        cover: mean cloud cover, 0 to 1.
        snow: snow lies on the ground in winter (1), always (2) or never (0).
        seasons: whether leaves turn and fall.
        dust: colour that the air takes near the horizon.
        dust_share: how much of it, 0 to 1.
        visibility_m: distance at which things are two thirds haze, on a clear day.
    """

    cover: float
    snow: int
    seasons: bool
    dust: RGB
    dust_share: float
    visibility_m: float


CLIMATES: dict[str, Climate] = {
    "polar": Climate(0.40, 2, False, (222, 234, 244), 0.35, 900),
    "boreal": Climate(0.50, 1, True, (206, 220, 232), 0.25, 700),
    "continental": Climate(0.40, 1, True, (222, 222, 226), 0.20, 480),
    "temperate": Climate(0.45, 0, True, (214, 222, 226), 0.20, 440),
    "mediterranean": Climate(0.20, 0, False, (240, 228, 208), 0.22, 620),
    "desert": Climate(0.08, 0, False, (240, 208, 158), 0.55, 380),
    "steppe": Climate(0.15, 0, True, (238, 218, 182), 0.35, 700),
    "savanna": Climate(0.25, 0, False, (240, 214, 176), 0.35, 480),
    "tropical": Climate(0.35, 0, False, (206, 230, 232), 0.25, 420),
    "monsoon": Climate(0.45, 0, False, (228, 218, 194), 0.40, 260),
    "highland": Climate(0.30, 0, False, (216, 228, 240), 0.15, 800),
}


@dataclass(frozen=True, slots=True)
class Shot:
    """One view of one city, decided but not drawn.

    Args:
        city: which city.
        view: number of the view.
        coordinate: where the camera stands.
        taken_at: when, in the city's own time zone.
        heading_deg: where the camera looks, clockwise from north.
        composition: name of `scene.COMPOSITIONS`.
        season: `spring`, `summer`, `autumn` or `winter`, of the camera's hemisphere.
        weather: `clear`, `cloudy`, `rain`, `snow` or `fog`.
        snow: whether snow lies on the ground.
        landmark: the landmark in view, if any.
        light: what the sun makes of it.
    """

    city: City
    view: int
    coordinate: Coordinate
    taken_at: datetime
    heading_deg: float
    composition: str
    season: str
    weather: str
    snow: bool
    landmark: str | None
    light: Light

    @property
    def caption(self) -> str:
        """One sentence for a reader, such as ``A canal street in Amsterdam, autumn afternoon``."""
        scene = {
            "avenue": "A street",
            "square": "A row of houses",
            "waterfront": "The waterfront",
            "rooftops": "Over the roofs",
        }[self.composition]
        hour = self.taken_at.hour
        part = "morning" if hour < 11 else "noon" if hour < 14 else "afternoon"
        if hour >= 18:
            part = "evening"
        sky = {
            "clear": "clear",
            "cloudy": "cloudy",
            "rain": "rainy",
            "snow": "snowy",
            "fog": "foggy",
        }
        return f"{scene} in {self.city.name} on a {sky[self.weather]} {self.season} {part}"


def generator_of(city: City, view: int, seed: int, part: str) -> np.random.Generator:
    """The random numbers of one part of one view, independent of every other part's."""
    key = zlib.crc32(f"{city.name}/{part}".encode())
    return np.random.default_rng((seed, key, view))


def season_of(lat: float, day: int) -> str:
    """The season at a latitude on a day of the year (1 to 366), by the calendar of its side."""
    shifted = (day + (182 if lat < 0 else 0)) % 365
    if 79 <= shifted < 172:
        return "spring"
    if 172 <= shifted < 265:
        return "summer"
    return "autumn" if 265 <= shifted < 355 else "winter"


def plan_shot(city: City, view: int, *, seed: int = 0) -> Shot:
    """Decide one view of a city; the same city, view and seed give the same shot."""
    rng = generator_of(city, view, seed, "shot")
    climate = CLIMATES[city.climate]
    coordinate = destination(
        city.center,
        bearing_deg=float(rng.uniform(0, 360)),
        distance_km=SCATTER_KM * float(np.sqrt(rng.uniform(0, 1))),
    )
    # To whole microdegrees, so that the rationals of EXIF say the same coordinate.
    coordinate = Coordinate(round(coordinate.lat, 6), round(coordinate.lon, 6))
    taken_at = _time_of_day(city, coordinate, rng)
    sun = sun_position(coordinate, taken_at)
    season = season_of(coordinate.lat, taken_at.timetuple().tm_yday)
    heading = float(rng.uniform(0, 360))
    cover = clamp(float(rng.normal(climate.cover, 0.22)), 0.0, 1.0)
    weather = "clear" if cover < 0.3 else "cloudy"
    snow = climate.snow == 2 or (climate.snow == 1 and season == "winter" and rng.random() < 0.8)
    if cover > 0.75 and climate.dust_share < 0.5:
        wet = "snow" if snow else "rain"
        weather = str(rng.choice(["cloudy", wet, wet, "fog"]))
    thickness = {"rain": 0.45, "snow": 0.35, "fog": 0.16}.get(weather, 1.0)
    light = light_of(
        sun,
        heading_deg=heading,
        cover=cover,
        visibility_m=climate.visibility_m * thickness * float(rng.uniform(0.7, 1.3)),
        dust=climate.dust,
        dust_share=climate.dust_share,
    )
    choices = ["avenue", "avenue", "square", "square", "rooftops"]
    if city.water:
        choices += ["waterfront", "waterfront"]
    # Every city has a side that photographers prefer, and half of its views show it.
    favourite = choices[zlib.crc32(city.name.encode()) % len(choices)]
    composition = favourite if rng.random() < 0.5 else str(rng.choice(choices))
    landmark = None
    if city.landmarks and rng.random() < LANDMARK_SHARE:
        landmark = city.landmarks[0] if rng.random() < 0.7 else str(rng.choice(city.landmarks))
    return Shot(
        city,
        view,
        coordinate,
        taken_at,
        heading,
        composition,
        season,
        weather,
        snow,
        landmark,
        light,
    )


def _time_of_day(city: City, coordinate: Coordinate, rng: np.random.Generator) -> datetime:
    """A time when people take photos: by day or at dusk, or at noon where no day comes."""
    zone = ZoneInfo(city.zone)
    lowest = float(rng.choice([-5.0, 4.0, 9.0, 12.0, 12.0]))
    noon = datetime(2023, 1, 1, 12, tzinfo=zone) + timedelta(days=int(rng.integers(0, 730)))
    for _ in range(12):
        taken_at = noon + timedelta(
            minutes=int(rng.integers(-330, 500)), seconds=int(rng.integers(60))
        )
        if sun_position(coordinate, taken_at).elevation_deg >= lowest:
            return taken_at
        lowest -= 1.5
    return noon
