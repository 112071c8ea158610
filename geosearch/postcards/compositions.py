"""The ways a scene is composed: along a street, across it, over water, over roofs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image

from geosearch.postcards.backdrop import RIDGES, paint_ground, paint_sky
from geosearch.postcards.buildings import STYLES, build
from geosearch.postcards.canvas import mix, rgb, shade
from geosearch.postcards.layout import (
    Canvas,
    Item,
    add_people,
    add_tree,
    aim,
    draw_all,
    put_landmark,
    put_row,
)
from geosearch.postcards.rooftops import compose_rooftops
from geosearch.postcards.shots import Shot
from geosearch.postcards.stage import SNOW, Wall
from geosearch.postcards.street import (
    asphalt_of,
    park_lengthways,
    park_sideways,
    pavement_of,
    stand_lamp,
)
from geosearch.postcards.waterfront import compose_waterfront


def compose_avenue(shot: Shot, size: Canvas, rng: np.random.Generator) -> Image.Image:
    """Along a street with houses on both sides and something at its end."""
    stage = aim(shot, size, rng, horizon=0.60, eye_m=3.0)
    half, walk, city = stage.between(4.5, 6.5), stage.between(2.5, 4.0), shot.city
    edge, far = half + walk, 78.0
    paint_sky(stage)
    RIDGES[city.terrain](stage)
    paint_ground(stage, mix(rgb(city.ground), SNOW, 0.8) if shot.snow else city.ground)
    stage.ground([(-edge, 1.3), (-edge, far), (edge, far), (edge, 1.3)], pavement_of(stage))
    stage.ground([(-half, 1.3), (-half, far), (half, far), (half, 1.3)], asphalt_of(stage))
    kerb = shade(pavement_of(stage), 0.82)
    for side in (-1, 1):
        stage.ground(
            [
                (side * half, 1.3),
                (side * half, far),
                (side * (half + 0.25), far),
                (side * (half + 0.25), 1.3),
            ],
            kerb,
        )
    z = 2.0
    while z < far:
        stage.ground([(-0.09, z), (-0.09, z + 3), (0.09, z + 3), (0.09, z)], city.lane)
        z += 6 if city.lane == "#f4f1e8" else 3
    items: list[Item] = []
    for side in (-1, 1):
        stage.cast([(side * edge, 2.0), (side * edge, far)], 11.0)
        for z in np.arange(stage.between(11, 15), 66, stage.between(8, 13)).tolist():
            add_tree(stage, items, side * (half + 1.0), z, scale=0.8)
        for z in np.arange(stage.between(9, 16), 60, 22).tolist():
            items.append((z, partial(stand_lamp, stage, side * (half + 0.5), z, inward=-side)))
        add_people(
            stage, items, int(stage.rng.integers(1, 6)), (side * (half + 0.6), side * edge), (7, 40)
        )
    ours = -1 if city.drives_left else 1
    for is_oncoming, zs in ((False, (10.0, 34.0)), (True, (13.0, 44.0))):
        if stage.chance(0.75):
            side = -ours if is_oncoming else ours
            kind, colour = city.ride if stage.chance(0.6) else ("car", city.taxi)
            x, z = side * half * 0.5, stage.between(*zs)
            stage.cast([(x - 1, z), (x + 1, z)], 2.2)
            items.append(
                (z, partial(park_lengthways, stage, kind, colour, x, z, is_oncoming=is_oncoming))
            )
    stage.lay_shadows()
    if shot.landmark is None:
        put_row(stage, far + 25)
    else:
        x_share = (stage.camera.center_x / stage.camera.width) + stage.between(-0.05, 0.05)
        put_landmark(stage, x_share, 150.0, stage.between(0.34, 0.52))
    for side in (-1, 1):
        z = stage.between(2.2, 5.0)
        while z < far:
            name = stage.favour(city.styles)
            width = stage.between(*STYLES[name].width_m)
            # Along a wall is left to right for whoever reads its signs from the street.
            ends = ((side * edge, z), (side * edge, z + width))
            wall = Wall(stage, *(ends if side < 0 else ends[::-1]))
            items.append((z + width / 2 + 4, partial(build, stage, wall, name)))
            z += width
    draw_all(items)
    return stage.painter.image


def compose_square(shot: Shot, size: Canvas, rng: np.random.Generator) -> Image.Image:
    """A row of houses across the frame, a road before it, trees and people before that."""
    stage = aim(shot, size, rng, horizon=0.60, eye_m=3.6)
    city, depth = shot.city, stage.between(38, 52)
    paint_sky(stage)
    RIDGES[city.terrain](stage)
    paint_ground(stage, pavement_of(stage))
    near, far = depth * 0.42, depth * 0.66
    wide = stage.camera.span_m(far)[1] + 60
    stage.ground([(-wide, near), (-wide, far), (wide, far), (wide, near)], asphalt_of(stage))
    middle = (near + far) / 2
    for x in np.arange(-wide, wide, 6.0).tolist():
        stage.ground(
            [
                (x, middle - 0.15),
                (x, middle + 0.15),
                (x + 3, middle + 0.15),
                (x + 3, middle - 0.15),
            ],
            city.lane,
        )
    lawn = stage.chance(0.6)
    if lawn:
        green = mix(rgb(city.ground), SNOW, 0.85) if shot.snow else rgb(city.ground)
        stage.ground(
            [(-wide, near * 0.5), (-wide, near * 0.9), (wide, near * 0.9), (wide, near * 0.5)],
            green,
        )
    items: list[Item] = []
    left, right = stage.camera.span_m(near)
    for _ in range(int(stage.rng.integers(1, 4))):
        z = stage.between(near * 0.8, near * 0.97)
        side = stage.between(0.5, 1.0)
        x = left * side if stage.chance(0.5) else right * side
        add_tree(stage, items, x * z / near, z, scale=0.7)
    for x in np.arange(left * 2, right * 2, stage.between(9, 14)).tolist():
        add_tree(stage, items, x, depth * 0.8, scale=0.75)
    add_people(
        stage,
        items,
        int(stage.rng.integers(3, 9)),
        (left * 0.8, right * 0.8),
        (near * 0.6, near * 0.98),
    )
    add_people(stage, items, 5, (left * 1.6, right * 1.6), (depth * 0.7, depth * 0.95))
    for share, to_right in ((0.78, not city.drives_left), (0.3, city.drives_left)):
        kind, colour = city.ride if share == 0.78 or stage.chance(0.3) else ("car", city.taxi)
        if stage.chance(0.8):
            z = near + (far - near) * (1 - share)
            x = stage.between(left * 1.1, right * 1.1)
            stage.cast([(x - 3, z), (x + 3, z)], 2.4)
            items.append((z, partial(park_sideways, stage, kind, colour, x, z, to_right=to_right)))
    stage.cast([(-wide, depth), (wide, depth)], 12.0)
    stage.lay_shadows()
    gap = put_landmark(stage, stage.between(0.25, 0.75), 170.0, stage.between(0.4, 0.55))
    shrink = depth / 170.0
    behind = depth + 24
    if "glass" in city.styles or stage.chance(0.4):
        put_row(stage, behind, gap=(gap[0] * behind / 170.0, gap[1] * behind / 170.0))
    put_row(stage, depth, gap=(gap[0] * shrink, gap[1] * shrink))
    draw_all(items)
    return stage.painter.image


COMPOSITIONS: dict[str, Callable[[Shot, Canvas, np.random.Generator], Image.Image]] = {
    "avenue": compose_avenue,
    "rooftops": compose_rooftops,
    "square": compose_square,
    "waterfront": compose_waterfront,
}
