"""Houses: a table of regional styles, and how a wall in one of them is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from geosearch.postcards.canvas import RGB, mix, rgb, shade
from geosearch.postcards.roofs import ROOFS
from geosearch.postcards.stage import LAMPLIGHT, Stage, Wall
from geosearch.postcards.street import write_sign


@dataclass(frozen=True, slots=True)
class Style:
    """A way to build.

    Args:
        storeys: fewest and most.
        width_m: narrowest and widest front.
        window: `sash`, `arch`, `pointed`, `shutter`, `strip`, `grid`, `small`, `screen`.
        roof: name of `roofs.ROOFS`.
        ornament: `timber`, `planks`, `balcony`, `bricks`, `vigas`, `escape`, `arcade`, `neon`,
            `ribs`, `iwan`, or nothing.
        bay_m: from one window to the next.
        storey_m: from floor to floor.
        has_shops: whether the ground floor sells things.
    """

    storeys: tuple[int, int]
    width_m: tuple[float, float]
    window: str
    roof: str
    ornament: str = ""
    bay_m: float = 2.6
    storey_m: float = 3.2
    has_shops: bool = False


STYLES: dict[str, Style] = {
    "adobe": Style((1, 2), (9, 14), "small", "rounded", "vigas", 3.6, 3.4),
    "brownstone": Style((4, 6), (7, 10), "sash", "cornice", "escape", 2.3, 3.3, True),
    "canal": Style((3, 5), (5, 7), "sash", "stepped", "bricks", 1.7, 3.1),
    "colonial": Style((2, 3), (10, 16), "shutter", "hip", "arcade", 3.0, 4.2),
    "cottage": Style((1, 2), (8, 12), "shutter", "hip", "", 2.8, 3.2),
    "cube": Style((1, 2), (5, 9), "small", "dome", "", 2.8, 3.2),
    "favela": Style((2, 4), (5, 8), "small", "tank", "bricks", 2.4, 2.8),
    "glass": Style((14, 30), (14, 22), "grid", "flat", "", 2.2, 3.6, True),
    "haussmann": Style((5, 6), (12, 18), "sash", "mansard", "balcony", 2.5, 3.5, True),
    "iwan": Style((2, 3), (14, 20), "pointed", "flat", "iwan", 3.6, 4.6),
    "machiya": Style((2, 2), (6, 9), "screen", "eaves", "planks", 1.6, 3.0, True),
    "moorish": Style((2, 3), (8, 13), "pointed", "crenel", "", 3.0, 3.8),
    "neon": Style((5, 9), (6, 10), "strip", "tank", "neon", 2.2, 3.3, True),
    "pagoda": Style((2, 3), (7, 11), "screen", "upturned", "", 1.9, 3.3, True),
    "shophouse": Style((2, 3), (5, 6.5), "shutter", "hip", "arcade", 1.7, 3.9, True),
    "slab": Style((4, 9), (12, 20), "strip", "tank", "", 2.8, 3.0, True),
    "station": Style((1, 2), (12, 20), "small", "low-gable", "ribs", 4.0, 3.4),
    "terrace": Style((3, 4), (5, 7), "sash", "chimneys", "bricks", 2.0, 3.2),
    "tile": Style((3, 5), (8, 13), "shutter", "hip", "", 2.5, 3.3, True),
    "timber": Style((3, 4), (7, 9), "sash", "gable", "timber", 1.9, 3.0),
    "tin": Style((2, 3), (7, 11), "sash", "gable", "ribs", 2.3, 3.0),
    "tube": Style((4, 6), (4, 5), "shutter", "flat", "balcony", 1.9, 3.3, True),
    "victorian": Style((3, 4), (7, 8.5), "sash", "gable", "bay", 1.9, 3.5),
    "wooden": Style((2, 4), (6, 9), "sash", "gable", "planks", 2.0, 3.0),
}


def build(stage: Stage, wall: Wall, name: str, *, has_roof: bool = True) -> float:
    """Draw a house in that style whose front is the wall; returns its height to the eaves."""
    style, city = STYLES[name], stage.shot.city
    storeys = int(stage.rng.integers(style.storeys[0], style.storeys[1] + 1))
    height = storeys * style.storey_m + 0.5
    colour = shade(rgb(stage.pick(city.walls)), stage.between(0.92, 1.06))
    if name == "glass":
        colour = mix(colour, (96, 132, 156), 0.72)
    wall.rect(0, 0, wall.length, height, wall.ink(colour))
    if name != "glass":
        _ornament_below(wall, style, height, colour)
    _windows(stage, wall, style, storeys, colour)
    if style.ornament in ("balcony", "escape", "neon", "bay", "iwan", "vigas", "arcade"):
        _ornament_above(stage, wall, style, storeys, colour)
    if style.has_shops and wall.px > 9:
        _shops(stage, wall, style)
    if has_roof:
        ROOFS[style.roof](wall, height, colour)
    return height


def _ornament_below(wall: Wall, style: Style, height: float, colour: RGB) -> None:
    """Texture of the wall itself, which windows cover."""
    if wall.px < 7:
        return
    length, faint = wall.length, wall.ink(shade(colour, 0.88))
    if style.ornament == "planks":
        for row in range(1, int(height / 0.9)):
            wall.line([(0, row * 0.9), (length, row * 0.9)], faint, 0.08)
    elif style.ornament == "bricks":
        for row in range(1, int(height / 1.1)):
            wall.line([(0, row * 1.1), (length, row * 1.1)], faint, 0.05)
    elif style.ornament == "ribs":
        for rib in range(1, int(length / 0.7)):
            wall.line([(rib * 0.7, 0), (rib * 0.7, height)], faint, 0.08)
    elif style.ornament == "timber":
        beam = wall.ink((74, 50, 38))
        rows = int(height / style.storey_m)
        for row in range(rows + 1):
            wall.rect(0, row * style.storey_m, length, row * style.storey_m + 0.28, beam)
        for post in range(int(length / style.bay_m) + 2):
            s = min(length, post * style.bay_m)
            wall.line([(s, 0), (s, height)], beam, 0.24)
        for row in range(1, rows):
            low = row * style.storey_m
            wall.line([(0, low), (style.bay_m, low + style.storey_m)], beam, 0.2)
            wall.line([(length, low), (length - style.bay_m, low + style.storey_m)], beam, 0.2)
    edge = wall.ink(shade(colour, 0.78))
    wall.rect(0, 0, min(0.25, length), height, edge)


def _windows(stage: Stage, wall: Wall, style: Style, storeys: int, colour: RGB) -> None:
    """All windows of a front, lit at random when it is dark."""
    if wall.px < 2.2:
        return
    if style.window == "grid":
        _curtain(stage, wall, style, storeys, colour)
        return
    light = stage.light
    glass = mix(wall.ink((58, 70, 86), 0.6), light.zenith, 0.25)
    bright = mix(glass, light.horizon, 0.4)
    lamp_share = 0.45 if light.is_dark else 0.06 * light.cover
    bays = max(1, int((wall.length - 0.8) / style.bay_m))
    pitch = wall.length / bays
    half = min(0.62, pitch * 0.3) if style.window != "strip" else pitch * 0.42
    first = 1 if style.has_shops and wall.px > 9 else 0
    trim = wall.ink(mix(colour, (255, 252, 244), 0.6))
    shutter = wall.ink(rgb(stage.pick(("#3f6f5a", "#4a6f8f", "#7a4a3a", "#e9e4d8"))))
    draws = stage.rng.random(bays * storeys).tolist()
    for storey in range(first, storeys):
        low = storey * style.storey_m + (1.0 if style.window != "screen" else 0.5)
        high = low + min(style.storey_m - 1.3, 1.9) * (1.0 if style.window != "small" else 0.6)
        for bay in range(bays):
            draw = draws[storey * bays + bay]
            s = (bay + 0.5) * pitch
            ink = LAMPLIGHT if draw < lamp_share else bright if draw > 0.8 else glass
            _window(wall, style.window, (s - half, low, s + half, high), (ink, trim, shutter))


def _window(
    wall: Wall,
    kind: str,
    box: tuple[float, float, float, float],
    inks: tuple[RGB, RGB, RGB],
) -> None:
    """One window; inks are glass, trim and shutter."""
    s0, low, s1, high = box
    glass, trim, shutter = inks
    near = wall.px > 11
    if kind in ("arch", "pointed"):
        if near:
            wall.arch(s0 - 0.15, low, s1 + 0.15, high + 0.3, trim, pointed=kind == "pointed")
        wall.arch(s0, low, s1, high + 0.15, glass, pointed=kind == "pointed")
        return
    if kind == "shutter" and wall.px > 6:
        wide = (s1 - s0) * 0.5
        wall.rect(s0 - wide, low, s1 + wide, high, shutter)
    elif kind in ("sash", "small") and wall.px > 6:
        wall.rect(s0 - 0.14, low - 0.16, s1 + 0.14, high + 0.16, trim)
    wall.rect(s0, low, s1, high, glass)
    if near and kind == "sash":
        wall.line([(s0, (low + high) / 2), (s1, (low + high) / 2)], trim, 0.09)
    elif near and kind == "strip":
        wall.rect(s0, low - 0.3, s1, low, shade(trim, 0.9))
    elif near and kind == "screen":
        for part in (0.25, 0.5, 0.75):
            s = s0 + (s1 - s0) * part
            wall.line([(s, low), (s, high)], shutter, 0.08)


def _curtain(stage: Stage, wall: Wall, style: Style, storeys: int, colour: RGB) -> None:
    """A glass front: panes that mirror the sky, brighter the higher, with mullions between."""
    light, length = stage.light, wall.length
    step = 1 if wall.px > 14 else 2
    base = wall.ink(colour)
    share = 0.4 if light.is_dark else 0.0
    for storey in range(0, storeys, step):
        low, high = storey * style.storey_m, (storey + step) * style.storey_m
        sky = mix(light.horizon, light.zenith, 0.3 + 0.7 * storey / storeys)
        wall.rect(0, low + 0.5, length, high, mix(base, sky, 0.42))
        if share:
            for s in stage.rng.uniform(0, length, 4).tolist():
                wall.rect(s, low + 0.8, min(length, s + 2.4), high - 0.4, shade(LAMPLIGHT, 0.9))
    line = mix(base, (40, 48, 60), 0.35)
    for bay in range(1, int(length / style.bay_m)):
        s = bay * style.bay_m
        wall.line([(s, 0), (s, storeys * style.storey_m)], line, 0.14)


def _ornament_above(stage: Stage, wall: Wall, style: Style, storeys: int, colour: RGB) -> None:
    """What stands out from the wall in front of its windows."""
    length, dark = wall.length, wall.ink((48, 46, 52), 0.6)
    if style.ornament == "balcony" and wall.px > 5:
        for storey in range(1, storeys):
            low = storey * style.storey_m + 0.4
            wall.rect(0.3, low - 0.12, length - 0.3, low, dark)
            wall.line([(0.3, low + 0.9), (length - 0.3, low + 0.9)], dark, 0.07)
            if wall.px > 16:
                for bar in range(int(length / 0.5)):
                    wall.line([(0.3 + bar * 0.5, low), (0.3 + bar * 0.5, low + 0.9)], dark, 0.04)
    elif style.ornament == "escape" and wall.px > 6:
        left = stage.between(0.8, max(1.0, length - 4))
        for storey in range(1, storeys):
            low = storey * style.storey_m + 0.6
            wall.rect(left, low - 0.15, left + 3, low, dark)
            wall.line([(left, low + 0.9), (left + 3, low + 0.9)], dark, 0.08)
            wall.line([(left + 0.3, low), (left + 2.6, low - style.storey_m)], dark, 0.14)
    elif style.ornament == "neon":
        palette = ("#e8433a", "#f2c53a", "#2f9fd8", "#e85fa8", "#3fb878", "#f4f1ea")
        for _ in range(3):
            s, low = stage.between(0.2, max(0.3, length - 1.5)), stage.between(3.5, 9)
            high = low + stage.between(3, 9)
            board = rgb(stage.pick(palette))
            ink = board if stage.light.is_dark else wall.ink(board, 1.2)
            wall.rect(s, low, s + 1.3, high, ink)
            write_sign(wall, (s + 0.1, low + 0.2, s + 1.2, high - 0.2), upright=True, ground=board)
    elif style.ornament == "bay":
        for storey in range(1, storeys):
            low = storey * style.storey_m
            wall.rect(length * 0.12, low + 0.3, length * 0.14, low + 2.8, wall.ink((250, 248, 240)))
            wall.rect(0, low - 0.1, length, low + 0.25, wall.ink((250, 248, 240)))
    elif style.ornament == "iwan":
        _iwan(wall, storeys * style.storey_m)
    elif style.ornament == "vigas" and wall.px > 6:
        beam = wall.ink((104, 72, 48), 0.5)
        for number in range(int(length / 1.1)):
            s, y = 0.7 + number * 1.1, storeys * style.storey_m - 0.5
            wall.rect(s, y, s + 0.3, y + 0.3, beam)
    elif style.ornament == "arcade":
        shadow = mix(wall.ink(shade(colour, 0.42), 0.3), (30, 28, 40), 0.3)
        bays = max(1, round(length / 3.2))
        for bay in range(bays):
            s0, s1 = (bay + 0.14) * length / bays, (bay + 0.86) * length / bays
            wall.arch(s0, 0, s1, style.storey_m - 0.5, shadow)


def _iwan(wall: Wall, height: float) -> None:
    """A tall portal, framed in blue tiles, with a pointed niche."""
    middle, half = wall.length / 2, min(wall.length * 0.28, 4.5)
    blue, turquoise = wall.ink((38, 94, 150)), wall.ink((52, 158, 176))
    wall.rect(middle - half, 0, middle + half, height * 1.35, blue)
    wall.rect(middle - half * 0.86, 0, middle + half * 0.86, height * 1.28, turquoise)
    wall.rect(
        middle - half * 0.74, 0, middle + half * 0.74, height * 1.2, wall.ink((222, 190, 140))
    )
    dark = wall.ink((70, 60, 70), 0.4)
    wall.arch(middle - half * 0.6, 0, middle + half * 0.6, height * 1.08, dark, pointed=True)


def _shops(stage: Stage, wall: Wall, style: Style) -> None:
    """A ground floor of shop windows, awnings and signs in the script of the place."""
    awnings: Sequence[str] = ("#b8383a", "#2f6b56", "#2f5f9a", "#d8a23a", "#6f3f6f", "#e6e0d2")
    top = style.storey_m - 0.3
    count = max(1, round(wall.length / 5.5))
    step = wall.length / count
    for number in range(count):
        s0, s1 = number * step + 0.25, (number + 1) * step - 0.25
        inside = LAMPLIGHT if stage.light.is_dark else wall.ink((74, 74, 82), 0.5)
        wall.rect(s0, 0, s1, top - 0.5, wall.ink((56, 50, 50), 0.5))
        wall.rect(s0 + 0.2, 0.5, s1 - 0.9, top - 0.9, inside)
        board = rgb(stage.pick(awnings))
        wall.rect(s0, top - 0.8, s1, top, wall.ink(board))
        write_sign(wall, (s0 + 0.3, top - 0.68, s1 - 0.3, top - 0.12), upright=False, ground=board)
        if stage.chance(0.5):
            colour = wall.ink(rgb(stage.pick(awnings)), 1.1)
            wall.poly(
                [(s0, top - 0.8), (s1, top - 0.8), (s1 + 0.15, top - 1.5), (s0 - 0.15, top - 1.5)],
                colour,
            )
