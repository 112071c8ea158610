"""Scenes: how sky, land, houses, trees and people are put together into one picture.

A scene is drawn half as large again and reduced, which is its antialiasing; very large ones are
drawn smaller and enlarged, and the grain laid over them is what fills their files.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from geosearch.errors import ConfigError
from geosearch.postcards.canvas import mix
from geosearch.postcards.city import City
from geosearch.postcards.compositions import COMPOSITIONS
from geosearch.postcards.shots import Shot, generator_of, plan_shot

__all__ = ["draw"]

_LARGEST_CANVAS = 1088
"""Height of the drawing in pixels; larger photos are enlarged from it."""


def draw(
    city: City, view: int, *, seed: int = 0, size: tuple[int, int] = (768, 512)
) -> Image.Image:
    """Draw one view of a city: the same arguments give the same pixels.

    Args:
        city: a row of `CITIES`.
        view: any number from 0; each has its own place, day, hour, weather and composition.
        seed: another seed is another set of views.
        size: width and height in pixels, from 64 up.

    Raises:
        ConfigError: the size is too small to draw in.
    """
    width, height = size
    if width < 64 or height < 64:
        raise ConfigError(f"a postcard of {width}x{height} pixels; the smallest side is 64")
    shot = plan_shot(city, view, seed=seed)
    rng = generator_of(city, view, seed, "scene")
    canvas_height = min(height * 3 // 2, _LARGEST_CANVAS)
    canvas_width = round(canvas_height * width / height)
    picture = COMPOSITIONS[shot.composition](shot, (canvas_width, canvas_height), rng)
    picture = _weather(picture, shot, rng)
    return _develop(picture, size, rng)


def _weather(picture: Image.Image, shot: Shot, rng: np.random.Generator) -> Image.Image:
    """Rain or snow between the camera and the scene."""
    if shot.weather not in ("rain", "snow"):
        return picture
    width, height = picture.size
    veil = Image.new("L", picture.size)
    pen = ImageDraw.Draw(veil)
    count = 320 if shot.weather == "rain" else 420
    slant = float(rng.uniform(-0.2, 0.2))
    xs, ys = rng.uniform(0, width, count).tolist(), rng.uniform(-40, height, count).tolist()
    near = rng.uniform(0.3, 1.0, count).tolist()
    for x, y, size in zip(xs, ys, near, strict=True):
        if shot.weather == "rain":
            reach = height * 0.05 * size
            pen.line((x, y, x + slant * reach, y + reach), fill=int(90 * size), width=2)
        else:
            radius = height * 0.0045 * size
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=int(235 * size))
    colour = mix(shot.light.horizon, (255, 255, 255), 0.5)
    picture.paste(colour, (0, 0, width, height), veil)
    return picture


def _develop(picture: Image.Image, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """What a camera adds: its resolution, a little blur, exposure, colour cast and grain."""
    width, height = size
    exposure = float(rng.normal(1.0, 0.05))
    cast = rng.normal(1.0, 0.015, 3)
    table: list[int] = []
    for band in range(3):
        gain = exposure * float(cast[band])
        # A soft shoulder keeps highlights from clipping flat.
        table += [
            min(255, int(255 * (1 - (1 - level / 255) ** (1.08 * gain)))) for level in range(256)
        ]
    enlarges = picture.width < width
    photo = picture.resize(
        size, Image.Resampling.BICUBIC if enlarges else Image.Resampling.BILINEAR
    )
    photo = photo.point(table)
    if rng.random() < 0.25 and max(size) < 1500:
        photo = photo.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 0.8))))
    strength = float(rng.uniform(1.2, 3.2)) + (3.0 if max(size) > 1500 else 0.0)
    tile = (
        rng.standard_normal((min(height, 256), min(width, 384)), dtype=np.float32) * strength + 128
    )
    repeats = (-(-height // tile.shape[0]), -(-width // tile.shape[1]))
    grain = np.tile(np.clip(tile, 0, 255).astype(np.uint8), repeats)[:height, :width]
    layer = Image.fromarray(np.ascontiguousarray(grain))
    return ImageChops.add(photo, Image.merge("RGB", (layer, layer, layer)), 1.0, -128)
