"""Landmarks, by name; several stand in more than one city on purpose, as they do in the world.

Two places that look alike and lie far apart are what a search by look alone gets wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from geosearch.postcards import bridges, towers
from geosearch.postcards.canvas import RGB, mix
from geosearch.postcards.stage import Figure


@dataclass(frozen=True, slots=True)
class Landmark:
    """How a landmark is drawn, and how high that reaches in metres."""

    draw: Callable[[Figure], None]
    height_m: float


_SANDSTONE: RGB = (220, 184, 134)
_GOLD: RGB = (226, 178, 66)


def _arch(figure: Figure) -> None:
    stone, dark = (
        figure.ink(_SANDSTONE),
        mix(figure.ink((96, 84, 84), 0.4), figure.stage.light.horizon, 0.25),
    )
    figure.round_rect(-17, 0, 17, 34, stone)
    figure.rect(-6.4, 0, 6.4, 16, dark)
    figure.half(0, 16, 6.4, 7, dark)
    for a in (-17.6, -18.2):
        figure.rect(
            a, 27 if a > -18 else 33, -a, 28.4 if a > -18 else 34.4, figure.ink(_SANDSTONE, 1.2)
        )
    figure.rect(-15, 34, 15, 38, stone)
    for a in (-12.0, 12.0):
        figure.rect(a - 2.4, 6, a + 2.4, 18, figure.ink(_SANDSTONE, 0.75))


def _dome(figure: Figure) -> None:
    stone, lead = figure.ink((228, 220, 204)), figure.ink((142, 158, 164))
    figure.rect(-30, 0, 30, 17, stone)
    for a in range(-27, 28, 6):
        figure.rect(a - 0.9, 3, a + 0.9, 14, figure.ink((146, 138, 132), 0.7))
    figure.poly([(-11, 17), (0, 23), (11, 17)], figure.ink((228, 220, 204), 1.2))
    figure.round_rect(-11, 20, 11, 33, stone)
    for a in range(-9, 10, 3):
        figure.rect(a - 0.5, 22, a + 0.5, 31, figure.ink((146, 138, 132), 0.7))
    figure.half(0, 33, 12, 15, lead)
    figure.half(figure.side * 3.4, 33.5, 6, 12, mix(lead, (255, 250, 232), 0.22))
    figure.rect(-2, 47, 2, 53, stone)
    figure.half(0, 53, 2, 2.4, lead)
    figure.line([(0, 55), (0, 60)], figure.ink(_GOLD), 0.5)


def _blue_dome(figure: Figure) -> None:
    wall, blue = figure.ink((236, 222, 192)), figure.ink((42, 136, 186))
    figure.rect(-22, 0, 22, 18, wall)
    for a in (-22.0, 22.0):
        figure.round_rect(a - 2, 0, a + 2, 30, wall)
        figure.half(a, 30, 2.6, 3.5, blue)
    figure.rect(-10, 14, 10, 25, wall)
    figure.rect(-10, 21, 10, 23, blue)
    figure.half(0, 25, 11, 13, blue, pointed=3)
    figure.half(figure.side * 3, 26, 5, 10, mix(blue, (255, 255, 255), 0.28))
    figure.half(0, 9, 5, 6, figure.ink((70, 74, 104), 0.5), pointed=2)
    figure.rect(-5, 0, 5, 9, figure.ink((70, 74, 104), 0.5))


def _onion_domes(figure: Figure) -> None:
    wall, gold = figure.ink((240, 238, 230)), figure.ink(_GOLD, 1.1)
    figure.rect(-22, 0, 22, 20, wall)
    for a in range(-19, 20, 6):
        figure.half(a, 8, 1.5, 3, figure.ink((104, 136, 150), 0.6))
        figure.rect(a - 1.5, 3, a + 1.5, 8, figure.ink((104, 136, 150), 0.6))
    for a, b, r in ((-16, 20, 4), (16, 20, 4), (-8, 22, 4.4), (8, 22, 4.4), (0, 28, 6.4)):
        figure.round_rect(a - r * 0.62, 18, a + r * 0.62, b + 6, wall)
        foot = b + 6
        figure.poly(
            [
                (a - r * 0.6, foot), (a - r, foot + r * 0.9), (a - r * 0.72, foot + r * 1.6),
                (a - r * 0.2, foot + r * 2.1), (a, foot + r * 2.9), (a + r * 0.2, foot + r * 2.1),
                (a + r * 0.72, foot + r * 1.6), (a + r, foot + r * 0.9), (a + r * 0.6, foot),
            ],
            gold,
        )  # fmt: skip
        figure.oval(
            a + figure.side * r * 0.35, foot + r, r * 0.22, r * 0.5, mix(gold, (255, 255, 230), 0.5)
        )
        figure.line([(a, foot + r * 2.8), (a, foot + r * 2.8 + 4)], gold, 0.4)


def _pagoda(figure: Figure) -> None:
    wood, roof = figure.ink((158, 66, 48)), figure.ink((70, 74, 82))
    low = 3.0
    figure.rect(-12, 0, 12, 3, figure.ink((176, 170, 160)))
    for tier in range(5):
        half = 8.5 - tier * 1.2
        figure.rect(-half, low, half, low + 6, wood)
        figure.rect(-half * 0.5, low + 1, half * 0.5, low + 4.4, figure.ink((236, 224, 196), 0.8))
        eave = half + 5.5
        figure.poly(
            [
                (-eave, low + 6.6), (-half, low + 5.4), (half, low + 5.4), (eave, low + 6.6),
                (half * 0.8, low + 9), (-half * 0.8, low + 9),
            ],
            roof,
        )  # fmt: skip
        low += 9
    figure.line([(0, low), (0, low + 13)], figure.ink((150, 120, 70)), 0.8)


def _torii(figure: Figure) -> None:
    red, dark = figure.ink((214, 74, 46), 1.1), figure.ink((46, 42, 46))
    for a in (-8.0, 8.0):
        figure.poly([(a * 1.08 - 1, 0), (a - 0.8, 21), (a + 0.8, 21), (a * 1.08 + 1, 0)], red)
        figure.rect(a * 1.08 - 1.3, 0, a * 1.08 + 1.3, 2, dark)
    figure.rect(-11, 15, 11, 16.8, red)
    figure.poly([(-13.5, 22.6), (-12, 20.4), (12, 20.4), (13.5, 22.6), (0, 21.9)], red)
    figure.poly(
        [(-14.2, 24.4), (-13.5, 22.4), (0, 21.8), (13.5, 22.4), (14.2, 24.4), (0, 23.4)], dark
    )
    figure.rect(-1.2, 16.5, 1.2, 20.6, red)


def _stupa(figure: Figure) -> None:
    gold, white = figure.ink(_GOLD, 1.1), figure.ink((240, 236, 226))
    for step in range(4):
        figure.rect(-22 + step * 3.4, step * 3, 22 - step * 3.4, step * 3 + 3, white)
    figure.half(0, 12, 12, 13, white)
    figure.half(figure.side * 4, 13, 5, 9.5, figure.ink((240, 236, 226), 1.3))
    figure.rect(-4, 24, 4, 29, gold)
    for step in range(9):
        half = 3.6 - step * 0.36
        figure.rect(-half, 29 + step * 1.9, half, 30.5 + step * 1.9, gold)
    figure.poly([(-0.8, 46), (0, 56), (0.8, 46)], gold)


def _temple(figure: Figure) -> None:
    rock, marble = figure.ink((168, 146, 114)), figure.ink((240, 226, 196))
    figure.poly([(-64, 0), (-50, 17), (-37, 27), (36, 28), (48, 19), (66, 0)], rock)
    figure.rect(-27, 26, 27, 29, marble)
    figure.rect(
        -24, 29, 24, 41, mix(figure.ink((120, 106, 96), 0.5), figure.stage.light.horizon, 0.2)
    )
    for column in range(9):
        a = -24 + column * 6
        figure.round_rect(a - 1.3, 29, a + 1.3, 41, marble)
    figure.rect(-27, 41, 27, 44, marble)
    figure.poly([(-27.5, 44), (0, 52), (27.5, 44)], figure.ink((240, 226, 196), 0.85))


def _pyramids(figure: Figure) -> None:
    for a, half, tall in ((34.0, 30.0, 36.0), (-6.0, 46.0, 56.0), (-52.0, 22.0, 26.0)):
        bright, dark = figure.ink((226, 188, 128), 1.1), figure.ink((158, 120, 82), 0.6)
        figure.poly([(a - half, 0), (a, tall), (a + half, 0)], bright)
        figure.poly(
            [(a - figure.side * half, 0), (a, tall), (a - figure.side * half * 0.15, 0)], dark
        )


def _twin_church(figure: Figure) -> None:
    stone = figure.ink((206, 168, 126))
    figure.rect(-19, 0, 19, 24, stone)
    figure.half(0, 24, 9, 7, figure.ink((184, 112, 72)))
    for a in (-15.0, 15.0):
        figure.round_rect(a - 5, 0, a + 5, 33, stone)
        for b in (15, 26):
            figure.half(a, b + 3, 1.6, 1.8, figure.ink((88, 68, 60), 0.6))
            figure.rect(a - 1.6, b, a + 1.6, b + 3, figure.ink((88, 68, 60), 0.6))
        figure.rect(a - 5.6, 33, a + 5.6, 34.4, figure.ink((206, 168, 126), 1.2))
        figure.half(a, 34.4, 4.4, 6, stone)
        figure.line([(a, 40), (a, 44)], figure.ink((80, 70, 60)), 0.5)
    figure.half(0, 8, 3.6, 4, figure.ink((84, 60, 48), 0.6))
    figure.rect(-3.6, 0, 3.6, 8, figure.ink((84, 60, 48), 0.6))


def _colosseum(figure: Figure) -> None:
    stone, dark = figure.ink((214, 182, 138)), figure.ink((96, 74, 62), 0.5)
    figure.poly(
        [(-34, 0), (-34, 20), (-26, 23), (-12, 24), (-8, 36), (22, 36), (34, 33), (34, 0)], stone
    )
    for tier, top in ((2, 3), (12, 3), (22, 2)):
        for a in range(-30, 31, 6):
            if tier < 20 or a > -8:
                figure.rect(a - 1.7, tier, a + 1.7, tier + 4, dark)
                figure.half(a, tier + 4, 1.7, top * 0.8, dark)


def _palace_gate(figure: Figure) -> None:
    stone, roof = figure.ink((196, 190, 180)), figure.ink((70, 84, 96))
    figure.rect(-26, 0, 26, 13, stone)
    for a in (-13, 0, 13):
        figure.rect(a - 3, 0, a + 3, 6, figure.ink((66, 60, 62), 0.5))
        figure.half(a, 6, 3, 3, figure.ink((66, 60, 62), 0.5))
    for low, half in ((13, 20), (23, 14)):
        figure.rect(-half, low, half, low + 6, figure.ink((190, 66, 52)))
        figure.rect(-half, low + 4.4, half, low + 6, figure.ink((62, 134, 112)))
        figure.poly(
            [
                (-half - 7, low + 8), (-half, low + 5.6), (half, low + 5.6), (half + 7, low + 8),
                (half - 2, low + 11), (-half + 2, low + 11),
            ],
            roof,
        )  # fmt: skip


def _sails(figure: Figure) -> None:
    figure.rect(-40, 0, 42, 6, figure.ink((186, 158, 132)))
    for a, wide, tall in ((22, 20, 22), (4, 26, 34), (-16, 22, 26), (-32, 15, 16)):
        shell = [(a + wide * 0.5, 6.0)]
        for step in range(9):
            turn = math.pi / 2 * step / 8
            shell.append((a - wide * 0.5 + wide * math.cos(turn) * 0.9, 6 + tall * math.sin(turn)))
        shell += [(a - wide * 0.62, 6 + tall * 0.55), (a - wide * 0.45, 6)]
        figure.poly(shell, figure.ink((246, 243, 234), 1.15))
        fold = [
            (a - wide * 0.5, 6 + tall),
            (a - wide * 0.62, 6 + tall * 0.55),
            (a - wide * 0.45, 6),
            (a - wide * 0.2, 6),
        ]
        figure.poly(fold, figure.ink((168, 166, 172), 0.7))


def _windmill(figure: Figure) -> None:
    body, cap = figure.ink((128, 86, 62)), figure.ink((66, 62, 60))
    figure.poly([(-8, 0), (-5, 24), (5, 24), (8, 0)], body)
    figure.poly(
        [(-figure.side * 8, 0), (-figure.side * 5, 24), (0, 24), (0, 0)],
        mix(body, (20, 20, 34), 0.3),
    )
    figure.rect(-9.5, 9, 9.5, 10.2, figure.ink((240, 236, 226)))
    figure.half(0, 24, 5.4, 5.5, cap)
    start = 0.5
    for arm in range(4):
        angle = start + math.pi / 2 * arm
        a, b = math.cos(angle), math.sin(angle)
        figure.line([(0, 26), (a * 22, 26 + b * 22)], cap, 0.8)
        corner = [
            (a * 5, 26 + b * 5),
            (a * 22, 26 + b * 22),
            (a * 22 - b * 4, 26 + b * 22 + a * 4),
            (a * 5 - b * 4, 26 + b * 5 + a * 4),
        ]
        figure.poly(corner, figure.ink((232, 222, 200)))


LANDMARKS: dict[str, Landmark] = {
    "arch": Landmark(_arch, 38),
    "arch-bridge": Landmark(bridges.arch_bridge, 48),
    "blue-dome": Landmark(_blue_dome, 42),
    "clock-tower": Landmark(towers.clock_tower, 72),
    "colosseum": Landmark(_colosseum, 36),
    "disc-tower": Landmark(towers.disc_tower, 96),
    "dome": Landmark(_dome, 60),
    "ferris-wheel": Landmark(towers.ferris_wheel, 60),
    "lattice-tower": Landmark(towers.lattice_tower, 92),
    "minaret-square": Landmark(towers.minaret_square, 67),
    "minarets": Landmark(towers.minarets, 55),
    "obelisk": Landmark(towers.obelisk, 61),
    "onion-domes": Landmark(_onion_domes, 55),
    "pagoda": Landmark(_pagoda, 62),
    "palace-gate": Landmark(_palace_gate, 34),
    "pyramids": Landmark(_pyramids, 56),
    "sails": Landmark(_sails, 42),
    "setback-tower": Landmark(towers.setback_tower, 108),
    "spike": Landmark(towers.spike, 128),
    "spires": Landmark(towers.spires, 72),
    "statue": Landmark(towers.statue, 80),
    "stepped-church": Landmark(towers.stepped_church, 66),
    "stupa": Landmark(_stupa, 56),
    "suspension-bridge": Landmark(bridges.suspension_bridge, 54),
    "temple": Landmark(_temple, 54),
    "torii": Landmark(_torii, 26),
    "twin-church": Landmark(_twin_church, 46),
    "windmill": Landmark(_windmill, 50),
}
"""What can stand behind a town."""
