"""A scene across water: the far shore, its mirror image, boats, the quay under the camera."""

from __future__ import annotations

from functools import partial

import numpy as np
from PIL import Image, ImageFilter

from geosearch.postcards.backdrop import RIDGES, paint_ground, paint_sky, paint_water
from geosearch.postcards.canvas import mix, rgb
from geosearch.postcards.layout import (
    Canvas,
    Item,
    add_people,
    add_tree,
    aim,
    draw_all,
    put_landmark,
    put_row,
    tree_name,
)
from geosearch.postcards.plants import plant_tree
from geosearch.postcards.shots import Shot
from geosearch.postcards.stage import SNOW, Figure, Stage
from geosearch.postcards.street import (
    pavement_of,
)


def compose_waterfront(shot: Shot, size: Canvas, rng: np.random.Generator) -> Image.Image:
    """The town across the water, mirrored in it, seen from a quay."""
    stage = aim(shot, size, rng, horizon=0.55, eye_m=5.0)
    painter, camera, shore = stage.painter, stage.camera, 115.0
    paint_sky(stage)
    RIDGES[shot.city.terrain](stage)
    paint_ground(stage, mix(rgb(shot.city.ground), SNOW, 0.8) if shot.snow else shot.city.ground)
    gap = put_landmark(stage, stage.between(0.22, 0.78), 180.0, stage.between(0.34, 0.48))
    if "glass" in shot.city.styles or stage.chance(0.3):
        put_row(stage, 240.0, gap=(gap[0] * 1.33, gap[1] * 1.33))
    put_row(stage, shore + 8, gap=(gap[0] * 0.68, gap[1] * 0.68))
    left, right = camera.span_m(shore)
    for x in np.arange(left, right, stage.between(6, 14)).tolist():
        name = tree_name(stage)
        if name is not None and stage.chance(0.7):
            plant_tree(stage, name, x + stage.between(-2, 2), shore + 3, scale=0.9)
    waterline = int(stage.at(0, 0, shore)[1])
    painter.rect(0, waterline - 7, camera.width, waterline, stage.ink((120, 114, 108), 0.5, shore))
    above = painter.image.crop((0, max(0, 2 * waterline - camera.height), camera.width, waterline))
    paint_water(stage, 6.0)
    painter.image.paste(above, (0, waterline - above.height))
    mirror = above.transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize(
        (camera.width // 4, above.height // 12)
    )
    mirror = mirror.filter(ImageFilter.BoxBlur(1)).resize(above.size, Image.Resampling.BICUBIC)
    fade = Image.linear_gradient("L").resize(above.size).point(lambda value: 120 - value * 0.42)
    painter.image.paste(mirror, (0, waterline), fade)
    items: list[Item] = []
    boats = int(stage.rng.integers(1, 5)) if shot.city.climate != "polar" else 0
    for _ in range(boats):
        z = stage.between(26, 85)
        span = camera.span_m(z)
        items.append((z, partial(_sail, stage, stage.between(*span), z)))
    draw_all(items)
    _quay(stage)
    return painter.image


def _sail(stage: Stage, x: float, z: float) -> None:
    """A boat under sail, or a ferry."""
    figure = Figure(stage, x, z)
    hull = figure.ink(stage.pick(("#f2efe6", "#2f4f7a", "#8a4a33", "#c8413a")))
    if stage.chance(0.6):
        figure.poly([(-3.4, 0.9), (-2.6, 0), (2.4, 0), (3.4, 1.0)], hull)
        figure.line([(0, 0.9), (0, 9)], figure.ink((90, 76, 60)), 0.14)
        figure.poly([(0.25, 1.5), (0.25, 8.7), (3.1, 1.7)], figure.ink((246, 241, 228), 1.1))
        figure.poly([(-0.25, 1.6), (-0.25, 7.6), (-2.5, 1.8)], figure.ink((232, 222, 204), 0.8))
    else:
        figure.poly([(-8, 1.9), (-7, 0), (7, 0), (8.4, 2.2)], hull)
        figure.rect(-6, 1.9, 6, 4.0, figure.ink((244, 242, 236)))
        figure.rect(-5.6, 2.6, 5.6, 3.4, figure.ink((70, 86, 104)))
        figure.rect(-3, 4.0, 3, 5.4, figure.ink((244, 242, 236), 0.9))
        figure.rect(-0.8, 5.4, 0.8, 7.4, figure.ink(stage.shot.city.ride[1]))


def _quay(stage: Stage) -> None:
    """The ground the camera stands on, with a rail, a tree or two and people."""
    left, right = stage.camera.span_m(16.0)
    edge = stage.between(15, 18)
    stage.ground(
        [(left * 3, 1.3), (left * 3, edge), (right * 3, edge), (right * 3, 1.3)], pavement_of(stage)
    )
    items: list[Item] = []
    for x in (stage.between(left, left * 0.75), stage.between(right * 0.75, right)):
        if stage.chance(0.65):
            add_tree(stage, items, x, edge - 0.8, scale=0.6)
    add_people(
        stage, items, int(stage.rng.integers(0, 4)), (left * 0.7, right * 0.7), (edge - 3, edge - 1)
    )
    stage.lay_shadows()
    rail = Figure(stage, 0.0, edge)
    iron = rail.ink((66, 68, 74), 0.7)
    for b in (0.45, 1.0):
        rail.line([(left * 1.4, b), (right * 1.4, b)], iron, 0.07)
    for a in np.arange(left * 1.4, right * 1.4, 1.6).tolist():
        rail.line([(a, 0), (a, 1.1)], iron, 0.09)
    draw_all(items)
