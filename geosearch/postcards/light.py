"""Sun and light: where the sun stands at a place and time, and what colour that makes things.

The position is the low-precision almanac (about 0.3° wrong); refraction is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from geosearch.geo import Coordinate
from geosearch.postcards.canvas import RGB, clamp, mix, ramp


@dataclass(frozen=True, slots=True)
class Sun:
    """Where the sun stands: height above the horizon and azimuth clockwise from north, degrees."""

    elevation_deg: float
    azimuth_deg: float


def sun_position(coordinate: Coordinate, when: datetime) -> Sun:
    """Where the sun stands over a place at an instant; `when` must carry a time zone.

    Source: Spencer (1971), Fourier series of the declination and the equation of time.
    """
    utc = when.astimezone(UTC)
    minutes = utc.hour * 60 + utc.minute + utc.second / 60
    day = utc.timetuple().tm_yday - 1 + (minutes - 720) / 1440
    g = 2 * math.pi * day / 365
    declination = (
        0.006918
        - 0.399912 * math.cos(g)
        + 0.070257 * math.sin(g)
        - 0.006758 * math.cos(2 * g)
        + 0.000907 * math.sin(2 * g)
    )
    equation_min = 229.18 * (
        0.000075
        + 0.001868 * math.cos(g)
        - 0.032077 * math.sin(g)
        - 0.014615 * math.cos(2 * g)
        - 0.040849 * math.sin(2 * g)
    )
    hour_angle = math.radians((minutes + equation_min + 4 * coordinate.lon) / 4 - 180)
    lat_rad = math.radians(coordinate.lat)
    sine = math.sin(lat_rad) * math.sin(declination) + math.cos(lat_rad) * math.cos(
        declination
    ) * math.cos(hour_angle)
    azimuth = math.atan2(
        -math.sin(hour_angle),
        math.tan(declination) * math.cos(lat_rad) - math.sin(lat_rad) * math.cos(hour_angle),
    )
    return Sun(math.degrees(math.asin(clamp(sine, -1, 1))), math.degrees(azimuth) % 360)


# Stops are (sun height in degrees, colour).
_ZENITH: tuple[tuple[float, RGB], ...] = (
    (-10, (14, 20, 50)),
    (-3, (44, 58, 118)),
    (4, (92, 130, 190)),
    (14, (70, 138, 206)),
    (50, (44, 118, 204)),
)
_HORIZON: tuple[tuple[float, RGB], ...] = (
    (-10, (52, 56, 98)),
    (-3, (232, 128, 110)),
    (3, (255, 196, 138)),
    (12, (242, 228, 206)),
    (50, (196, 224, 240)),
)
# Light is in percent of full, for red, green and blue.
_BEAM: tuple[tuple[float, RGB], ...] = (
    (-6, (0, 0, 0)),
    (-1, (16, 8, 5)),
    (4, (62, 40, 20)),
    (15, (64, 54, 38)),
    (50, (60, 56, 48)),
)
_AMBIENT: tuple[tuple[float, RGB], ...] = (
    (-10, (20, 23, 36)),
    (-3, (42, 40, 52)),
    (5, (52, 52, 60)),
    (50, (56, 58, 62)),
)


@dataclass(frozen=True, slots=True)
class Light:
    """The light of one scene.

    Args:
        sun: where the sun stands.
        bearing_deg: of the sun from the camera's heading, -180 to 180, positive to the right.
        cover: share of the sky under cloud, 0 to 1.
        visibility_m: distance at which things are two thirds haze.
        zenith: colour of the sky overhead.
        horizon: colour of the sky at the horizon, and of haze.
        beam: direct light, factors for red, green and blue.
        ambient: light from the sky, factors for red, green and blue.
    """

    sun: Sun
    bearing_deg: float
    cover: float
    visibility_m: float
    zenith: RGB
    horizon: RGB
    beam: tuple[float, float, float]
    ambient: tuple[float, float, float]

    @property
    def is_dark(self) -> bool:
        """Whether lamps and windows are lit."""
        return self.sun.elevation_deg < 2.5

    @property
    def toward_sun(self) -> tuple[float, float]:
        """Unit vector along the ground to the sun: (right, away from the camera)."""
        angle = math.radians(self.bearing_deg)
        return math.sin(angle), math.cos(angle)

    def facing(self, right: float, away: float) -> float:
        """How squarely the sun meets an upright wall with that outward normal, 0 to 1."""
        x, z = self.toward_sun
        return max(0.0, (right * x + away * z) * math.cos(math.radians(self.sun.elevation_deg)))

    def tint(self, colour: RGB, lit: float = 0.7, depth_m: float = 0.0) -> RGB:
        """The colour as it reaches the camera: lit 0 (shade) to 1 (full sun), then haze."""
        haze = 1 - math.exp(-depth_m / self.visibility_m) if depth_m > 0 else 0.0
        red, green, blue = (
            min(255.0, value * (sky + lit * sun)) * (1 - haze) + far * haze
            for value, sky, sun, far in zip(
                colour, self.ambient, self.beam, self.horizon, strict=True
            )
        )
        return int(red), int(green), int(blue)


def light_of(
    sun: Sun, *, heading_deg: float, cover: float, visibility_m: float, dust: RGB, dust_share: float
) -> Light:
    """The light under a sun and a sky; `dust` colours the horizon by `dust_share`, 0 to 1."""
    height = sun.elevation_deg
    grey = ramp(_AMBIENT, height)
    overcast: RGB = tuple(int(value * 3.35) for value in grey)  # type: ignore[assignment]
    zenith = mix(ramp(_ZENITH, height), overcast, cover * 0.85)
    horizon = mix(ramp(_HORIZON, height), overcast, cover * 0.75)
    horizon = mix(horizon, dust, dust_share if height > 0 else dust_share / 3)
    beam = ramp(_BEAM, height)
    ambient = tuple(
        (value + cover * 0.35 * sunny) / 100 for value, sunny in zip(grey, beam, strict=True)
    )
    direct = tuple(value * (1 - 0.9 * cover) / 100 for value in beam)
    bearing = (sun.azimuth_deg - heading_deg + 180) % 360 - 180
    return Light(
        sun,
        bearing,
        cover,
        visibility_m,
        zenith,
        horizon,
        (direct[0], direct[1], direct[2]),
        (ambient[0], ambient[1], ambient[2]),
    )
