"""What scenes are drawn with: colours, a pinhole camera in metres, and a painter.

World axes: x to the right, y up from the ground, z away from the camera, all in metres.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

RGB = tuple[int, int, int]
Point = tuple[float, float]


def clamp(value: float, low: float, high: float) -> float:
    """The value, kept inside [low, high]."""
    return low if value < low else high if value > high else value


@lru_cache(maxsize=1024)
def rgb(text: str) -> RGB:
    """The colour written as `#rrggbb`."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def mix(first: RGB, second: RGB, share: float) -> RGB:
    """A colour between two; share 0 is the first, 1 the second."""
    return (
        int(first[0] + (second[0] - first[0]) * share),
        int(first[1] + (second[1] - first[1]) * share),
        int(first[2] + (second[2] - first[2]) * share),
    )


def shade(colour: RGB, factor: float) -> RGB:
    """The colour made darker (factor below 1) or lighter."""
    return (
        min(255, int(colour[0] * factor)),
        min(255, int(colour[1] * factor)),
        min(255, int(colour[2] * factor)),
    )


def ramp(stops: Sequence[tuple[float, RGB]], at: float) -> RGB:
    """The colour of a piecewise linear scale; held constant beyond its ends."""
    if at <= stops[0][0]:
        return stops[0][1]
    for (low, first), (high, second) in pairwise(stops):
        if at <= high:
            return mix(first, second, (at - low) / (high - low))
    return stops[-1][1]


@dataclass(frozen=True, slots=True)
class Camera:
    """A level pinhole camera; pixels of the canvas, metres of the world."""

    width: int
    height: int
    focal_px: float
    center_x: float
    horizon_y: float
    eye_m: float

    def project(self, x: float, y: float, z: float) -> Point:
        """Where a point of the world falls on the canvas; z must be positive."""
        scale = self.focal_px / z
        return self.center_x + x * scale, self.horizon_y - (y - self.eye_m) * scale

    def span_m(self, z: float) -> tuple[float, float]:
        """The leftmost and rightmost x that the frame shows at that distance."""
        scale = z / self.focal_px
        return -self.center_x * scale, (self.width - self.center_x) * scale


class Painter:
    """Flat shapes on an RGB image; coordinates in canvas pixels, y down."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height))
        self._draw = ImageDraw.Draw(self.image)
        self.width = width
        self.height = height

    def poly(self, points: Sequence[Point], colour: RGB) -> None:
        """A filled polygon."""
        self._draw.polygon(points, fill=colour)

    def rect(self, x0: float, y0: float, x1: float, y1: float, colour: RGB) -> None:
        """A filled rectangle between two corners in any order."""
        self._draw.rectangle((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), fill=colour)

    def oval(self, x: float, y: float, rx: float, ry: float, colour: RGB) -> None:
        """A filled ellipse about a centre."""
        self._draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=colour)

    def ring(self, x: float, y: float, radius: float, colour: RGB, width: float) -> None:
        """A circle's outline."""
        self._draw.ellipse(
            (x - radius, y - radius, x + radius, y + radius),
            outline=colour,
            width=max(1, round(width)),
        )

    def line(self, points: Sequence[Point], colour: RGB, width: float) -> None:
        """A polyline with rounded joints when it is wide."""
        pixels = max(1, round(width))
        self._draw.line(points, fill=colour, width=pixels, joint="curve" if pixels > 3 else None)

    def wash(self, colour: RGB, mask: Image.Image, at: tuple[int, int] = (0, 0)) -> None:
        """Colour laid over the canvas through an `L` mask of opacity, its corner at `at`."""
        self.image.paste(colour, (*at, at[0] + mask.width, at[1] + mask.height), mask)

    def glow(self, x: float, y: float, radius: float, colour: RGB, strength: float) -> None:
        """A soft disc of light, strongest in the middle; strength 0 to 1."""
        size = max(2, int(2 * radius))
        mask = (
            _radial()
            .resize((size, size), Image.Resampling.BILINEAR)
            .point(lambda value: value * strength)
        )
        self.wash(colour, mask, (int(x - radius), int(y - radius)))

    def gradient(self, top: float, bottom: float, colour_at: Callable[[float], RGB]) -> None:
        """Rows from `top` to `bottom`, coloured by their share of the way down, 0 to 1."""
        first, last = max(0, int(top)), min(self.height, math.ceil(bottom))
        if last <= first:
            return
        stops = np.linspace(0.0, 1.0, 17)
        table = np.array([colour_at(float(stop)) for stop in stops], dtype=np.float64)  # (17, 3)
        rows = (np.arange(first, last) - top) / max(1e-9, bottom - top)
        column = np.stack([np.interp(rows, stops, table[:, band]) for band in range(3)], axis=-1)
        strip = Image.fromarray(column[:, None, :].astype(np.uint8))  # (rows, 1, 3)
        size = (self.width, last - first)
        self.image.paste(strip.resize(size, Image.Resampling.NEAREST), (0, first))


@lru_cache(maxsize=1)
def _radial() -> Image.Image:
    """White in the middle, black at the rim, falling off as the square: (128, 128) `L`."""
    axis = np.linspace(-1.0, 1.0, 128)
    distance = np.hypot(axis[:, None], axis[None, :])
    return Image.fromarray((np.clip(1.0 - distance, 0.0, 1.0) ** 2 * 255).astype(np.uint8))
