"""Trees and shrubs, by kind and season."""

from __future__ import annotations

import math
from dataclasses import dataclass

from geosearch.postcards.canvas import RGB, mix, rgb, shade
from geosearch.postcards.stage import SNOW, Figure, Stage


@dataclass(frozen=True, slots=True)
class Plant:
    """A kind of tree.

    Args:
        shape: `round`, `tall`, `cone`, `umbrella`, `palm`, `cactus`, `bamboo`, `weeping` or `fat`.
        height_m: of a grown one.
        leaf: colour of foliage.
        trunk: colour of bark.
        autumn: colour in autumn, if leaves turn.
        blossom: season and colour of flowers, if they are what one sees.
        is_evergreen: keeps its leaves in winter.
    """

    shape: str
    height_m: float
    leaf: str
    trunk: str = "#5b4636"
    autumn: str | None = None
    blossom: tuple[str, str] | None = None
    is_evergreen: bool = False


TREES: dict[str, Plant] = {
    "acacia": Plant("umbrella", 7, "#7f9148", "#6b5138", is_evergreen=True),
    "bamboo": Plant("bamboo", 8, "#86ad4e", "#8fb35a", is_evergreen=True),
    "banyan": Plant("round", 9, "#3f7440", "#5d4b3c", is_evergreen=True),
    "baobab": Plant("fat", 9, "#7d9150", "#8d705a", is_evergreen=True),
    "birch": Plant("round", 8, "#93ad55", "#ecebe2", "#e0b238"),
    "bougainvillea": Plant("round", 4, "#c93a84", "#6b4b3a", is_evergreen=True),
    "broadleaf": Plant("round", 8, "#5f8c42", autumn="#cf8a35"),
    "cactus": Plant("cactus", 5, "#5f8a55", is_evergreen=True),
    "cherry": Plant("round", 6, "#6f9a4c", "#4a3836", "#c9663c", ("spring", "#f3b9cb")),
    "chestnut": Plant("round", 9, "#4f7d3c", autumn="#b8742f"),
    "conifer": Plant("cone", 10, "#2f5a45", is_evergreen=True),
    "cypress": Plant("tall", 10, "#3a5b3c", is_evergreen=True),
    "eucalyptus": Plant("round", 11, "#86a07c", "#d2c4b0", is_evergreen=True),
    "ginkgo": Plant("tall", 9, "#86a84a", autumn="#f0c530"),
    "jacaranda": Plant("round", 8, "#7a9a58", "#5a483c", None, ("spring", "#9a7fd0"), True),
    "maple": Plant("round", 7, "#6a9445", autumn="#d0452c"),
    "mulberry": Plant("round", 6, "#6d9a48", autumn="#d8b040"),
    "olive": Plant("round", 5, "#8b9b74", "#6f6254", is_evergreen=True),
    "palm": Plant("palm", 9, "#5d8f42", "#8a7358", is_evergreen=True),
    "plane": Plant("round", 10, "#7ba04c", "#b3a88e", "#c9a045"),
    "poplar": Plant("tall", 12, "#7aa04c", autumn="#e0bb3c"),
    "umbrella-pine": Plant("umbrella", 11, "#44693c", "#7d5a44", is_evergreen=True),
    "willow": Plant("weeping", 7, "#93b055", autumn="#d6bd55"),
}


def plant_tree(stage: Stage, kind: str, x: float, z: float, *, scale: float = 1.0) -> None:
    """Draw one tree at (x, z); its shadow must have been cast before."""
    plant = TREES[kind]
    figure = Figure(stage, x, z)
    height = plant.height_m * scale * stage.between(0.8, 1.2)
    shot = stage.shot
    leaf = rgb(plant.leaf)
    has_seasons = abs(shot.city.center.lat) > 28
    is_bare = has_seasons and shot.season == "winter" and not plant.is_evergreen
    if plant.blossom is not None and shot.season == plant.blossom[0]:
        leaf = rgb(plant.blossom[1])
    elif plant.autumn is not None and has_seasons and shot.season == "autumn":
        leaf = mix(leaf, rgb(plant.autumn), stage.between(0.5, 1.0))
    leaf = shade(leaf, stage.between(0.88, 1.1))
    if shot.snow and plant.is_evergreen:
        leaf = mix(leaf, SNOW, 0.3)
    trunk = figure.ink(plant.trunk, 0.8)
    _SHAPES[plant.shape](figure, height, leaf, trunk, is_bare)


def _tones(figure: Figure, leaf: RGB) -> tuple[RGB, RGB, RGB]:
    """Foliage in shade, between, and in the sun."""
    cool = mix(leaf, (24, 40, 56), 0.45)
    lit = 0.35 if figure.is_backlit else 0.9
    stage = figure.stage
    return (
        stage.ink(cool, 0.3, figure.z),
        stage.ink(leaf, 0.45, figure.z),
        stage.ink(mix(leaf, (255, 240, 170), 0.18), lit, figure.z),
    )


def _crown(
    figure: Figure, middle: tuple[float, float], rx: float, ry: float, leaf: RGB, *, blobs: int = 9
) -> None:
    """A heap of leaves: shade below, light on the side of the sun."""
    rng = figure.stage.rng
    a, b = middle
    # Near trees are made of more and smaller leaves, so that they never look like balloons.
    detail = max(1.0, min(3.2, figure.px * rx / 34))
    count, fine = int(blobs * detail), detail**-0.62
    figure.oval(a, b - ry * 0.08, rx * 0.72, ry * 0.72, _tones(figure, leaf)[0])
    for tone, (ink, size) in enumerate(zip(_tones(figure, leaf), (0.5, 0.42, 0.24), strict=True)):
        shift = (tone - 0.7) * 0.26
        turns = rng.uniform(0, 2 * math.pi, count).tolist()
        reaches = (rng.uniform(0, 1, count) ** 0.5 * (0.86 - 0.1 * tone)).tolist()
        radius = size * (0.4 + 0.6 * fine) * (fine if tone else 1.0)
        for turn, reach in zip(turns, reaches, strict=True):
            da, db = math.cos(turn) * reach, math.sin(turn) * reach
            figure.oval(
                a + (da + figure.side * shift) * rx,
                b + (db + shift) * ry,
                rx * radius,
                ry * radius,
                ink,
            )


def _bare(figure: Figure, height: float, trunk: RGB) -> None:
    """Branches without leaves."""
    for turn in (-0.75, -0.4, -0.15, 0.12, 0.42, 0.8):
        reach = height * figure.stage.between(0.42, 0.6)
        fork = height * figure.stage.between(0.3, 0.5)
        tip = (math.sin(turn) * reach, fork + math.cos(turn) * reach)
        figure.line([(0, fork), tip], trunk, height * 0.014)
        half = (tip[0] * 0.55, fork + (tip[1] - fork) * 0.55)
        figure.line(
            [half, (half[0] + 0.12 * height * (1 if turn < 0 else -1), tip[1])], trunk, 0.04
        )


def _round(figure: Figure, height: float, leaf: RGB, trunk: RGB, is_bare: bool) -> None:
    figure.rect(-height * 0.025, 0, height * 0.025, height * 0.5, trunk)
    if is_bare:
        _bare(figure, height, trunk)
    else:
        _crown(figure, (0, height * 0.66), height * 0.36, height * 0.33, leaf)


def _tall(figure: Figure, height: float, leaf: RGB, trunk: RGB, is_bare: bool) -> None:
    figure.rect(-height * 0.02, 0, height * 0.02, height * 0.3, trunk)
    if is_bare:
        _bare(figure, height, trunk)
        return
    dark, half, bright = _tones(figure, leaf)
    rng = figure.stage.rng
    for ink, wide, shift in ((dark, 0.1, 0.0), (half, 0.075, 0.02), (bright, 0.04, 0.045)):
        for step in range(12):
            b = 0.16 + 0.76 * step / 11
            swell = math.sin(math.pi * (b - 0.05) / 1.02) ** 0.7
            a = figure.side * shift + float(rng.normal(0, 0.016))
            figure.oval(a * height, b * height, wide * swell * height, 0.075 * height, ink)


def _cone(figure: Figure, height: float, leaf: RGB, trunk: RGB, is_bare: bool) -> None:
    del is_bare
    figure.rect(-height * 0.02, 0, height * 0.02, height * 0.2, trunk)
    dark, half, bright = _tones(figure, leaf)
    tiers = 5
    for tier in range(tiers):
        low = height * (0.12 + 0.17 * tier)
        wide = height * 0.27 * (1 - tier / (tiers + 0.6))
        top = min(height, low + height * 0.32)
        figure.poly([(-wide, low), (0, top), (wide, low)], half)
        figure.poly([(-figure.side * wide, low), (0, top), (0, low)], dark)
        if figure.stage.shot.snow:
            snow = figure.stage.ink(SNOW, 0.7, figure.z)
            figure.poly(
                [(-wide * 0.5, (low + top) / 2), (0, top), (wide * 0.5, (low + top) / 2)], snow
            )
        else:
            figure.poly(
                [(figure.side * wide, low), (0, top), (figure.side * wide * 0.5, low)], bright
            )


def _umbrella(figure: Figure, height: float, leaf: RGB, trunk: RGB, is_bare: bool) -> None:
    del is_bare
    top = height * 0.78
    figure.line([(0, 0), (height * 0.02, top * 0.6), (-height * 0.2, top)], trunk, height * 0.04)
    figure.line([(height * 0.02, top * 0.6), (height * 0.22, top)], trunk, height * 0.03)
    _crown(figure, (0, height * 0.84), height * 0.5, height * 0.13, leaf)


def _palm(figure: Figure, height: float, leaf: RGB, trunk: RGB, is_bare: bool) -> None:
    del is_bare
    lean = figure.stage.between(-0.16, 0.16) * height
    curve = [(lean * (step / 6) ** 2, height * step / 6 * 0.92) for step in range(7)]
    figure.line(curve, trunk, max(0.22, height * 0.032))
    top_a, top_b = curve[-1]
    dark, half, bright = _tones(figure, leaf)
    for number in range(11):
        angle = math.pi * (-0.12 + 1.24 * number / 10) + figure.stage.between(-0.1, 0.1)
        reach = height * figure.stage.between(0.3, 0.4)
        a, b = math.cos(angle) * reach, math.sin(angle) * reach * 0.55
        tip = (top_a + a, top_b + b - reach * 0.32)
        mid = (top_a + a * 0.55, top_b + b * 0.75 + reach * 0.06)
        width = reach * 0.09
        ink = dark if number % 3 == 0 else bright if a * figure.side > 0 else half
        figure.poly(
            [(top_a, top_b), (mid[0], mid[1] + width), tip, (mid[0], mid[1] - width * 1.3)], ink
        )


def _cactus(figure: Figure, height: float, leaf: RGB, trunk: RGB, is_bare: bool) -> None:
    del trunk, is_bare
    dark, half, bright = _tones(figure, leaf)
    wide = height * 0.11
    arms = [
        [(0.0, 0.0), (0.0, height)],
        [(0.0, height * 0.38), (height * 0.26, height * 0.42), (height * 0.26, height * 0.75)],
        [(0.0, height * 0.5), (-height * 0.22, height * 0.53), (-height * 0.22, height * 0.85)],
    ]
    for number, arm in enumerate(arms):
        thick = wide if number == 0 else wide * 0.75
        figure.line(arm, half, thick)
        figure.oval(*arm[-1], thick / 2, thick / 2, half)
        figure.line([(a + figure.side * thick * 0.2, b) for a, b in arm[-2:]], bright, thick * 0.2)
        figure.line([(a - figure.side * thick * 0.3, b) for a, b in arm[-2:]], dark, thick * 0.25)


def _bamboo(figure: Figure, height: float, leaf: RGB, trunk: RGB, is_bare: bool) -> None:
    del is_bare
    dark, half, bright = _tones(figure, leaf)
    for number in range(7):
        foot = (number - 3) * 0.32
        tip = foot + figure.stage.between(-1.2, 1.2)
        figure.line([(foot, 0), (foot, height * 0.5), (tip, height)], trunk, 0.13)
        for step in range(9):
            b = 0.5 + 0.055 * step
            a = foot + (tip - foot) * (b - 0.5) * 2 + figure.stage.between(-0.7, 0.7)
            figure.oval(a, height * b, 0.55, 0.17, (dark, half, bright)[(number + step) % 3])


def _weeping(figure: Figure, height: float, leaf: RGB, trunk: RGB, is_bare: bool) -> None:
    figure.rect(-height * 0.03, 0, height * 0.03, height * 0.6, trunk)
    if is_bare:
        _bare(figure, height, trunk)
        return
    _crown(figure, (0, height * 0.78), height * 0.36, height * 0.2, leaf)
    tones = _tones(figure, leaf)
    for number in range(13):
        a = (number / 12 - 0.5) * height * 0.95
        low = height * figure.stage.between(0.2, 0.42)
        figure.line([(a * 0.7, height * 0.8), (a, low)], tones[number % 3], height * 0.04)


def _fat(figure: Figure, height: float, leaf: RGB, trunk: RGB, is_bare: bool) -> None:
    del is_bare
    wide = height * 0.16
    figure.poly(
        [(-wide, 0), (-wide * 0.7, height * 0.6), (wide * 0.7, height * 0.6), (wide, 0)], trunk
    )
    for turn in (-0.9, -0.45, 0.0, 0.45, 0.9):
        a, b = math.sin(turn) * height * 0.4, height * (0.6 + 0.3 * math.cos(turn))
        figure.line([(turn * wide * 0.6, height * 0.55), (a, b)], trunk, height * 0.05)
        _crown(figure, (a, b), height * 0.16, height * 0.09, leaf, blobs=4)


_SHAPES = {
    "bamboo": _bamboo,
    "cactus": _cactus,
    "cone": _cone,
    "fat": _fat,
    "palm": _palm,
    "round": _round,
    "tall": _tall,
    "umbrella": _umbrella,
    "weeping": _weeping,
}
