"""Roofs, by shape; each is drawn over a wall whose eaves are at a height."""

from __future__ import annotations

from collections.abc import Callable

from geosearch.postcards.canvas import RGB, Point, mix, rgb, shade
from geosearch.postcards.stage import SNOW, Wall


def _covering(wall: Wall, *, factor: float = 1.0) -> RGB:
    """What lies on roofs in this city, under snow if there is any."""
    stage = wall.stage
    colour = SNOW if stage.shot.snow else shade(rgb(stage.shot.city.roof), stage.between(0.9, 1.08))
    slope = 0.35 + 0.5 * wall.lit
    return stage.ink(shade(colour, factor), slope, wall.z)


def _tiles(wall: Wall, outline: list[Point], low: float, high: float, ink: RGB) -> None:
    """A sloping face with the hint of its courses."""
    wall.poly(outline, ink)
    if wall.px > 8 and not wall.stage.shot.snow:
        (left, _), (right, _) = outline[0], outline[1]
        for part in (0.3, 0.6):
            y, inset = low + (high - low) * part, (outline[3][0] - left) * part
            wall.line([(left + inset, y), (right - inset, y)], mix(ink, (40, 30, 40), 0.18), 0.1)


def _hip(wall: Wall, height: float, colour: RGB) -> None:
    length, rise = wall.length, min(2.6, wall.length * 0.26)
    wall.rect(0, height - 0.3, length, height, wall.ink(shade(colour, 0.8)))
    outline = [
        (-0.5, height),
        (length + 0.5, height),
        (length - rise * 0.9, height + rise),
        (rise * 0.9, height + rise),
    ]
    _tiles(wall, outline, height, height + rise, _covering(wall))


def _gable(wall: Wall, height: float, colour: RGB) -> None:
    length, rise = wall.length, min(4.5, wall.length * 0.48)
    wall.poly([(0, height), (length, height), (length / 2, height + rise)], wall.ink(colour))
    edge = _covering(wall)
    top = (length / 2, height + rise + 0.2)
    wall.line([(-0.5, height - 0.3), top], edge, 0.55)
    wall.line([(length + 0.5, height - 0.3), top], edge, 0.55)
    if wall.px > 6:
        glass = wall.ink((70, 80, 96), 0.6)
        wall.rect(length / 2 - 0.4, height + 0.5, length / 2 + 0.4, height + 1.5, glass)


def _low_gable(wall: Wall, height: float, colour: RGB) -> None:
    length = wall.length
    wall.poly(
        [(0, height), (length, height), (length / 2, height + 1.6)], wall.ink(shade(colour, 0.9))
    )
    edge = _covering(wall)
    wall.line([(-0.3, height), (length / 2, height + 1.7), (length + 0.3, height)], edge, 0.4)


def _stepped(wall: Wall, height: float, colour: RGB) -> None:
    length, steps, ink = wall.length, 4, wall.ink(colour)
    cap = wall.ink((236, 230, 216))
    if wall.stage.chance(0.4):
        curve = [(0.0, height), (length * 0.16, height + 1.6), (length * 0.3, height + 1.9)]
        curve += [(length * 0.34, height + 3.6), (length * 0.5, height + 4.3)]
        outline = curve + [(length - s, y) for s, y in reversed(curve)]
        wall.poly(outline, ink)
        wall.line(outline, cap, 0.3)
    else:
        for step in range(steps):
            inset, low = step * length * 0.11, height + step * 0.95
            wall.rect(inset, low, length - inset, low + 1.0, ink)
            wall.rect(inset, low + 0.85, length - inset, low + 1.05, cap)
    glass = wall.ink((60, 66, 80), 0.6)
    wall.rect(length * 0.42, height + 0.6, length * 0.58, height + 2.0, glass)


def _mansard(wall: Wall, height: float, colour: RGB) -> None:
    length, slate = wall.length, _covering(wall)
    wall.rect(
        -0.2, height - 0.35, length + 0.2, height, wall.ink(mix(colour, (255, 255, 255), 0.3))
    )
    outline = [(0.0, height), (length, height), (length - 0.7, height + 2.9), (0.7, height + 2.9)]
    wall.poly(outline, slate)
    ridge = mix(slate, (255, 255, 255), 0.15)
    wall.poly(
        [
            (0.7, height + 2.9),
            (length - 0.7, height + 2.9),
            (length - 2, height + 3.7),
            (2, height + 3.7),
        ],
        ridge,
    )
    if wall.px > 4:
        for dormer in range(max(1, int(length / 3))):
            s = 1.6 + dormer * 3
            if s < length - 1:
                wall.rect(
                    s - 0.6,
                    height + 0.4,
                    s + 0.6,
                    height + 2.2,
                    wall.ink(mix(colour, (255, 255, 255), 0.4)),
                )
                wall.rect(
                    s - 0.38, height + 0.5, s + 0.38, height + 1.9, wall.ink((60, 68, 84), 0.6)
                )
        _stacks(wall, height + 3.4, ((0.1, 1.5), (0.85, 1.2)))


def _stacks(wall: Wall, foot: float, stacks: tuple[tuple[float, float], ...]) -> None:
    """Chimneys at shares of the front."""
    ink, pot = wall.ink((136, 84, 66)), wall.ink((190, 112, 76))
    for share, tall in stacks:
        s = wall.length * share
        wall.rect(s - 0.6, foot, s + 0.6, foot + tall, ink)
        for pots in (-0.35, 0.0, 0.35):
            wall.rect(s + pots - 0.1, foot + tall, s + pots + 0.1, foot + tall + 0.5, pot)


def _chimneys(wall: Wall, height: float, colour: RGB) -> None:
    wall.rect(-0.1, height - 0.3, wall.length + 0.1, height + 0.1, wall.ink((236, 230, 218)))
    outline = [
        (0.0, height),
        (wall.length, height),
        (wall.length, height + 2.0),
        (0.0, height + 2.0),
    ]
    wall.poly(outline, _covering(wall))
    del colour
    _stacks(wall, height + 1.5, ((0.06, 1.8),))


def _flat(wall: Wall, height: float, colour: RGB) -> None:
    wall.rect(-0.1, height - 0.2, wall.length + 0.1, height + 0.7, wall.ink(shade(colour, 0.86)))
    if wall.stage.shot.snow:
        wall.rect(-0.1, height + 0.5, wall.length + 0.1, height + 0.9, wall.ink(SNOW))


def _tank(wall: Wall, height: float, colour: RGB) -> None:
    _flat(wall, height, colour)
    if wall.px > 3:
        s = wall.stage.between(0.15, 0.75) * wall.length
        tank = wall.stage.pick(("#3f6fa8", "#2c2f34", "#c9cdd0"))
        wall.rect(s, height + 0.7, s + 1.7, height + 2.4, wall.ink(rgb(tank)))
        mast = wall.ink((70, 70, 76), 0.6)
        wall.line([(s + 2.6, height), (s + 2.6, height + 3.4)], mast, 0.09)
        wall.line([(s + 2.0, height + 3.0), (s + 3.2, height + 3.0)], mast, 0.09)


def _cornice(wall: Wall, height: float, colour: RGB) -> None:
    wall.rect(-0.3, height - 0.1, wall.length + 0.3, height + 0.8, wall.ink(shade(colour, 0.7)))
    wall.rect(-0.45, height + 0.6, wall.length + 0.45, height + 1.0, wall.ink(shade(colour, 0.6)))
    if wall.px > 3 and wall.stage.chance(0.35):
        s = wall.length * wall.stage.between(0.2, 0.6)
        wood, leg = wall.ink((112, 82, 60)), wall.ink((60, 52, 50))
        wall.rect(s + 0.1, height + 0.9, s + 0.3, height + 2.4, leg)
        wall.rect(s + 2.1, height + 0.9, s + 2.3, height + 2.4, leg)
        wall.rect(s, height + 2.2, s + 2.4, height + 4.6, wood)
        wall.poly([(s - 0.2, height + 4.6), (s + 2.6, height + 4.6), (s + 1.2, height + 5.6)], leg)


def _rounded(wall: Wall, height: float, colour: RGB) -> None:
    length, ink = wall.length, wall.ink(colour)
    outline = [
        (0.0, height),
        (0.2, height + 0.6),
        (1.2, height + 0.9),
        (length * 0.4, height + 0.7),
    ]
    outline += [
        (length * 0.6, height + 0.8),
        (length - 1.0, height + 0.9),
        (length - 0.2, height + 0.5),
    ]
    wall.poly([*outline, (length, height)], ink)
    if wall.stage.shot.snow:
        wall.line(outline, wall.ink(SNOW), 0.4)


def _dome(wall: Wall, height: float, colour: RGB) -> None:
    wall.rect(0, height, wall.length, height + 0.5, wall.ink(colour))
    if wall.length > 5 and wall.stage.chance(0.4):
        middle, radius = wall.length / 2, min(2.6, wall.length * 0.36)
        blue = wall.stage.ink(rgb(wall.stage.shot.city.roof), 0.8, wall.z)
        wall.arch(middle - radius, height + 0.4, middle + radius, height + 0.6 + radius, blue)
        wall.line(
            [(middle, height + radius), (middle, height + radius + 1.8)],
            wall.ink((250, 250, 250)),
            0.14,
        )
    elif wall.stage.chance(0.4):
        wall.arch(0.2, height + 0.4, wall.length - 0.2, height + 1.8, wall.ink(colour))


def _crenel(wall: Wall, height: float, colour: RGB) -> None:
    ink = wall.ink(shade(colour, 0.95))
    count = max(2, int(wall.length / 1.1))
    step = wall.length / count
    for merlon in range(count):
        wall.rect((merlon + 0.2) * step, height, (merlon + 0.8) * step, height + 0.9, ink)
    band = wall.ink(rgb(wall.stage.shot.city.roof))
    wall.rect(0, height - 0.6, wall.length, height - 0.25, band)


def _upturned(wall: Wall, height: float, colour: RGB) -> None:
    del colour
    length, ink = wall.length, _covering(wall)
    for low, wide, rise in ((height - 3.6, 1.0, 1.1), (height, 1.4, 2.3)):
        wall.poly(
            [
                (-wide, low + 0.5),
                (0, low - 0.1),
                (length, low - 0.1),
                (length + wide, low + 0.5),
                (length - 0.9, low + rise * 0.6),
                (length - 1.6, low + rise),
                (1.6, low + rise),
                (0.9, low + rise * 0.6),
            ],
            ink,
        )
        wall.line(
            [(-wide, low + 0.5), (0, low), (length, low), (length + wide, low + 0.5)],
            wall.ink((196, 60, 44)),
            0.16,
        )


def _eaves(wall: Wall, height: float, colour: RGB) -> None:
    del colour
    length, ink = wall.length, _covering(wall)
    for low, rise in ((height / 2 - 0.2, 0.8), (height, 1.7)):
        outline = [(-0.7, low), (length + 0.7, low), (length + 0.1, low + rise), (-0.1, low + rise)]
        _tiles(wall, outline, low, low + rise, ink)
        wall.line([(-0.7, low), (length + 0.7, low)], mix(ink, (20, 20, 26), 0.4), 0.18)


ROOFS: dict[str, Callable[[Wall, float, RGB], None]] = {
    "chimneys": _chimneys,
    "cornice": _cornice,
    "crenel": _crenel,
    "dome": _dome,
    "eaves": _eaves,
    "flat": _flat,
    "gable": _gable,
    "hip": _hip,
    "low-gable": _low_gable,
    "mansard": _mansard,
    "rounded": _rounded,
    "stepped": _stepped,
    "tank": _tank,
    "upturned": _upturned,
}
