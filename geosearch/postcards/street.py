"""Life at street level: writing on signs, roads and their markings, vehicles, lamps and people."""

from __future__ import annotations

from dataclasses import dataclass

from geosearch.postcards.canvas import RGB, mix, rgb, shade
from geosearch.postcards.stage import LAMPLIGHT, SNOW, Figure, Stage, Wall

# A glyph is its strokes between spaces, a stroke its corners as xy digits on a grid of 0 to 4 with
# y up. They are in the manner of each script and spell nothing.
SCRIPTS: dict[str, tuple[str, ...]] = {
    "latin": (
        "040040", "0444 2420", "0004 4044 0242", "44040040 0232", "002440 1232",
        "0004444000", "00044044", "042044", "000444420240", "44042220020040",
    ),
    "cyrillic": (
        "0044 0440 2024", "04004440 4044", "00044440 2024", "0004 0444", "4044044202424000",
        "0004 4044 0242", "1014343010 0010 3040", "0424 2420 4424", "0400204024444400",
    ),
    "greek": (
        "44042200 0040", "002440", "00244000", "0004 4044 0444", "0004444000 1232",
        "001011240434 3040", "2024 03014143", "0044 0440", "44042200 0040",
    ),
    "arabic": (
        "4131301001", "41311103 2434", "4140 4041", "41213331211101", "413120000212",
        "41344131 1101", "44413101 1414", "411101 2030",
    ),
    "han": (
        "0444 2420 0141 0242", "0004444000 0242 2024", "0343 2420 2200 2240",
        "0444 0242 0040 1014 3034",
        "1410 0343 0141 3430 1030", "0343 2420 0040 1232", "0424 4424 0141 2024 0040",
    ),
    "kana": (
        "0343 141100 3442", "042434312010", "0343 242210", "0434 342110 3240", "1410304042",
        "0333 242010", "0444331100", "1400 3440",
    ),
    "hangul": (
        "1434331314 0242 2220", "0434 3430 0040", "0101030323 3430 3242", "041424 1401 4440 1030",
        "0004 0040 3430 3242", "0404242202 4440 4232 0020",
    ),
    "devanagari": (
        "0444 3430 321203", "0444 2420 0222", "0444 3430 141323", "0444 141131 3034",
        "0444 3430 0110", "0444 3430 142210", "0444 2420 032121",
    ),
    "thai": (
        "030400 043430", "1403 0333 3330 0003", "0304 0010 1034 3430", "030212030044 4440",
        "0304141303 130040", "0304 040020 2444 4440",
    ),
}  # fmt: skip


def write_sign(
    wall: Wall, box: tuple[float, float, float, float], *, upright: bool, ground: RGB
) -> None:
    """Write something in the script of the place inside (s0, y0, s1, y1) of a wall."""
    s0, y0, s1, y1 = box
    cell = (s1 - s0) if upright else (y1 - y0)
    if cell * wall.px < 7 or s1 - s0 < 0.4:
        return
    stage = wall.stage
    is_light = sum(ground) > 420
    ink = wall.ink((44, 38, 44) if is_light else (250, 246, 232), 1.0)
    if stage.light.is_dark and not is_light:
        ink = (255, 246, 214)
    glyphs = SCRIPTS[stage.shot.city.script]
    run = (y1 - y0) if upright else (s1 - s0)
    advance = cell * (1.15 if upright else 0.95)
    count = int(run / advance)
    used = count if upright else int(count * stage.between(0.6, 1.0))
    start = (run - used * advance) / 2
    for number in range(used):
        if not upright and number and stage.chance(0.12):
            continue
        left = s0 + (0.12 * cell if upright else start + number * advance)
        foot = y1 - (number + 1) * advance if upright else y0
        size = cell * 0.76 / 4
        for stroke in stage.pick(glyphs).split():
            points = [
                (left + int(stroke[at]) * size, foot + int(stroke[at + 1]) * size * 1.2)
                for at in range(0, len(stroke), 2)
            ]
            wall.line(points, ink, cell * 0.12)


def asphalt_of(stage: Stage) -> RGB:
    """The colour of roadways here today."""
    climate = stage.shot.city.climate
    base: RGB = (94, 94, 98)
    if climate in ("desert", "savanna", "steppe"):
        base = mix(base, rgb(stage.shot.city.ground), 0.45)
    if stage.shot.weather == "rain":
        base = mix(base, (54, 60, 74), 0.5)
    return mix(base, SNOW, 0.45) if stage.shot.snow else base


def pavement_of(stage: Stage) -> RGB:
    """The colour of where people walk."""
    base = mix((172, 166, 158), rgb(stage.shot.city.ground), 0.38)
    return mix(base, SNOW, 0.75) if stage.shot.snow else base


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A kind of vehicle: size in metres, where its windows begin and end, decks, wheels."""

    length: float
    width: float
    height: float
    decks: int = 1
    wheel: float = 0.45
    hood: float = 0.0


VEHICLES: dict[str, Vehicle] = {
    "bus": Vehicle(11, 2.5, 3.1),
    "cablecar": Vehicle(8, 2.3, 3.2),
    "car": Vehicle(4.4, 1.8, 1.5, wheel=0.34, hood=0.27),
    "crawler": Vehicle(5.5, 2.6, 2.6, wheel=0.6),
    "doubledecker": Vehicle(10, 2.5, 4.4, decks=2),
    "oldcar": Vehicle(5.2, 2.0, 1.55, wheel=0.38, hood=0.33),
    "pickup": Vehicle(5.4, 2.0, 1.8, wheel=0.42, hood=0.3),
    "train": Vehicle(18, 2.8, 3.7),
    "tram": Vehicle(15, 2.4, 3.4, wheel=0.3),
    "tuktuk": Vehicle(2.8, 1.4, 1.8, wheel=0.28),
}


def park_sideways(
    stage: Stage, kind: str, colour: str, x: float, z: float, *, to_right: bool
) -> None:
    """A vehicle seen from its side."""
    shape, figure = VEHICLES[kind], Figure(stage, x, z)
    half, top, ahead = shape.length / 2, shape.height, 1.0 if to_right else -1.0
    body, dark = figure.ink(colour), figure.ink((36, 36, 42), 0.5)
    glass = (
        LAMPLIGHT
        if stage.light.is_dark
        else mix(figure.ink((70, 84, 100)), stage.light.zenith, 0.3)
    )
    low = shape.wheel * 0.8
    if shape.hood:
        waist = top * 0.62
        figure.rect(-half, low, half, waist, body)
        front, back = half * (1 - 2 * shape.hood), half * (1 - shape.hood)
        if kind == "pickup":
            back = -half * 0.05
        outline = [(front, waist), (front * 0.7, top), (-back * 0.8, top), (-back, waist)]
        figure.poly([(a * ahead, b) for a, b in outline], body)
        inner = [(front * 0.85, waist), (front * 0.62, top - 0.14), (-back * 0.72, top - 0.14)]
        figure.poly([(a * ahead, b) for a, b in [*inner, (-back * 0.86, waist)]], glass)
        if kind == "oldcar":
            figure.rect(-half, waist * 0.62, half, waist * 0.72, figure.ink((240, 238, 230)))
    else:
        figure.rect(-half, low, half, top, body)
        figure.rect(-half, low, half, low + (top - low) * 0.14, mix(body, dark, 0.5))
        deck = (top - low) / shape.decks
        for number in range(shape.decks):
            foot = low + deck * (number + 0.42)
            panes = max(2, int(shape.length / 1.5))
            pane = shape.length / panes
            for at in range(panes):
                a = -half + at * pane
                figure.rect(a + 0.12, foot, a + pane - 0.12, foot + deck * 0.42, glass)
        if kind in ("tram", "train"):
            figure.line([(0, top), (1.2, top + 0.9), (-0.6, top + 1.5)], dark, 0.1)
            figure.rect(-half, top * 0.3, half, top * 0.36, figure.ink((244, 240, 228)))
        if kind == "cablecar":
            figure.rect(-half - 0.3, top, half + 0.3, top + 0.25, figure.ink((226, 208, 160)))
    for a in (-half * 0.62, half * 0.62):
        figure.oval(a, shape.wheel, shape.wheel, shape.wheel, dark)
        figure.oval(
            a, shape.wheel, shape.wheel * 0.45, shape.wheel * 0.45, figure.ink((150, 150, 154))
        )


def park_lengthways(
    stage: Stage, kind: str, colour: str, x: float, z: float, *, is_oncoming: bool
) -> None:
    """A vehicle seen from its front or its back."""
    shape, figure = VEHICLES[kind], Figure(stage, x, z)
    half, top = shape.width / 2, shape.height
    body, dark = figure.ink(colour), figure.ink((30, 30, 36), 0.5)
    glass = mix(figure.ink((60, 74, 90)), stage.light.horizon, 0.3)
    figure.rect(-half + 0.1, 0, half - 0.1, 0.5, dark)
    for a in (-half + 0.05, half - 0.4):
        figure.rect(a, 0, a + 0.35, 0.6, dark)
    if shape.hood:
        waist = top * 0.6
        figure.rect(-half, 0.35, half, waist, body)
        figure.poly(
            [(-half * 0.92, waist), (-half * 0.7, top), (half * 0.7, top), (half * 0.92, waist)],
            body,
        )
        figure.poly(
            [
                (-half * 0.8, waist),
                (-half * 0.62, top - 0.1),
                (half * 0.62, top - 0.1),
                (half * 0.8, waist),
            ],
            glass,
        )
    else:
        figure.rect(-half, 0.4, half, top, body)
        deck = (top - 0.4) / shape.decks
        for number in range(shape.decks):
            foot = 0.4 + deck * (number + 0.4)
            figure.rect(-half + 0.15, foot, half - 0.15, foot + deck * 0.42, glass)
        figure.rect(-half, top - 0.14, half, top, shade(body, 0.8))
    lamp = (255, 244, 210) if is_oncoming else (208, 44, 40)
    ink = lamp if stage.light.is_dark else figure.ink(lamp)
    for a in (-half * 0.72, half * 0.72):
        figure.oval(a, 0.72, 0.17, 0.13, ink)
        if stage.light.is_dark and is_oncoming:
            px, py = figure.at(a, 0.72)
            stage.painter.glow(px, py, figure.px * 1.3, lamp, 0.7)


def stand_person(stage: Stage, x: float, z: float) -> None:
    """Somebody walking."""
    figure = Figure(stage, x, z)
    tall = stage.between(1.55, 1.85)
    coats = ("#b8383a", "#2f4f7a", "#e0b84a", "#f0ece2", "#3f3f46", "#4f7a5a", "#c97aa0", "#8a6a52")
    coat, legs = (
        figure.ink(stage.pick(coats)),
        figure.ink(stage.pick(("#2c2f3a", "#5a5148", "#3f4a63")), 0.7),
    )
    skin = figure.ink(stage.pick(("#f0c9a5", "#c98f64", "#8a5a3c", "#5f3f2c")))
    figure.poly(
        [
            (-0.16, 0),
            (-0.05, 0),
            (0.0, tall * 0.4),
            (0.06, 0),
            (0.18, 0),
            (0.14, tall * 0.5),
            (-0.14, tall * 0.5),
        ],
        legs,
    )
    figure.poly(
        [(-0.22, tall * 0.42), (-0.19, tall * 0.82), (0.19, tall * 0.82), (0.22, tall * 0.42)], coat
    )
    figure.oval(0, tall * 0.91, 0.12, 0.14, skin)
    if stage.shot.weather == "rain":
        figure.half(0, tall * 1.02, 0.62, 0.36, figure.ink(stage.pick(coats)))


def stand_lamp(stage: Stage, x: float, z: float, *, inward: float) -> None:
    """A street lamp that leans over the road."""
    figure = Figure(stage, x, z)
    iron = figure.ink((58, 60, 66), 0.7)
    figure.line([(0, 0), (0, 5.4), (inward * 0.9, 6.0)], iron, 0.12)
    figure.oval(inward * 1.1, 5.92, 0.34, 0.16, LAMPLIGHT if stage.light.is_dark else iron)
    if stage.light.is_dark:
        px, py = figure.at(inward * 1.1, 5.9)
        stage.painter.glow(px, py, figure.px * 3.2, LAMPLIGHT, 0.75)
