"""Landmarks that are tall and thin."""

from __future__ import annotations

import math
from itertools import pairwise

from geosearch.postcards.canvas import RGB, mix
from geosearch.postcards.stage import LAMPLIGHT, Figure

IRON: RGB = (158, 92, 64)
STONE: RGB = (214, 196, 164)


def lattice_tower(figure: Figure) -> None:
    """An iron tower on four legs, with two platforms."""
    ink, back = figure.ink(IRON, 1.1), mix(figure.ink(IRON, 0.6), figure.stage.light.horizon, 0.25)
    tall = 84.0

    def half(b: float) -> float:
        return 17.0 * math.pow(1 - b / tall, 1.9) + 0.7

    levels = [tall * step / 16 for step in range(17)]
    for low, high in pairwise(levels[3:]):
        figure.line([(-half(low), low), (half(high), high)], back, 0.7)
        figure.line([(half(low), low), (-half(high), high)], back, 0.7)
    for side in (-1, 1):
        outer = [(side * half(b), b) for b in levels]
        inner = [(side * half(b) * 0.62, b) for b in levels[:5]]
        figure.poly([*outer[:5], *reversed(inner)], ink)
        figure.line(outer, ink, 1.5)
    arch = [
        (-half(8) * 0.72 + 1.44 * half(8) * t / 10, 6 + 9 * math.sin(math.pi * t / 10))
        for t in range(11)
    ]
    figure.line(arch, ink, 1.1)
    for level, thick in ((20.0, 2.0), (38.0, 1.6), (74.0, 1.2)):
        figure.rect(-half(level) - 1.2, level, half(level) + 1.2, level + thick, ink)
    figure.line([(0, tall - 2), (0, tall + 8)], ink, 0.6)


def clock_tower(figure: Figure) -> None:
    """A square tower with a lit dial and a steep roof."""
    figure.round_rect(-5.5, 0, 5.5, 44, figure.ink(STONE))
    for b in (8, 17, 26):
        for a in (-3.2, 0.0, 3.2):
            figure.rect(a - 0.6, b, a + 0.6, b + 6, figure.ink((104, 92, 82), 0.6))
    figure.rect(-6.3, 34, 6.3, 48, figure.ink(STONE, 1.1))
    dial = LAMPLIGHT if figure.stage.light.is_dark else figure.ink((248, 244, 230))
    figure.oval(0, 41, 4.9, 4.9, figure.ink((70, 62, 56), 0.7))
    figure.oval(0, 41, 4.3, 4.3, dial)
    dark = (40, 38, 44)
    figure.line([(0, 41), (0, 44.4)], dark, 0.5)
    figure.line([(0, 41), (2.2, 39.4)], dark, 0.5)
    roof = figure.ink((74, 88, 86))
    figure.poly([(-6.6, 48), (-3.2, 56), (3.2, 56), (6.6, 48)], roof)
    figure.poly([(-3.2, 58), (0, 72), (3.2, 58)], roof)
    figure.rect(-3.0, 56, 3.0, 58, figure.ink((206, 168, 92)))


def disc_tower(figure: Figure) -> None:
    """A concrete needle with a round platform high up."""
    concrete = figure.ink((206, 204, 198))
    figure.poly([(-3.6, 0), (-1.5, 62), (1.5, 62), (3.6, 0)], concrete)
    figure.poly(
        [(-figure.side * 3.6, 0), (-figure.side * 1.5, 62), (0, 62), (0, 0)],
        mix(concrete, (50, 54, 70), 0.3),
    )
    figure.oval(0, 64, 9.0, 2.6, figure.ink((120, 126, 134), 0.7))
    figure.oval(0, 66, 9.0, 2.6, concrete)
    figure.rect(
        -6.4, 67, 6.4, 70.5, LAMPLIGHT if figure.stage.light.is_dark else figure.ink((86, 104, 124))
    )
    figure.oval(0, 71, 6.6, 1.5, concrete)
    figure.line([(0, 71), (0, 84)], figure.ink((214, 60, 50)), 1.1)
    figure.line([(0, 84), (0, 96)], figure.ink((238, 238, 238)), 0.7)


def spike(figure: Figure) -> None:
    """A very tall tower that steps in as it rises."""
    steel = mix(figure.ink((168, 184, 196)), figure.stage.light.zenith, 0.2)
    for low, high, half in (
        (0, 34, 9.5),
        (30, 58, 7.0),
        (54, 78, 4.8),
        (74, 94, 3.0),
        (92, 108, 1.5),
    ):
        figure.round_rect(-half, low, half, high, steel)
        figure.line([(half * 0.3, low), (half * 0.3, high)], mix(steel, (255, 255, 255), 0.4), 0.4)
    figure.line([(0, 106), (0, 128)], steel, 0.6)


def setback_tower(figure: Figure) -> None:
    """An office tower of the 1930s: setbacks, piers and a mast."""
    stone, dark = figure.ink((188, 178, 164)), figure.ink((98, 98, 108), 0.7)
    for low, high, half in ((0, 26, 15), (26, 44, 12), (44, 74, 9.5), (74, 82, 7), (82, 88, 4)):
        figure.round_rect(-half, low, half, high, stone)
        for bay in range(-int(half / 2.4), int(half / 2.4) + 1):
            figure.line([(bay * 2.4, low + 1), (bay * 2.4, high - 2)], dark, 0.8)
    figure.poly([(-2.4, 88), (0, 96), (2.4, 88)], figure.ink((206, 210, 214)))
    figure.line([(0, 95), (0, 108)], dark, 0.6)


def obelisk(figure: Figure) -> None:
    """A white needle of four faces."""
    white = figure.ink((244, 240, 230))
    figure.rect(-7, 0, 7, 3, figure.ink((186, 182, 172)))
    figure.poly([(-4, 3), (-2.9, 56), (0, 61), (2.9, 56), (4, 3)], white)
    figure.poly(
        [(-figure.side * 4, 3), (-figure.side * 2.9, 56), (0, 61), (0, 3)],
        mix(white, (60, 66, 92), 0.3),
    )


def minaret_square(figure: Figure) -> None:
    """A square minaret of red stone with a lantern and three balls."""
    stone, dark = figure.ink((202, 122, 80)), figure.ink((120, 68, 48), 0.7)
    figure.round_rect(-6, 0, 6, 50, stone)
    for b in (12, 26, 38):
        for a in (-2.4, 2.4):
            figure.half(a, b + 4, 1.3, 2.2, dark)
            figure.rect(a - 1.3, b, a + 1.3, b + 4, dark)
    figure.rect(-6, 44, 6, 47, figure.ink((58, 138, 118)))
    for merlon in range(-5, 6, 2):
        figure.rect(merlon - 0.6, 50, merlon + 0.6, 52, stone)
    figure.rect(-2.6, 50, 2.6, 59, stone)
    figure.half(0, 59, 2.7, 2.8, stone)
    for height, r in ((63.0, 0.9), (65.0, 0.7), (66.6, 0.5)):
        figure.oval(0, height, r, r, figure.ink((224, 178, 74)))


def minarets(figure: Figure) -> None:
    """A great dome among smaller ones, between pencil minarets."""
    stone, lead = figure.ink((206, 198, 184)), figure.ink((128, 146, 158))
    for a in (-31.0, 31.0, -20.0, 20.0):
        tall = 50 if abs(a) > 25 else 44
        figure.round_rect(a - 1.2, 0, a + 1.2, tall, stone)
        for b in (24, 34):
            figure.rect(a - 1.9, b, a + 1.9, b + 1.2, stone)
        figure.poly([(a - 1.5, tall), (a, tall + 11), (a + 1.5, tall)], lead)
    figure.rect(-24, 0, 24, 14, stone)
    for a, b, r in ((-15, 13, 7), (15, 13, 7), (-8, 18, 7), (8, 18, 7)):
        figure.half(a, b, r, r * 0.9, lead)
    figure.rect(-11, 18, 11, 25, stone)
    figure.half(0, 24, 12, 11, lead)
    figure.half(figure.side * 3, 25, 6, 8.5, mix(lead, (255, 250, 230), 0.2))
    figure.line([(0, 34), (0, 39)], figure.ink((224, 184, 84)), 0.5)
    for a in range(-21, 22, 6):
        figure.half(a, 5, 1.6, 3, figure.ink((90, 88, 94), 0.6))


def ferris_wheel(figure: Figure) -> None:
    """A wheel with cabins, on two legs."""
    steel = figure.ink((232, 234, 238))
    radius, hub = 27.0, 32.0
    for side in (-1, 1):
        figure.line([(side * 12, 0), (0, hub)], figure.ink((190, 194, 202)), 1.3)
    for spoke in range(16):
        angle = math.pi * spoke / 8 + 0.1
        figure.line(
            [(0, hub), (radius * math.cos(angle), hub + radius * math.sin(angle))], steel, 0.35
        )
    figure.ring(0, hub, radius, steel, 1.2)
    figure.ring(0, hub, radius * 0.88, steel, 0.5)
    cabins: tuple[RGB, RGB] = ((206, 62, 54), (240, 238, 232))
    for cabin in range(20):
        angle = math.pi * cabin / 10
        a, b = radius * 1.04 * math.cos(angle), hub + radius * 1.04 * math.sin(angle)
        figure.oval(
            a,
            b - 0.8,
            1.7,
            1.7,
            LAMPLIGHT if figure.stage.light.is_dark else figure.ink(cabins[cabin % 2]),
        )
    figure.oval(0, hub, 2.2, 2.2, steel)


def statue(figure: Figure) -> None:
    """A figure with arms held out, on the top of a steep hill."""
    hill, white = figure.ink((66, 98, 72), 0.8), figure.ink((240, 238, 228))
    figure.poly(
        [(-46, 0), (-26, 22), (-13, 44), (-5, 55), (5, 55), (15, 42), (30, 20), (52, 0)], hill
    )
    figure.rect(-2.6, 54, 2.6, 60, figure.ink((178, 172, 162)))
    figure.poly([(-2.4, 60), (-1.8, 76), (1.8, 76), (2.4, 60)], white)
    figure.poly(
        [(-11.5, 73.6), (-11.5, 75.2), (0, 77), (11.5, 75.2), (11.5, 73.6), (2, 72.4), (-2, 72.4)],
        white,
    )
    figure.oval(0, 78.6, 1.3, 1.7, white)


def spires(figure: Figure) -> None:
    """A Gothic church with two pointed towers."""
    stone, roof = figure.ink((166, 150, 130)), figure.ink((88, 92, 98))
    figure.poly([(-15, 0), (-15, 26), (0, 36), (15, 26), (15, 0)], stone)
    figure.oval(0, 22, 4, 4, figure.ink((74, 84, 110), 0.8))
    for a in (-13.0, 13.0):
        figure.round_rect(a - 4.5, 0, a + 4.5, 42, stone)
        figure.poly([(a - 4.8, 42), (a, 72), (a + 4.8, 42)], roof)
        figure.poly([(a - figure.side * 4.8, 42), (a, 72), (a, 42)], mix(roof, (20, 22, 40), 0.3))
        for b in (12, 26):
            figure.half(a, b + 6, 1.3, 3, figure.ink((70, 64, 66), 0.6))
            figure.rect(a - 1.3, b, a + 1.3, b + 6, figure.ink((70, 64, 66), 0.6))
        for corner in (-4.2, 4.2):
            figure.poly([(a + corner - 0.8, 41), (a + corner, 50), (a + corner + 0.8, 41)], roof)


def stepped_church(figure: Figure) -> None:
    """A pale church whose front rises in steps like basalt columns."""
    pale = figure.ink((222, 216, 204))
    for step in range(11, 0, -1):
        half, tall = 3.2 + step * 2.0, 60 * (1 - step / 12.5) ** 1.25 + 3
        tone = mix(pale, (70, 76, 96), 0.03 * step if step % 2 else 0.14)
        figure.rect(-half, 0, half, tall, tone)
    figure.rect(-4.6, 0, 4.6, 54, pale)
    figure.poly([(-4.6, 54), (0, 66), (4.6, 54)], mix(pale, (90, 104, 116), 0.4))
    figure.rect(-1.1, 14, 1.1, 44, figure.ink((78, 82, 96), 0.7))
    figure.oval(0, 48, 1.7, 1.7, figure.ink((60, 60, 70), 0.7))
