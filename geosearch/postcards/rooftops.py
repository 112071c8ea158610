"""A scene from a height, over row behind row of houses."""

from __future__ import annotations

import numpy as np
from PIL import Image

from geosearch.postcards.backdrop import RIDGES, paint_ground, paint_sky
from geosearch.postcards.buildings import STYLES, build
from geosearch.postcards.canvas import mix, rgb, shade
from geosearch.postcards.layout import (
    Canvas,
    aim,
    put_landmark,
    tree_name,
)
from geosearch.postcards.plants import plant_tree
from geosearch.postcards.shots import Shot
from geosearch.postcards.stage import SNOW, Figure, Stage, Wall


def compose_rooftops(shot: Shot, size: Canvas, rng: np.random.Generator) -> Image.Image:
    """From a height over row behind row of houses."""
    stage = aim(shot, size, rng, horizon=0.34, eye_m=30.0)
    paint_sky(stage)
    RIDGES[shot.city.terrain](stage)
    ground = rgb(shot.city.ground)
    paint_ground(stage, mix(ground, SNOW, 0.8) if shot.snow else mix(ground, (110, 104, 98), 0.3))
    mark = stage.between(95, 130)
    x_share, tall = stage.between(0.2, 0.8), stage.between(0.38, 0.55)
    _far_town(stage, 250.0)
    z, is_marked = 240.0, shot.landmark is None
    while z > 30:
        if not is_marked and z < mark:
            put_landmark(stage, x_share, z, tall)
            is_marked = True
        _block_row(stage, z)
        z *= 0.83
    return stage.painter.image


def _far_town(stage: Stage, nearest: float) -> None:
    """Houses too far to be more than a front and a roof, out to the haze."""
    city, z = stage.shot.city, 900.0
    roof = SNOW if stage.shot.snow else rgb(city.roof)
    while z > nearest:
        left, right = stage.camera.span_m(z)
        for x in np.arange(left, right, 17.0).tolist():
            x, wide, tall = x + stage.between(-6, 6), stage.between(9, 20), stage.between(5, 14)
            if "glass" in city.styles and stage.chance(0.04):
                tall *= 4
            figure = Figure(stage, x, z + stage.between(0, z * 0.08))
            figure.rect(0, 0, wide, tall, figure.ink(stage.pick(city.walls)))
            figure.rect(
                -0.5, tall, wide + 0.5, tall + 4, figure.ink(shade(roof, stage.between(0.85, 1.1)))
            )
        z *= 0.88


def _block_row(stage: Stage, z: float) -> None:
    """One row of houses seen from above: roofs first, then the fronts under them, then trees."""
    left, right = stage.camera.span_m(z)
    x = left - stage.between(0, 10)
    city = stage.shot.city
    while x < right:
        name = stage.favour([style for style in city.styles if style != "glass"] or city.styles)
        style = STYLES[name]
        width, deep = stage.between(*style.width_m), 8.0
        if z > 60 and "glass" in city.styles and stage.chance(0.06):
            name = "glass"
        if stage.chance(0.85):
            _block(stage, name, x, z + stage.between(-2, 2), width, deep)
        x += width + stage.between(0.3, 2.5)
    for x in np.arange(left, right, max(7.0, z / 8)).tolist():
        name_of_tree = tree_name(stage)
        if name_of_tree is not None and stage.chance(0.45):
            plant_tree(stage, name_of_tree, x + stage.between(-3, 3), z - 4, scale=0.8)


def _block(stage: Stage, name: str, x: float, z: float, width: float, deep: float) -> None:
    """A house with its roof as seen from above."""
    state = stage.rng.bit_generator.state
    style = STYLES[name]
    storeys = int(stage.rng.integers(style.storeys[0], style.storeys[1] + 1))
    stage.rng.bit_generator.state = state  # `build` draws the same number of storeys again
    height = storeys * style.storey_m + 0.5
    roof = SNOW if stage.shot.snow else rgb(stage.shot.city.roof)
    back = z + deep
    if style.roof in ("hip", "gable", "eaves", "upturned", "chimneys", "mansard", "low-gable"):
        rise = deep * 0.32
        ridge = [
            stage.at(x + 0.6, height + rise, z + deep / 2),
            stage.at(x + width - 0.6, height + rise, z + deep / 2),
        ]
        eaves = [stage.at(x + width + 0.3, height - 0.1, z), stage.at(x - 0.3, height - 0.1, z)]
        wall = Wall(stage, (x, z), (x + width, z))
        build(stage, wall, name, has_roof=False)
        ink = stage.ink(
            shade(roof, stage.between(0.88, 1.08)), 0.35 + 0.5 * stage.light.facing(0, -1), z
        )
        stage.painter.poly([*ridge, *eaves], ink)
        if wall.px > 9:
            for part in (0.33, 0.66):
                ends = [
                    (a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part)
                    for a, b in ((ridge[0], eaves[1]), (ridge[1], eaves[0]))
                ]
                stage.painter.line(ends, mix(ink, (40, 30, 40), 0.16), 2)
    else:
        top = [
            stage.at(x, height, z),
            stage.at(x + width, height, z),
            stage.at(x + width, height, back),
            stage.at(x, height, back),
        ]
        flat = (
            SNOW
            if stage.shot.snow
            else mix(rgb(stage.pick(stage.shot.city.walls)), (150, 144, 138), 0.5)
        )
        stage.painter.poly(top, stage.ink(flat, stage.ground_lit, z))
        build(stage, Wall(stage, (x, z), (x + width, z)), name)
