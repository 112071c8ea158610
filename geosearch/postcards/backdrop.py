"""What lies behind a scene: sky, clouds, hills and mountains, water, bare ground."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from geosearch.postcards.canvas import RGB, Point, mix, rgb, shade
from geosearch.postcards.stage import SNOW, Stage

_STEPS = 96
"""Points along a ridge."""


def paint_sky(stage: Stage) -> None:
    """The sky down to the horizon, with its sun, stars and clouds."""
    light, painter = stage.light, stage.painter
    horizon = stage.camera.horizon_y
    painter.gradient(0, horizon + 2, lambda down: mix(light.zenith, light.horizon, down**1.4))
    if light.sun.elevation_deg < -5:
        for _ in range(60):
            x, y = stage.between(0, painter.width), stage.between(0, horizon * 0.8)
            painter.oval(
                x, y, 1.3, 1.3, mix(light.zenith, (255, 255, 255), stage.between(0.3, 0.8))
            )
    _paint_sun(stage)
    if light.cover > 0.08:
        _paint_clouds(stage)


def _paint_sun(stage: Stage) -> None:
    """The disc and its glow, where the camera looks towards it and it is not under cloud."""
    light, camera = stage.light, stage.camera
    height = light.sun.elevation_deg
    if abs(light.bearing_deg) > 70 or not -4 < height < 40 or light.cover > 0.85:
        return
    x = camera.center_x + camera.focal_px * math.tan(math.radians(light.bearing_deg)) * 0.8
    y = camera.horizon_y - camera.focal_px * math.tan(math.radians(height)) * 0.8
    warm = mix((255, 176, 96), (255, 246, 214), min(1.0, max(0.0, height / 20)))
    stage.painter.glow(x, y, camera.height * 0.75, warm, 0.75 * (1 - light.cover * 0.6))
    if height > -1:
        radius = camera.height * 0.026
        stage.painter.oval(x, y, radius, radius, mix(warm, (255, 255, 240), 0.6))


def _paint_clouds(stage: Stage) -> None:
    """Heaps with flat feet: fewer and whiter in fair weather, a grey ceiling in foul."""
    light, camera, rng = stage.light, stage.camera, stage.rng
    scale = 6
    width, height = camera.width // scale, max(8, int(camera.horizon_y) // scale)
    lower, upper = Image.new("L", (width, height)), Image.new("L", (width, height))
    shadow, bright = ImageDraw.Draw(lower), ImageDraw.Draw(upper)
    for _ in range(2 + int(light.cover * 12)):
        down = float(rng.uniform(0.02, 0.8)) ** 1.2
        foot, middle = down * height, float(rng.uniform(-0.1, 1.1)) * width
        spread = width * float(rng.uniform(0.08, 0.2)) * (1.25 - down) * (1 + light.cover * 0.8)
        for _ in range(8):
            offset = float(rng.normal(0, 0.45)) * spread
            rise = max(0.15, 1 - abs(offset) / spread) * spread * 0.3
            radius = rise * float(rng.uniform(0.8, 1.2))
            box = (
                middle + offset - radius * 1.5,
                foot - rise * 1.3,
                middle + offset + radius * 1.5,
                foot,
            )
            opacity = int(150 + 70 * light.cover)
            shadow.ellipse(box, fill=opacity)
            bright.ellipse((box[0], box[1] - 1, box[2], box[3] - rise * 0.5), fill=opacity)
    white = mix(light.horizon, (255, 255, 255), 0.75 if light.sun.elevation_deg > 3 else 0.1)
    grey = mix(mix(light.horizon, light.zenith, 0.35), (120, 124, 136), 0.35 * light.cover)
    if light.sun.elevation_deg < 0:
        white, grey = mix(light.horizon, light.zenith, 0.25), mix(light.horizon, light.zenith, 0.65)
    white = mix(white, (172, 178, 190), max(0.0, light.cover - 0.5) * 1.3)
    size = (camera.width, height * scale)
    for mask, colour in ((lower, grey), (upper, white)):
        soft = mask.filter(ImageFilter.GaussianBlur(1.6)).resize(size, Image.Resampling.BILINEAR)
        stage.painter.wash(colour, soft)


def _noise(rng: np.random.Generator, octaves: int, first: int) -> NDArray[np.float64]:
    """Value noise along a line, 0 to 1: (_STEPS,)."""
    at = np.linspace(0.0, 1.0, _STEPS)
    total, weight = np.zeros(_STEPS), 0.0
    for octave in range(octaves):
        knots = rng.uniform(0, 1, first * 2**octave + 1)
        gain = 0.5**octave
        total += gain * np.interp(at, np.linspace(0, 1, len(knots)), knots)
        weight += gain
    return total / weight


def _silhouette(stage: Stage, heights: NDArray[np.float64], colour: RGB) -> list[Point]:
    """A ridge filled down to the horizon; heights are shares of the canvas. Returns its crest."""
    camera = stage.camera
    xs = np.linspace(-2, camera.width + 2, len(heights))
    ys = camera.horizon_y - heights * camera.height
    crest = list(zip(xs.tolist(), ys.tolist(), strict=True))
    stage.painter.poly(
        [(-2, camera.horizon_y + 3), *crest, (camera.width + 2, camera.horizon_y + 3)], colour
    )
    return crest


def _snowline(stage: Stage) -> float:
    """Height, as a share of the canvas, above which snow lies on mountains."""
    lat = abs(stage.shot.city.center.lat)
    base = 0.24 - lat * 0.0022 - (0.05 if stage.shot.season == "winter" else 0.0)
    return 0.0 if stage.shot.snow else max(0.05, base)


def _mountains(stage: Stage) -> None:
    """Two ranges with facets of light and shade, snow on top."""
    rng = stage.rng
    for depth, gain in ((900.0, 0.30), (480.0, 0.17)):
        ridged = (1 - np.abs(_noise(rng, 4, 5) * 2 - 1)) ** 1.5
        heights = gain * (0.25 + 0.75 * ridged)
        rock = stage.ink((112, 110, 124), 0.6, depth * 0.6)
        snow = stage.ink(SNOW, 0.8, depth * 0.45)
        crest = _silhouette(stage, heights, snow)
        line = _snowline(stage) + 0.035 * (rng.random(_STEPS) - 0.5)
        _silhouette(stage, np.minimum(heights, line), rock)
        dark = mix(rock, stage.light.zenith, 0.3)
        side = 1 if stage.light.toward_sun[0] < 0 else -1
        for at in range(2, _STEPS - 3):
            if heights[at] >= heights[at - 1] and heights[at] > heights[at + 1]:
                x, y = crest[at]
                drop = (stage.camera.horizon_y - y) * 0.8
                stage.painter.poly(
                    [(x, y), (x + side * drop * 0.65, y + drop), (x + side * 4, y + drop)], dark
                )
    _hills(stage, gain=0.06)


def _hills(stage: Stage, gain: float = 0.12) -> None:
    """Rounded hills in the colour of the ground, the farther the bluer."""
    ground = SNOW if stage.shot.snow else rgb(stage.shot.city.ground)
    for depth, part in ((560.0, 1.0), (300.0, 0.62)):
        heights = gain * part * (0.3 + _noise(stage.rng, 2, 4))
        _silhouette(stage, _smooth(heights), stage.ink(mix(ground, (70, 96, 84), 0.35), 0.5, depth))


def _smooth(heights: NDArray[np.float64], width: int = 9) -> NDArray[np.float64]:
    """A running mean that keeps the ends."""
    padded = np.pad(heights, width // 2, mode="edge")
    return np.convolve(padded, np.ones(width) / width, mode="valid")


def _volcano(stage: Stage) -> None:
    """One cone with a white cap over low hills."""
    at = np.linspace(0, 1, _STEPS)
    distance = np.abs(at - stage.between(0.2, 0.8))
    heights = 0.32 * np.exp(-distance / 0.17) + 0.012 * _noise(stage.rng, 4, 9)
    heights = np.minimum(heights, 0.285)
    rock = stage.ink((104, 112, 140), 0.6, 420)
    _silhouette(stage, heights, stage.ink(SNOW, 0.8, 300))
    cap = max(0.07, _snowline(stage) + 0.06) + 0.05 * (stage.rng.random(_STEPS) - 0.5)
    if not stage.shot.snow:
        _silhouette(stage, np.minimum(heights, cap), rock)
    _hills(stage, gain=0.05)


def _table(stage: Stage) -> None:
    """A long flat mountain with steep ends."""
    at = np.linspace(0, 1, _STEPS)
    left = stage.between(0.0, 0.25)
    right = left + stage.between(0.5, 0.65)
    heights = 0.235 * np.clip(np.minimum((at - left + 0.1) / 0.1, (right + 0.1 - at) / 0.1), 0, 1)
    heights = (
        heights
        + 0.05 * _noise(stage.rng, 3, 8) * (heights < 0.2)
        + 0.004 * stage.rng.random(_STEPS)
    )
    rock = stage.ink((118, 116, 112), 0.7, 300)
    crest = _silhouette(stage, heights, rock)
    for x, y in crest[::3]:
        stage.painter.line([(x, y + 6), (x + 5, y + 90)], mix(rock, stage.light.zenith, 0.25), 5)
    _hills(stage, gain=0.11)


def _humps(stage: Stage) -> None:
    """Steep round hills, green to the top."""
    at = np.linspace(0, 1, _STEPS)
    for depth, tall in ((420.0, 0.26), (260.0, 0.15)):
        heights = np.full(_STEPS, 0.02)
        for _ in range(4):
            middle, width = stage.between(-0.05, 1.05), stage.between(0.05, 0.14)
            bump = np.sqrt(np.clip(1 - ((at - middle) / width) ** 2, 0, 1))
            heights = np.maximum(heights, tall * stage.between(0.4, 1.0) * bump)
        _silhouette(stage, _smooth(heights, 3), stage.ink((74, 112, 78), 0.6, depth))
    _hills(stage, gain=0.05)


def _mesa(stage: Stage) -> None:
    """Red tables with banded sides, a blue range behind."""
    _silhouette(stage, 0.10 * (0.4 + _noise(stage.rng, 3, 5)), stage.ink((110, 112, 140), 0.5, 700))
    at = np.linspace(0, 1, _STEPS)
    steps = np.zeros(_STEPS)
    for _ in range(3):
        middle, width = stage.between(0, 1), stage.between(0.06, 0.16)
        part = np.clip((width - np.abs(at - middle)) / 0.03, 0, 1)
        steps = np.maximum(steps, part * stage.between(0.07, 0.15))
    for share, colour in ((1.0, (196, 122, 82)), (0.72, (172, 92, 62)), (0.45, (204, 146, 100))):
        _silhouette(stage, 0.02 + steps * share, stage.ink(colour, 0.8, 260))


def _dunes(stage: Stage) -> None:
    """Sand to the horizon."""
    for depth, gain in ((380.0, 0.06), (200.0, 0.035)):
        heights = gain * (0.2 + _smooth(_noise(stage.rng, 2, 5)))
        _silhouette(stage, heights, stage.ink((222, 186, 128), 0.8, depth))


def _cliffs(stage: Stage) -> None:
    """The banded wall of a drowned crater with white houses along its top."""
    base = 0.16 * (0.35 + _smooth(_noise(stage.rng, 3, 3)))
    bands = (
        (1.0, (240, 238, 232)),
        (0.93, (128, 88, 76)),
        (0.6, (160, 112, 88)),
        (0.3, (96, 70, 68)),
    )
    for share, colour in bands:
        _silhouette(stage, base * share, stage.ink(colour, 0.7, 300))


def _flat(stage: Stage) -> None:
    """A far line of trees."""
    heights = 0.018 + 0.02 * _noise(stage.rng, 5, 12)
    _silhouette(stage, heights, stage.ink((92, 110, 96), 0.5, 420))


RIDGES: dict[str, Callable[[Stage], None]] = {
    "cliffs": _cliffs,
    "dunes": _dunes,
    "flat": _flat,
    "hills": _hills,
    "humps": _humps,
    "mesa": _mesa,
    "mountains": _mountains,
    "table": _table,
    "volcano": _volcano,
}


def paint_ground(stage: Stage, colour: RGB | str) -> None:
    """Bare ground from the horizon to the feet."""
    camera = stage.camera
    plain = rgb(colour) if isinstance(colour, str) else colour
    drop = camera.height - camera.horizon_y

    def ink(down: float) -> RGB:
        depth = camera.focal_px * camera.eye_m / max(1.0, down * drop)
        return stage.ink(plain, stage.ground_lit, min(depth, 2000.0))

    stage.painter.gradient(camera.horizon_y, camera.height, ink)


def paint_water(stage: Stage, near_m: float) -> None:
    """Water from the horizon to `near_m` before the camera, with its ripples and glints."""
    light, camera, rng = stage.light, stage.camera, stage.rng
    bottom = stage.at(0, 0, near_m)[1]
    sea = stage.shot.city.water == "sea"
    own = (24, 92, 118) if sea else (74, 96, 84)
    if stage.shot.city.climate == "tropical" and sea:
        own = (26, 138, 148)
    deep = mix(stage.ink(own, 0.5), light.zenith, 0.35)
    stage.painter.gradient(
        camera.horizon_y, bottom, lambda down: mix(light.horizon, deep, min(1.0, 0.25 + down * 1.2))
    )
    for _ in range(90):
        down = float(rng.uniform(0, 1)) ** 1.6
        y = camera.horizon_y + 2 + down * (bottom - camera.horizon_y)
        x, half = (
            float(rng.uniform(0, camera.width)),
            (6 + 60 * down) * float(rng.uniform(0.4, 1.2)),
        )
        tone = mix(deep, light.horizon, 0.55) if rng.random() < 0.55 else shade(deep, 0.82)
        stage.painter.oval(x, y, half, 1 + 2.4 * down, tone)
    if abs(light.bearing_deg) < 60 and 0 < light.sun.elevation_deg < 35 and light.cover < 0.7:
        x = camera.center_x + camera.focal_px * math.tan(math.radians(light.bearing_deg)) * 0.8
        gold = mix(light.horizon, (255, 240, 200), 0.7)
        for _ in range(60):
            down = float(rng.uniform(0, 1))
            y = camera.horizon_y + down * (bottom - camera.horizon_y)
            half = (8 + 26 * down) * float(rng.uniform(0.3, 1))
            stage.painter.oval(x + float(rng.normal(0, 18 + 40 * down)), y, half, 1.5, gold)
