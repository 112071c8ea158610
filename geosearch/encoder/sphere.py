"""Points of the globe for the location encoder: projection, Fourier features, spread-out points.

Functions without weights; the modules that use them live in `location`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from geosearch.errors import InvalidCoordinate
from geosearch.geo import EARTH_RADIUS_KM, HALF_EARTH_KM


def checked_degrees(lat_lon: Tensor) -> Tensor:
    """Coordinates (n, 2) as float32, after a look at every value.

    Raises:
        InvalidCoordinate: another shape, a latitude outside ±90, a longitude outside ±180, NaN.
    """
    if lat_lon.ndim != 2 or lat_lon.shape[1] != 2:
        raise InvalidCoordinate(f"coordinates have the shape (n, 2), given: {tuple(lat_lon.shape)}")
    limits = lat_lon.new_tensor([90.0, 180.0])
    # Written so that NaN, which compares as False, is caught too.
    wrong = ~(lat_lon.abs() <= limits).all(dim=1)  # (n,)
    if bool(wrong.any()):
        lat, lon = lat_lon[wrong][0].tolist()
        raise InvalidCoordinate(
            f"latitude {lat:g}, longitude {lon:g}: allowed are (lat, lon) within ±90 and ±180 "
            f"({int(wrong.sum())} of {len(wrong)} coordinates are outside)"
        )
    return lat_lon.float()


def equal_earth(lat_lon: Tensor) -> Tensor:
    """Degrees (n, 2) to the plane (n, 2), x within ±1 and y within ±0.49.

    In float32 and in GeoCLIP's order of operations: frequencies of σ = 256 turn its rounding into
    features, and trained weights know those. Not continuous at ±180; the poles are lines.

    Source: Šavrič, Patterson and Jenny 2018, as in geoclip 1.3.0, `model/location_encoder.py`.
    """
    a1, a2, a3, a4 = 1.340264, -0.081106, 0.000893, 0.003796
    lat_rad, lon_rad = torch.deg2rad(lat_lon[:, 0]), torch.deg2rad(lat_lon[:, 1])
    root = torch.sqrt(lat_lon.new_tensor(3.0))
    theta = torch.asin(root / 2 * torch.sin(lat_rad))
    slope = 3 * (9 * a4 * theta**8 + 7 * a3 * theta**6 + 3 * a2 * theta**2 + a1)
    x = 2 * root * lon_rad * torch.cos(theta) / slope
    y = a4 * theta**9 + a3 * theta**7 + a2 * theta**3 + a1 * theta
    return torch.stack((x, y), dim=1) * 66.50336 / 180  # (n, 2)


def fourier_features(points: Tensor, frequencies: Tensor) -> Tensor:
    """Points (n, 2) and frequencies (f, 2) to cosines and sines (n, 2 f) of 2π·frequency·point."""
    scaled = 2 * math.pi * points
    # Not by matmul: angles reach 5,000, and its rounding may differ from batch to batch.
    angles = torch.addcmul(
        scaled[:, :1] * frequencies[:, 0], scaled[:, 1:], frequencies[:, 1]
    )  # (n, f)
    return torch.cat((angles.cos(), angles.sin()), dim=-1)  # (n, 2 f)


def unit_vectors(lat_lon: Tensor) -> Tensor:
    """Degrees (n, 2) to points on the unit sphere (n, 3)."""
    lat_rad, lon_rad = torch.deg2rad(lat_lon).unbind(1)
    return torch.stack(
        (lat_rad.cos() * lon_rad.cos(), lat_rad.cos() * lon_rad.sin(), lat_rad.sin()), dim=1
    )  # (n, 3)


def chords_to_km(chords: Tensor) -> Tensor:
    """Lengths of chords of the unit sphere to great-circle distances; of any shape.

    From chords, because acos of a dot product near 1 is off by a kilometre in float32.
    """
    return 2.0 * EARTH_RADIUS_KM * (chords / 2.0).clamp(max=1.0).asin()


def fibonacci_lattice(count: int) -> Tensor:
    """Evenly spread coordinates (count, 2) in degrees."""
    steps = torch.arange(count, dtype=torch.float64)
    lat = torch.rad2deg(torch.asin(1.0 - (2.0 * steps + 1.0) / count))
    lon = (steps * 180.0 * (3.0 - math.sqrt(5.0))) % 360.0 - 180.0
    return torch.stack((lat, lon), dim=1).float()  # (count, 2)


def spread_out(vectors: Tensor, count: int) -> Tensor:
    """Numbers (count,) of unit vectors (n, 3), each chosen farthest from those before it."""
    # In numpy: thousands of small steps, for which torch would wake its threads each time.
    x, y, z = np.ascontiguousarray(vectors.cpu().numpy().T)
    chosen = np.zeros(count, np.int64)
    nearest = np.full(len(x), -np.inf, x.dtype)  # cosine to the nearest point chosen
    for step in range(1, count):
        last = chosen[step - 1]
        np.maximum(nearest, x * x[last] + y * y[last] + z * z[last], out=nearest)
        chosen[step] = nearest.argmin()
    return torch.from_numpy(chosen)


def median_spacing_km(vectors: Tensor) -> Tensor:
    """Median great-circle distance () of unit vectors (n, 3) to their nearest other one."""
    if len(vectors) < 2:
        return vectors.new_tensor(HALF_EARTH_KM)
    second = [(part @ vectors.T).topk(2).indices[:, 1] for part in torch.split(vectors, 1024)]
    chords = (vectors - vectors[torch.cat(second)]).norm(dim=1)
    return chords_to_km(chords).median().clamp(min=1.0)
