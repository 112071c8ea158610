"""What every composition is made with: the camera, rows of houses, trees, people, a landmark."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from geosearch.postcards.buildings import STYLES, build
from geosearch.postcards.canvas import Camera
from geosearch.postcards.landmarks import LANDMARKS
from geosearch.postcards.plants import TREES, plant_tree
from geosearch.postcards.shots import Shot
from geosearch.postcards.stage import Figure, Stage, Wall, new_stage
from geosearch.postcards.street import stand_person

Canvas = tuple[int, int]
Item = tuple[float, Callable[[], object]]
"""Something to draw and its distance; the farthest is drawn first."""


def aim(
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


def draw_all(items: list[Item]) -> None:
    """Draw the items from the farthest to the nearest."""
    for _, draw_item in sorted(items, key=lambda item: -item[0]):
        draw_item()


def put_landmark(stage: Stage, x_share: float, z: float, tall: float) -> tuple[float, float]:
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


def put_row(
    stage: Stage, z: float, *, gap: tuple[float, float] = (0.0, 0.0), base: float = 0.0
) -> None:
    """Houses side by side across the whole frame, but for a gap."""
    left, right = stage.camera.span_m(z)
    x = left - stage.between(0, 8)
    styles = stage.shot.city.styles
    while x < right:
        name = stage.favour(styles)
        width = stage.between(*STYLES[name].width_m)
        if not (x < gap[1] and x + width > gap[0]):
            build(stage, Wall(stage, (x, z), (x + width, z), base=base), name)
        x += width + (stage.between(0.5, 3) if stage.chance(0.12) else 0.0)


def tree_name(stage: Stage) -> str | None:
    """One of the city's trees, or None where none grow."""
    name = stage.favour(stage.shot.city.trees)
    return name if name in TREES else None


def add_tree(stage: Stage, items: list[Item], x: float, z: float, *, scale: float = 1.0) -> None:
    """A tree among the items, its shadow on the ground."""
    name = tree_name(stage)
    if name is not None:
        height = TREES[name].height_m * scale
        stage.cast([(x - height * 0.2, z), (x + height * 0.2, z)], height * 0.85)
        items.append((z, partial(plant_tree, stage, name, x, z, scale=scale)))


def add_people(
    stage: Stage, items: list[Item], count: int, xs: tuple[float, float], zs: tuple[float, float]
) -> None:
    """People at random within a stretch of ground."""
    for _ in range(count):
        x, z = stage.between(*xs), stage.between(*zs)
        stage.cast([(x - 0.2, z), (x + 0.2, z)], 1.7)
        items.append((z, partial(stand_person, stage, x, z)))
