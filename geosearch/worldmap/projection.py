"""The flat world: the Natural Earth projection, outlines of the land, circles on the sphere.

Map units: the world is 1,000 wide and `HEIGHT` high, x to the right and y down from the corner.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from geosearch.exports.circles import circle_rings
from geosearch.geo import Coordinate

WIDTH = 1000.0
_UNIT = WIDTH / (2 * math.pi * 0.8707)
HEIGHT = 2 * 1.4223873 * _UNIT
_LONGEST_EDGE_DEG = 2.5  # longer straight edges would not follow the map's curved rim

Lines = Sequence[Sequence[tuple[float, float]]]
"""Rings or lines of (lon, lat) in degrees."""


def project(lat: NDArray[np.float64], lon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map units (n, 2) of degrees (n,) and (n,).

    Source: Šavrič, Jenny, Patterson, Petrovič, Hurni (2011), a polynomial equation for the Natural
    Earth projection.
    """
    phi, lam = np.radians(lat), np.radians(lon)
    squared = phi * phi
    fourth = squared * squared
    across = 0.8707 - 0.131979 * squared - 0.013791 * fourth
    across += fourth * fourth * squared * (0.003971 - 0.001529 * squared)
    up = 1.007226 + 0.015085 * squared
    up += fourth * squared * (-0.044475 + 0.028874 * squared - 0.005916 * fourth)
    return np.stack([WIDTH / 2 + _UNIT * lam * across, HEIGHT / 2 - _UNIT * phi * up], axis=-1)


def place(coordinate: Coordinate) -> tuple[float, float]:
    """Map units of one coordinate."""
    x, y = project(np.array([coordinate.lat]), np.array([coordinate.lon]))[0]
    return float(x), float(y)


def path_of(lines: Lines, *, is_closed: bool) -> str:
    """The `d` of an SVG path through rings or lines, with long edges made to follow the sphere."""
    parts: list[str] = []
    for line in lines:
        lon, lat = _dense(np.asarray(line, dtype=np.float64)).T
        points = np.round(project(lat, lon), 2)
        keep = np.append(True, (np.diff(points, axis=0) != 0).any(axis=1))
        text = "L".join(f"{x:g} {y:g}" for x, y in points[keep].tolist())
        parts.append(f"M{text}{'Z' if is_closed else ''}")
    return "".join(parts)


def _dense(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """The line (n, 2) with points put in until no edge is longer than `_LONGEST_EDGE_DEG`."""
    steps = np.ceil(np.abs(np.diff(line, axis=0)).max(axis=1) / _LONGEST_EDGE_DEG)
    if len(line) < 2 or steps.max() <= 1:
        return line
    counts = np.maximum(steps, 1).astype(np.int64)
    at = np.repeat(np.arange(len(counts)), counts).astype(np.float64)
    at += np.concatenate([np.arange(count) / count for count in counts])
    at = np.append(at, len(counts))
    known = np.arange(len(line))
    return np.stack([np.interp(at, known, line[:, axis]) for axis in (0, 1)], axis=-1)


def circle_path(center: Coordinate, radius_km: float) -> str:
    """The `d` of a circle on the sphere, in parts where it crosses ±180, round a pole it holds."""
    # A circle of no size is a dot that the pin covers; ten metres keep its geometry valid.
    polygons = circle_rings(center, max(radius_km, 0.01))
    rings = [[(lon, lat) for lon, lat in ring] for polygon in polygons for ring in polygon]
    return path_of(rings, is_closed=True)


@lru_cache(maxsize=1)
def outlines() -> tuple[str, str, str, str]:
    """Paths of the globe's rim, the graticule, the land and the borders."""
    asset = files("geosearch") / "assets" / "land-110m.json"
    document = json.loads(asset.read_text(encoding="utf-8"))
    unit = float(document["unit_deg"])
    meridian = [(180.0, lat) for lat in (-90.0, 90.0)]
    rim = [*meridian, *[(-lon, -lat) for lon, lat in meridian]]
    grid: list[list[tuple[float, float]]] = [
        [(float(lon), -90.0), (float(lon), 90.0)] for lon in range(-150, 180, 30)
    ]
    grid += [[(-180.0, float(lat)), (180.0, float(lat))] for lat in range(-60, 90, 30)]
    land = (_decoded(ring, unit) for polygon in document["land"] for ring in polygon)
    borders = (_decoded(line, unit) for line in document["borders"])
    return (
        path_of([[*rim, rim[0]]], is_closed=True),
        path_of(grid, is_closed=False),
        path_of(list(land), is_closed=True),
        path_of(list(borders), is_closed=False),
    )


def _decoded(flat: Iterable[int], unit: float) -> list[tuple[float, float]]:
    """A line of the asset, from steps to (lon, lat) degrees."""
    points = np.cumsum(np.array(list(flat), dtype=np.int64).reshape(-1, 2), axis=0) * unit
    return [(float(lon), float(lat)) for lon, lat in points]
