"""What is known of one city, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from geosearch.geo import Coordinate


@dataclass(frozen=True, slots=True)
class City:
    """One city: where it is and how a street of it is recognised.

    Args:
        name: English name; together with a seed and a view number it decides every pixel.
        country: ISO 3166-1 alpha-2 code.
        center: the middle of town; views lie within 3 km of it.
        zone: IANA time zone.
        climate: key of `plants.CLIMATES`; decides snow, seasons and haze.
        styles: names of `buildings.STYLES`, the first one commonest.
        walls: wall colours, as `#rrggbb`.
        roof: colour of pitched roofs.
        trees: names of `plants.TREES`, the first one commonest.
        ground: colour of verges and hills.
        terrain: name of `backdrop.RIDGES`.
        water: `sea`, `river` or nothing.
        script: name of `street.SCRIPTS`, how shop signs are written.
        ride: the vehicle that the town is known for and its colour.
        taxi: colour of taxis.
        landmarks: names of `landmarks.LANDMARKS`; several cities share one on purpose.
        lane: colour of the centre line.
        drives_left: whether traffic keeps to the left.
    """

    name: str
    country: str
    center: Coordinate
    zone: str
    climate: str
    styles: tuple[str, ...]
    walls: tuple[str, ...]
    roof: str
    trees: tuple[str, ...]
    ground: str
    terrain: str
    water: str
    script: str
    ride: tuple[str, str]
    taxi: str
    landmarks: tuple[str, ...]
    lane: str = "#f4f1e8"
    drives_left: bool = False


def city_row(
    name: str,
    country: str,
    lat: float,
    lon: float,
    zone: str,
    climate: str,
    *,
    styles: str,
    walls: str,
    roof: str,
    trees: str,
    ground: str,
    terrain: str = "flat",
    water: str = "",
    script: str = "latin",
    ride: str = "bus #3b6ea5",
    taxi: str = "#e8e4da",
    landmarks: str = "",
    lane: str = "#f4f1e8",
    drives_left: bool = False,
) -> City:
    """A row of the table, with lists written as words between spaces."""
    kind, colour = ride.split()
    return City(
        name,
        country,
        Coordinate(lat, lon),
        zone,
        climate,
        tuple(styles.split()),
        tuple(walls.split()),
        roof,
        tuple(trees.split()),
        ground,
        terrain,
        water,
        script,
        (kind, colour),
        taxi,
        tuple(landmarks.split()),
        lane,
        drives_left,
    )
