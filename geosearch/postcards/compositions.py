"""The four ways a scene is composed: along a street, across it, over water, over roofs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image, ImageFilter

from geosearch.postcards.backdrop import RIDGES, paint_ground, paint_sky, paint_water
from geosearch.postcards.buildings import STYLES, build
from geosearch.postcards.canvas import Camera, mix, rgb, shade
from geosearch.postcards.landmarks import LANDMARKS
from geosearch.postcards.plants import TREES, plant_tree
from geosearch.postcards.shots import Shot
from geosearch.postcards.stage import SNOW, Figure, Stage, Wall, new_stage
from geosearch.postcards.street import (
    asphalt_of,
    park_lengthways,
    park_sideways,
    pavement_of,
    stand_lamp,
    stand_person,
)

Canvas = tuple[int, int]
Item = tuple[float, Callable[[], None]]
"""Something to draw and its distance; the farthest is drawn first."""


def _stage(
    shot: Shot, size: Canvas, rng: np.random.Generator, *, horizon: float, eye_m: float
) -> Stage:
    """A stage behind a camera with some play in where it points."""
    width, height = size
    camera = Camera(
        width,
        height,
        focal_px=width * float(rng.uniform(0.85, 1.15)),
        center_x=width * float(rng.uniform(0.4, 0.6)),
        horizon_y=height * (horizon + float(rng.uniform(-0.03, 0.03))),
        eye_m=eye_m * float(rng.uniform(0.85, 1.2)),
    )
    return new_stage(shot, camera, rng)


def _draw_all(items: list[Item]) -> None:
    for _, draw_item in sorted(items, key=lambda item: -item[0]):
        draw_item()


def _landmark(stage: Stage, x_share: float, z: float, tall: float) -> tuple[float, float]:
    """The shot's landmark at a share of the frame's width, `tall` of its height high.

    Returns the stretch of x at that distance which it needs.
    """
    name = stage.shot.landmark
    if name is None:
        return 0.0, 0.0
    camera, landmark = stage.camera, LANDMARKS[name]
    scale = tall * camera.height / (landmark.height_m * camera.focal_px / z)
    left, right = camera.span_m(z)
    x = left + (right - left) * x_share
    landmark.draw(Figure(stage, x, z, scale=scale))
    half = landmark.height_m * scale * 0.42
    return x - half, x + half


def _row(stage: Stage, z: float, *, gap: tuple[float, float] = (0.0, 0.0), base: float = 0.0) -> None:
    """Houses side by side across the whole frame, but for a gap."""
    left, right = stage.camera.span_m(z)
    x = left - stage.between(0, 8)
    styles = stage.shot.city.styles
    while x < right:
        name = stage.pick(styles)
        width = stage.between(*STYLES[name].width_m)
        if not (x < gap[1] and x + width > gap[0]):
            build(stage, Wall(stage, (x, z), (x + width, z), base=base), name)
        x += width + (stage.between(0.5, 3) if stage.chance(0.12) else 0.0)


def _tree_name(stage: Stage) -> str | None:
    """One of the city's trees, or None where none grow."""
    name = stage.pick((*stage.shot.city.trees, stage.shot.city.trees[0]))
    return name if name in TREES else None


def _add_tree(stage: Stage, items: list[Item], x: float, z: float, *, scale: float = 1.0) -> None:
    """A tree among the items, its shadow on the ground."""
    name = _tree_name(stage)
    if name is not None:
        height = TREES[name].height_m * scale
        stage.cast([(x - height * 0.2, z), (x + height * 0.2, z)], height * 0.85)
        items.append((z, partial(plant_tree, stage, name, x, z, scale=scale)))


def _add_people(stage: Stage, items: list[Item], count: int, xs: tuple[float, float], zs: tuple[float, float]) -> None:
    """People at random within a stretch of ground."""
    for _ in range(count):
        x, z = stage.between(*xs), stage.between(*zs)
        stage.cast([(x - 0.2, z), (x + 0.2, z)], 1.7)
        items.append((z, partial(stand_person, stage, x, z)))


def compose_avenue(shot: Shot, size: Canvas, rng: np.random.Generator) -> Image.Image:
    """Along a street with houses on both sides and something at its end."""
    stage = _stage(shot, size, rng, horizon=0.60, eye_m=3.0)
    half, walk, city = stage.between(4.5, 6.5), stage.between(2.5, 4.0), shot.city
    edge, far = half + walk, 78.0
    paint_sky(stage)
    RIDGES[city.terrain](stage)
    paint_ground(stage, mix(rgb(city.ground), SNOW, 0.8) if shot.snow else city.ground)
    stage.ground([(-edge, 1.3), (-edge, far), (edge, far), (edge, 1.3)], pavement_of(stage))
    stage.ground([(-half, 1.3), (-half, far), (half, far), (half, 1.3)], asphalt_of(stage))
    kerb = shade(pavement_of(stage), 0.82)
    for side in (-1, 1):
        stage.ground([(side * half, 1.3), (side * half, far), (side * (half + 0.25), far), (side * (half + 0.25), 1.3)], kerb)
    z = 2.0
    while z < far:
        stage.ground([(-0.09, z), (-0.09, z + 3), (0.09, z + 3), (0.09, z)], city.lane)
        z += 6 if city.lane == "#f4f1e8" else 3
    items: list[Item] = []
    for side in (-1, 1):
        stage.cast([(side * edge, 2.0), (side * edge, far)], 11.0)
        for z in np.arange(stage.between(11, 15), 66, stage.between(8, 13)).tolist():
            _add_tree(stage, items, side * (half + 1.0), z, scale=0.8)
        for z in np.arange(stage.between(9, 16), 60, 22).tolist():
            items.append((z, partial(stand_lamp, stage, side * (half + 0.5), z, inward=-side)))
        _add_people(stage, items, int(stage.rng.integers(1, 6)), (side * (half + 0.6), side * edge), (7, 40))
    ours = -1 if city.drives_left else 1
    for is_oncoming, zs in ((False, (10.0, 34.0)), (True, (13.0, 44.0))):
        if stage.chance(0.75):
            side = -ours if is_oncoming else ours
            kind, colour = city.ride if stage.chance(0.6) else ("car", city.taxi)
            x, z = side * half * 0.5, stage.between(*zs)
            stage.cast([(x - 1, z), (x + 1, z)], 2.2)
            items.append((z, partial(park_lengthways, stage, kind, colour, x, z, is_oncoming=is_oncoming)))
    stage.lay_shadows()
    if shot.landmark is None:
        _row(stage, far + 25)
    else:
        x_share = (stage.camera.center_x / stage.camera.width) + stage.between(-0.05, 0.05)
        _landmark(stage, x_share, 150.0, stage.between(0.34, 0.52))
    for side in (-1, 1):
        z = stage.between(2.2, 5.0)
        while z < far:
            name = stage.pick(city.styles)
            width = stage.between(*STYLES[name].width_m)
            # Along a wall is left to right for whoever reads its signs from the street.
            ends = ((side * edge, z), (side * edge, z + width))
            wall = Wall(stage, *(ends if side < 0 else ends[::-1]))
            items.append((z + width / 2 + 4, partial(build, stage, wall, name)))
            z += width
    _draw_all(items)
    return stage.painter.image


def compose_square(shot: Shot, size: Canvas, rng: np.random.Generator) -> Image.Image:
    """A row of houses across the frame, a road before it, trees and people before that."""
    stage = _stage(shot, size, rng, horizon=0.60, eye_m=3.6)
    city, depth = shot.city, stage.between(38, 52)
    paint_sky(stage)
    RIDGES[city.terrain](stage)
    paint_ground(stage, pavement_of(stage))
    near, far = depth * 0.42, depth * 0.66
    wide = stage.camera.span_m(far)[1] + 60
    stage.ground([(-wide, near), (-wide, far), (wide, far), (wide, near)], asphalt_of(stage))
    middle = (near + far) / 2
    for x in np.arange(-wide, wide, 6.0).tolist():
        stage.ground([(x, middle - 0.15), (x, middle + 0.15), (x + 3, middle + 0.15), (x + 3, middle - 0.15)], city.lane)
    lawn = stage.chance(0.6)
    if lawn:
        green = mix(rgb(city.ground), SNOW, 0.85) if shot.snow else rgb(city.ground)
        stage.ground([(-wide, near * 0.5), (-wide, near * 0.9), (wide, near * 0.9), (wide, near * 0.5)], green)
    items: list[Item] = []
    left, right = stage.camera.span_m(near)
    for _ in range(int(stage.rng.integers(1, 4))):
        z = stage.between(near * 0.8, near * 0.97)
        share = stage.pick(("a", "b"))
        x = stage.between(left, left * 0.5) if share == "a" else stage.between(right * 0.5, right)
        _add_tree(stage, items, x * z / near, z, scale=0.7)
    for x in np.arange(left * 2, right * 2, stage.between(9, 14)).tolist():
        _add_tree(stage, items, x, depth * 0.8, scale=0.75)
    _add_people(stage, items, int(stage.rng.integers(3, 9)), (left * 0.8, right * 0.8), (near * 0.6, near * 0.98))
    _add_people(stage, items, 5, (left * 1.6, right * 1.6), (depth * 0.7, depth * 0.95))
    for share, to_right in ((0.78, not city.drives_left), (0.3, city.drives_left)):
        kind, colour = city.ride if share == 0.78 or stage.chance(0.3) else ("car", city.taxi)
        if stage.chance(0.8):
            z = near + (far - near) * (1 - share)
            x = stage.between(left * 1.1, right * 1.1)
            stage.cast([(x - 3, z), (x + 3, z)], 2.4)
            items.append((z, partial(park_sideways, stage, kind, colour, x, z, to_right=to_right)))
    stage.cast([(-wide, depth), (wide, depth)], 12.0)
    stage.lay_shadows()
    gap = _landmark(stage, stage.between(0.25, 0.75), 170.0, stage.between(0.4, 0.55))
    shrink = depth / 170.0
    behind = depth + 24
    if "glass" in city.styles or stage.chance(0.4):
        _row(stage, behind, gap=(gap[0] * behind / 170.0, gap[1] * behind / 170.0))
    _row(stage, depth, gap=(gap[0] * shrink, gap[1] * shrink))
    _draw_all(items)
    return stage.painter.image


def compose_waterfront(shot: Shot, size: Canvas, rng: np.random.Generator) -> Image.Image:
    """The town across the water, mirrored in it, seen from a quay."""
    stage = _stage(shot, size, rng, horizon=0.55, eye_m=5.0)
    painter, camera, shore = stage.painter, stage.camera, 115.0
    paint_sky(stage)
    RIDGES[shot.city.terrain](stage)
    paint_ground(stage, mix(rgb(shot.city.ground), SNOW, 0.8) if shot.snow else shot.city.ground)
    gap = _landmark(stage, stage.between(0.22, 0.78), 180.0, stage.between(0.34, 0.48))
    if "glass" in shot.city.styles or stage.chance(0.3):
        _row(stage, 240.0, gap=(gap[0] * 1.33, gap[1] * 1.33))
    _row(stage, shore + 8, gap=(gap[0] * 0.68, gap[1] * 0.68))
    left, right = camera.span_m(shore)
    for x in np.arange(left, right, stage.between(6, 14)).tolist():
        name = _tree_name(stage)
        if name is not None and stage.chance(0.7):
            plant_tree(stage, name, x + stage.between(-2, 2), shore + 3, scale=0.9)
    waterline = int(stage.at(0, 0, shore)[1])
    painter.rect(0, waterline - 7, camera.width, waterline, stage.ink((120, 114, 108), 0.5, shore))
    above = painter.image.crop((0, max(0, 2 * waterline - camera.height), camera.width, waterline))
    paint_water(stage, 6.0)
    painter.image.paste(above, (0, waterline - above.height))
    mirror = above.transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize((camera.width // 4, above.height // 12))
    mirror = mirror.filter(ImageFilter.BoxBlur(1)).resize(above.size, Image.Resampling.BICUBIC)
    fade = Image.linear_gradient("L").resize(above.size).point(lambda value: 120 - value * 0.42)
    painter.image.paste(mirror, (0, waterline), fade)
    items: list[Item] = []
    boats = int(stage.rng.integers(1, 5)) if shot.city.climate != "polar" else 0
    for _ in range(boats):
        z = stage.between(26, 85)
        span = camera.span_m(z)
        items.append((z, partial(_sail, stage, stage.between(*span), z)))
    _draw_all(items)
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
    stage.ground([(left * 3, 1.3), (left * 3, edge), (right * 3, edge), (right * 3, 1.3)], pavement_of(stage))
    items: list[Item] = []
    for x in (stage.between(left, left * 0.75), stage.between(right * 0.75, right)):
        if stage.chance(0.65):
            _add_tree(stage, items, x, edge - 0.8, scale=0.6)
    _add_people(stage, items, int(stage.rng.integers(0, 4)), (left * 0.7, right * 0.7), (edge - 3, edge - 1))
    stage.lay_shadows()
    rail = Figure(stage, 0.0, edge)
    iron = rail.ink((66, 68, 74), 0.7)
    for b in (0.45, 1.0):
        rail.line([(left * 1.4, b), (right * 1.4, b)], iron, 0.07)
    for a in np.arange(left * 1.4, right * 1.4, 1.6).tolist():
        rail.line([(a, 0), (a, 1.1)], iron, 0.09)
    _draw_all(items)


def compose_rooftops(shot: Shot, size: Canvas, rng: np.random.Generator) -> Image.Image:
    """From a height over row behind row of houses."""
    stage = _stage(shot, size, rng, horizon=0.34, eye_m=30.0)
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
            _landmark(stage, x_share, z, tall)
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
            figure.rect(-0.5, tall, wide + 0.5, tall + 4, figure.ink(shade(roof, stage.between(0.85, 1.1))))
        z *= 0.88


def _block_row(stage: Stage, z: float) -> None:
    """One row of houses seen from above: roofs first, then the fronts under them, then trees."""
    left, right = stage.camera.span_m(z)
    x = left - stage.between(0, 10)
    city = stage.shot.city
    while x < right:
        name = stage.pick([style for style in city.styles if style != "glass"] or city.styles)
        style = STYLES[name]
        width, deep = stage.between(*style.width_m), 8.0
        if z > 60 and "glass" in city.styles and stage.chance(0.06):
            name = "glass"
        if stage.chance(0.85):
            _block(stage, name, x, z + stage.between(-2, 2), width, deep)
        x += width + stage.between(0.3, 2.5)
    for x in np.arange(left, right, max(7.0, z / 8)).tolist():
        name_of_tree = _tree_name(stage)
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
        ridge = [stage.at(x + 0.6, height + rise, z + deep / 2), stage.at(x + width - 0.6, height + rise, z + deep / 2)]
        eaves = [stage.at(x + width + 0.3, height - 0.1, z), stage.at(x - 0.3, height - 0.1, z)]
        wall = Wall(stage, (x, z), (x + width, z))
        _front_only(stage, wall, name)
        ink = stage.ink(shade(roof, stage.between(0.88, 1.08)), 0.35 + 0.5 * stage.light.facing(0, -1), z)
        stage.painter.poly([*ridge, *eaves], ink)
        if wall.px > 9:
            for part in (0.33, 0.66):
                ends = [
                    (a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part)
                    for a, b in ((ridge[0], eaves[1]), (ridge[1], eaves[0]))
                ]
                stage.painter.line(ends, mix(ink, (40, 30, 40), 0.16), 2)
    else:
        top = [stage.at(x, height, z), stage.at(x + width, height, z), stage.at(x + width, height, back), stage.at(x, height, back)]
        flat = SNOW if stage.shot.snow else mix(rgb(stage.pick(stage.shot.city.walls)), (150, 144, 138), 0.5)
        stage.painter.poly(top, stage.ink(flat, stage.ground_lit, z))
        build(stage, Wall(stage, (x, z), (x + width, z)), name)


def _front_only(stage: Stage, wall: Wall, name: str) -> None:
    """The front of a house whose roof is drawn by itself."""
    build(stage, wall, name, has_roof=False)


COMPOSITIONS: dict[str, Callable[[Shot, Canvas, np.random.Generator], Image.Image]] = {
    "avenue": compose_avenue,
    "rooftops": compose_rooftops,
    "square": compose_square,
    "waterfront": compose_waterfront,
}
