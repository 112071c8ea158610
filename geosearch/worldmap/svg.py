"""The map itself as SVG: land, radius circles, and marks that keep their size when zoomed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from geosearch.geo import Coordinate
from geosearch.records import Candidate, Prediction
from geosearch.worldmap.projection import HEIGHT, WIDTH, circle_path, outlines, place

_TIGHTEST = 90.0  # map units across, about 32°: coastlines at 1:110 million say nothing nearer

STYLE = """
.map{--sea:#dbe8ee;--land:#f5f1e6;--line:#b9b09c;--grid:#c6d8e0;--pin:#d6452b;--alt:#3f5f8a;
--dot:#12806a;--ink:#22303a;--halo:#fff;background:transparent;font-family:system-ui,sans-serif}
@media (prefers-color-scheme:dark){.map{--sea:#0f1d27;--land:#26363f;--line:#4c616c;--grid:#1b2d39;
--pin:#ff7350;--alt:#86b2ea;--dot:#46cfae;--ink:#e6edf1;--halo:#0b151c}}
.sea{fill:var(--sea);stroke:var(--line);stroke-width:.6}.land{fill:var(--land);fill-rule:evenodd;
stroke:var(--line);stroke-width:.7}.grid,.borders{fill:none;stroke:var(--grid);stroke-width:.5}
.borders{stroke:var(--line);stroke-opacity:.7;stroke-dasharray:2 1.6}
.sea,.land,.grid,.borders,.circle{vector-effect:non-scaling-stroke}
.circle{fill:var(--pin);fill-opacity:.1;fill-rule:evenodd;stroke:var(--pin);stroke-width:1.2}
.circle.wide{fill-opacity:.07;stroke-dasharray:4 3}
.mark .halo{fill:var(--halo)}.pin .body{fill:var(--pin)}.alternative .body{fill:var(--alt)}
.evidence .body,.hit .body{fill:var(--dot)}.mark text{fill:var(--halo);font-size:10px;
font-weight:700;text-anchor:middle;dominant-baseline:central}.mark{cursor:pointer}
.mark.on .body{stroke:var(--ink);stroke-width:2}
"""
"""Colours of the map, light and dark; kept inside the SVG so that it stands alone."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something at a coordinate: `pin`, `alternative`, `evidence` or `hit`.

    `key` ties it to its card in a page; `text` is drawn inside it, `title` says what it is.
    """

    kind: str
    coordinate: Coordinate
    title: str
    text: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Ring:
    """A radius around a place at a confidence level in percent."""

    center: Coordinate
    radius_km: float
    level: int


BATCH_RADIUS_KM = 500.0
"""On a map of many answers wider circles would cover each other and the world."""


def layers_of(predictions: Sequence[Prediction]) -> tuple[list[Ring], list[Mark]]:
    """What a map of predictions shows, the most important last and so on top.

    A map of several shows each best place; its alternatives and wide circles are left to the text.
    """
    is_batch = len(predictions) > 1
    rings: list[Ring] = []
    evidence: list[Mark] = []
    others: list[Mark] = []
    pins: list[Mark] = []
    for number, prediction in enumerate(predictions):
        best = prediction.best
        if best is None:
            continue
        rings += [
            Ring(best.coordinate, best.radius_km[level], level)
            for level in _radii(best)
            if not is_batch or best.radius_km[level] <= BATCH_RADIUS_KM
        ]
        title = f"{prediction.image}: {best.place or best.coordinate}"
        label = str(number + 1) if is_batch else ""
        pins.append(Mark("pin", best.coordinate, title, label, f"p{number}"))
        for at, alternative in enumerate(() if is_batch else prediction.alternatives):
            title = f"Alternative {at + 1}: {alternative.place or alternative.coordinate}"
            others.append(
                Mark("alternative", alternative.coordinate, title, str(at + 1), f"p{number}a{at}")
            )
        for at, neighbor in enumerate(best.evidence):
            photo = neighbor.photo
            if photo.coordinate is not None:
                title = f"{photo.path}, similarity {neighbor.score:.3f}"
                evidence.append(Mark("evidence", photo.coordinate, title, "", f"p{number}e{at}"))
    return rings, [*evidence, *others, *pins]


def _radii(best: Candidate) -> list[int]:
    """Confidence levels to draw, the widest circle first."""
    return sorted(best.radius_km, reverse=True)


def view_of(rings: Sequence[Ring], marks: Sequence[Mark]) -> tuple[float, float, float, float]:
    """The part of the map that holds all marks with room around: x, y, width, height."""
    if not marks:
        return 0.0, 0.0, WIDTH, HEIGHT
    points = [place(mark.coordinate) for mark in marks]
    reach = [ring.radius_km / 40_030 * WIDTH for ring in rings]
    room = max([18.0, *reach]) * 1.25
    left, right = min(x for x, _ in points) - room, max(x for x, _ in points) + room
    top, bottom = min(y for _, y in points) - room, max(y for _, y in points) + room
    width = max(right - left, (bottom - top) * WIDTH / HEIGHT, _TIGHTEST)
    if width > WIDTH * 0.8:
        return 0.0, 0.0, WIDTH, HEIGHT
    height = width * HEIGHT / WIDTH
    x = min(max(0.0, (left + right - width) / 2), WIDTH - width)
    y = min(max(0.0, (top + bottom - height) / 2), HEIGHT - height)
    return x, y, width, height


def draw_map(
    rings: Sequence[Ring],
    marks: Sequence[Mark],
    *,
    title: str,
    view: tuple[float, float, float, float],
    width_px: int | None = None,
) -> str:
    """An `<svg>` element that stands alone; with `width_px` it also has a fixed size."""
    rim, grid, land, borders = outlines()
    x, y, width, height = view
    size = (
        "" if width_px is None else f' width="{width_px}" height="{width_px * height / width:.0f}"'
    )
    scale = width / WIDTH
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="map" role="img"'
        f' aria-label="{escape(title)}" viewBox="{x:.2f} {y:.2f} {width:.2f} {height:.2f}"{size}>',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<path class="sea" d="{rim}"/><path class="grid" d="{grid}"/>',
        f'<path class="land" d="{land}"/><path class="borders" d="{borders}"/>',
    ]
    for ring in rings:
        wide = " wide" if ring.level >= 80 else ""
        parts.append(
            f'<path class="circle{wide}" d="{circle_path(ring.center, ring.radius_km)}">'
            f"<title>{ring.level} % within {ring.radius_km:,.0f} km</title></path>"
        )
    parts += [_mark(mark, scale) for mark in marks]
    parts.append("</svg>")
    return "".join(parts)


def _mark(mark: Mark, scale: float) -> str:
    """One mark; `--k` lets a page keep its size while the map under it grows."""
    x, y = place(mark.coordinate)
    if mark.kind == "pin":
        drop = "M0 0C-2-7-9-10-9-17A9 9 0 0 1 9-17C9-10 2-7 0 0Z"
        inner = f'<text y="-17">{escape(mark.text)}</text>' if mark.text else ""
        hole = "" if mark.text else '<circle class="halo" cy="-17" r="3.4"/>'
        shape = f'<path class="halo" d="{drop}" transform="translate(0 1.6) scale(1.18)"/>'
        shape += f'<path class="body" d="{drop}"/>{hole}{inner}'
    else:
        radius = 8.0 if mark.text else 4.6
        shape = f'<circle class="halo" r="{radius + 1.6}"/><circle class="body" r="{radius}"/>'
        if mark.text:
            shape += f"<text>{escape(mark.text)}</text>"
    key = f' data-key="{escape(mark.key)}"' if mark.key else ""
    return (
        f'<g class="mark {escape(mark.kind)}"{key} transform="translate({x:.2f} {y:.2f})">'
        f'<title>{escape(mark.title)}</title><g class="size" transform="scale({scale:.4f})">'
        f"{shape}</g></g>"
    )


def render_svg(
    predictions: Prediction | Sequence[Prediction],
    *,
    title: str = "Where the photo was taken",
    width_px: int = 1000,
    whole_world: bool = False,
) -> str:
    """A static map of one or several predictions, light or dark as the reader's system is.

    Args:
        predictions: those without an answer are left out.
        title: what a screen reader says.
        width_px: width in pixels.
        whole_world: show all of it, not only the part with marks.
    """
    many = [predictions] if isinstance(predictions, Prediction) else list(predictions)
    rings, marks = layers_of(many)
    view = (0.0, 0.0, WIDTH, HEIGHT) if whole_world else view_of(rings, marks)
    return draw_map(rings, marks, title=title, view=view, width_px=width_px)
