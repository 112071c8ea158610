"""The stage of one scene: painter, camera and light together, and the two ways to stand on it.

A `Figure` is a flat cut-out that faces the camera; a `Wall` is an upright plane in perspective.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from geosearch.postcards.canvas import RGB, Camera, Painter, Point, mix, rgb
from geosearch.postcards.light import Light
from geosearch.postcards.shots import Shot

NEAR_M = 1.2
"""Nothing is projected from nearer than this."""

LAMPLIGHT: RGB = (255, 214, 138)
SNOW: RGB = (238, 243, 250)
_SHADOW_SCALE = 4  # shadows are soft, so their mask may be coarse


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that drawing a scene needs; lengths in metres, origin below the camera."""

    painter: Painter
    camera: Camera
    light: Light
    shot: Shot
    rng: np.random.Generator
    shadows: Image.Image

    def at(self, x: float, y: float, z: float) -> Point:
        """Canvas position of a point of the world."""
        return self.camera.project(x, y, max(z, NEAR_M))

    def ink(self, colour: RGB | str, lit: float = 0.7, z: float = 0.0) -> RGB:
        """A colour under this light at that distance."""
        return self.light.tint(rgb(colour) if isinstance(colour, str) else colour, lit, z)

    def ground(self, points: Sequence[tuple[float, float]], colour: RGB | str) -> None:
        """A polygon lying on the ground, given as (x, z)."""
        depth = sum(z for _, z in points) / len(points)
        ink = self.ink(colour, self.ground_lit, depth)
        self.painter.poly([self.at(x, 0.0, z) for x, z in points], ink)

    @property
    def ground_lit(self) -> float:
        """How squarely the sun meets the ground, 0 to 1."""
        return math.pow(max(0.0, math.sin(math.radians(self.light.sun.elevation_deg))), 0.6)

    def cast(self, base: Sequence[tuple[float, float]], height: float) -> None:
        """Remember the shadow of an upright thing over the (x, z) points of its foot."""
        elevation = self.light.sun.elevation_deg
        if elevation < 1.0 or self.light.cover > 0.8:
            return
        reach = min(height / math.tan(math.radians(elevation)), 45.0)
        right, away = self.light.toward_sun
        far = [(x - right * reach, max(NEAR_M, z - away * reach)) for x, z in base]
        outline = [self.at(x, 0.0, z) for x, z in (*base, *reversed(far))]
        ImageDraw.Draw(self.shadows).polygon(
            [(x / _SHADOW_SCALE, y / _SHADOW_SCALE) for x, y in outline], fill=255
        )

    def lay_shadows(self) -> None:
        """Paint all remembered shadows onto what is drawn so far, which should be the ground."""
        strength = 0.46 * (1 - self.light.cover)
        size = (self.painter.width, self.painter.height)
        mask = self.shadows.resize(size, Image.Resampling.BILINEAR)
        self.painter.wash(
            mix((24, 26, 52), self.light.zenith, 0.18), mask.point(lambda value: value * strength)
        )

    def chance(self, share: float) -> bool:
        """True in that share of calls."""
        return bool(self.rng.random() < share)

    def between(self, low: float, high: float) -> float:
        """A number between two, all equally likely."""
        return low + (high - low) * float(self.rng.random())

    def pick(self, options: Sequence[str]) -> str:
        """One of the options, all equally likely."""
        return options[int(self.rng.integers(len(options)))]

    def favour(self, options: Sequence[str]) -> str:
        """One of the options, the first one in more than half of the calls."""
        return options[0] if self.rng.random() < 0.5 else self.pick(options)


def new_stage(shot: Shot, camera: Camera, rng: np.random.Generator) -> Stage:
    """An empty stage for a shot."""
    mask = Image.new("L", (camera.width // _SHADOW_SCALE, camera.height // _SHADOW_SCALE))
    painter = Painter(camera.width, camera.height)
    return Stage(painter, camera, shot.light, shot, rng, mask)


class Figure:
    """A cut-out at (x, z) that faces the camera; its own (a, b) are metres from its foot."""

    def __init__(self, stage: Stage, x: float, z: float, *, scale: float = 1.0) -> None:
        self.stage = stage
        self.z = z
        self.px = stage.camera.focal_px / z * scale
        self._x, self._y = stage.at(x, 0.0, z)
        right, away = stage.light.toward_sun
        self.lit = 0.25 + 0.75 * stage.light.facing(0.0, -1.0)
        self.side = 1.0 if right > 0 else -1.0
        self.is_backlit = away > 0.3

    def ink(self, colour: RGB | str, factor: float = 1.0) -> RGB:
        """A colour as lit on the face of the figure; factor 0.5 is its shaded side."""
        return self.stage.ink(colour, self.lit * factor, self.z)

    def at(self, a: float, b: float) -> Point:
        """Canvas position of a point of the figure."""
        return self._x + a * self.px, self._y - b * self.px

    def poly(self, points: Sequence[Point], ink: RGB) -> None:
        """A polygon in the figure's metres."""
        self.stage.painter.poly([self.at(a, b) for a, b in points], ink)

    def rect(self, a0: float, b0: float, a1: float, b1: float, ink: RGB) -> None:
        """A rectangle in the figure's metres."""
        (x0, y0), (x1, y1) = self.at(a0, b0), self.at(a1, b1)
        self.stage.painter.rect(x0, y0, x1, y1, ink)

    def oval(self, a: float, b: float, ra: float, rb: float, ink: RGB) -> None:
        """An ellipse in the figure's metres."""
        x, y = self.at(a, b)
        self.stage.painter.oval(x, y, ra * self.px, rb * self.px, ink)

    def ring(self, a: float, b: float, radius: float, ink: RGB, width: float) -> None:
        """A circle's outline in the figure's metres."""
        x, y = self.at(a, b)
        self.stage.painter.ring(x, y, radius * self.px, ink, width * self.px)

    def line(self, points: Sequence[Point], ink: RGB, width: float) -> None:
        """A polyline in the figure's metres."""
        self.stage.painter.line([self.at(a, b) for a, b in points], ink, width * self.px)

    def half(
        self, a: float, b: float, ra: float, rb: float, ink: RGB, *, pointed: float = 0.0
    ) -> None:
        """The upper half of an ellipse, its top drawn out by `pointed` metres, as domes are."""
        points = []
        for step in range(17):
            angle = math.pi * step / 16
            lift = pointed * max(0.0, math.sin(angle)) ** 8
            points.append((a + ra * math.cos(angle), b + rb * math.sin(angle) + lift))
        self.poly(points, ink)

    def round_rect(self, a0: float, b0: float, a1: float, b1: float, ink: RGB) -> None:
        """An upright thing that is round in plan: three bands of light across it."""
        self.rect(a0, b0, a1, b1, ink)
        third = (a1 - a0) / 3
        darker = mix(ink, (20, 22, 40), 0.25)
        if self.side > 0:
            self.rect(a0, b0, a0 + third, b1, darker)
        else:
            self.rect(a1 - third, b0, a1, b1, darker)


class Wall:
    """An upright plane from (x0, z0) to (x1, z1); its own (s, y) are metres along and up."""

    def __init__(
        self,
        stage: Stage,
        start: tuple[float, float],
        end: tuple[float, float],
        *,
        base: float = 0.0,
    ) -> None:
        self.stage = stage
        self.x0, self.z0 = start
        self.x1, self.z1 = end
        self.base = base
        self.length = math.hypot(self.x1 - self.x0, self.z1 - self.z0)
        self.z = (self.z0 + self.z1) / 2
        self.is_frontal = self.z0 == self.z1
        # Outward normal: towards the camera for rows across, towards the street for its sides.
        if self.is_frontal:
            self.lit = stage.light.facing(0.0, -1.0)
        else:
            self.lit = stage.light.facing(1.0 if self.x0 < 0 else -1.0, 0.0)
        self.px = stage.camera.focal_px / max(self.z, NEAR_M)

    def ink(self, colour: RGB | str, factor: float = 1.0) -> RGB:
        """A colour as lit on this wall."""
        return self.stage.ink(colour, self.lit * factor, self.z)

    def at(self, s: float, y: float) -> Point:
        """Canvas position of a point of the wall."""
        share = s / self.length
        return self.stage.at(
            self.x0 + (self.x1 - self.x0) * share,
            self.base + y,
            self.z0 + (self.z1 - self.z0) * share,
        )

    def poly(self, points: Sequence[Point], ink: RGB) -> None:
        """A polygon in the wall's metres."""
        self.stage.painter.poly([self.at(s, y) for s, y in points], ink)

    def rect(self, s0: float, y0: float, s1: float, y1: float, ink: RGB) -> None:
        """A rectangle in the wall's metres."""
        if self.is_frontal:
            (ax, ay), (bx, by) = self.at(s0, y0), self.at(s1, y1)
            self.stage.painter.rect(ax, ay, bx, by, ink)
        else:
            self.poly(((s0, y0), (s1, y0), (s1, y1), (s0, y1)), ink)

    def line(self, points: Sequence[Point], ink: RGB, width: float) -> None:
        """A polyline in the wall's metres."""
        self.stage.painter.line([self.at(s, y) for s, y in points], ink, width * self.px)

    def arch(
        self, s0: float, y0: float, s1: float, y1: float, ink: RGB, *, pointed: bool = False
    ) -> None:
        """An opening with a round or pointed top."""
        middle, half = (s0 + s1) / 2, (s1 - s0) / 2
        spring = max(y0, y1 - half * (1.3 if pointed else 1.0))
        if pointed:
            top = [(s1, spring), (s1 - half * 0.35, spring + (y1 - spring) * 0.65), (middle, y1)]
            top.append((s0 + half * 0.35, spring + (y1 - spring) * 0.65))
        else:
            top = [
                (middle + half * math.cos(angle), spring + (y1 - spring) * math.sin(angle))
                for angle in (0.0, 0.6, 1.1, math.pi / 2, 2.04, 2.54)
            ]
        self.poly([(s0, y0), (s1, y0), *top, (s0, spring)], ink)
