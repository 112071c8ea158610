"""An evaluation as pictures: errors over distance (PNG), and a map of right and wrong (HTML)."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geosearch.errors import MissingDependency
from geosearch.evaluation.comparison import Difference
from geosearch.evaluation.harness import EvaluationReport, MethodReport, Outcome
from geosearch.evaluation.metrics import BANDS_KM
from geosearch.geo import HALF_EARTH_KM
from geosearch.worldmap.projection import HEIGHT, WIDTH, project
from geosearch.worldmap.svg import draw_map

MAP_DOTS = 5000
"""More dots would cover each other and make the page slow."""

_CLASSES = (
    ("#12806a", "within 25 km"),
    ("#5aa05a", "within 200 km"),
    ("#d9a520", "within 750 km"),
    ("#e0762a", "within 2,500 km"),
    ("#b3261e", "farther"),
    ("#777777", "no answer"),
)
_LIMITS_KM = BANDS_KM[1:]


def plot_errors(report: EvaluationReport, path: Path) -> None:
    """Draw which part of all photos is answered within each distance, one line for each method.

    A line ends below 100 % by the part that got no answer.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    figure = _figure(8.0, 5.0)
    axes = figure.add_subplot()
    for method in report.methods:
        distance_km, percent = error_curve(method)
        label = f"{method.method} · {method.gallery}" if method.gallery else method.method
        axes.step(distance_km, percent, where="post", label=label, linewidth=1.4)
    for band in BANDS_KM:
        axes.axvline(band, color="0.8", linewidth=0.8, zorder=0)
    axes.set_xscale("log")
    axes.set_xlim(0.1, HALF_EARTH_KM)
    axes.set_ylim(0.0, 100.0)
    axes.set_xticks(BANDS_KM, [f"{band:g}" for band in BANDS_KM])
    axes.minorticks_off()
    axes.set_xlabel("error, km")
    axes.set_ylabel("photos located within that distance, %")
    axes.set_title(f"{report.benchmark}: {report.asked:,} photos")
    axes.legend(loc="upper left", fontsize="small", frameon=False)
    figure.savefig(path, format="png", dpi=150)


def plot_differences(differences: Sequence[Difference], path: Path, *, title: str) -> None:
    """Draw paired differences of GeoScore with their intervals, and a tick for each round.

    Clear ones are drawn in colour, those inside the noise in grey.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    figure = _figure(9.0, 1.2 + 0.36 * len(differences))
    axes = figure.add_subplot()
    for at, one in enumerate(differences):
        score = one.geoscore
        better, worse = "#12806a", "#b3261e"
        colour = "0.55" if not one.is_clear else better if score.value > 0.0 else worse
        axes.plot([score.low, score.high], [at, at], color=colour, linewidth=2.2)
        axes.plot([score.value], [at], "o", color=colour, markersize=7)
        axes.plot(one.by_round, [at] * len(one.by_round), "|", color="0.2", markersize=9)
    axes.axvline(0.0, color="0.7", linewidth=0.8, zorder=0)
    axes.set_yticks(
        range(len(differences)), [f"{one.method}  −  {one.over}" for one in differences]
    )
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize="small", length=0)
    axes.set_xlabel("difference of GeoScore, 95 % interval by place; ticks are single rounds")
    axes.set_title(title, fontsize="medium")
    figure.savefig(path, format="png", dpi=130)


def _figure(width: float, height: float) -> Any:
    """An empty figure of so many inches."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency(
            "matplotlib", extra="evaluation", purpose="drawing the plot of errors"
        ) from error
    # Figure and canvas alone, without pyplot: no window system, no state of the whole process.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def error_curve(method: MethodReport) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances in rising order and the percentage of all photos answered within each."""
    errors = np.sort([outcome.error_km for outcome in method.outcomes])
    answered = errors[np.isfinite(errors)]
    percent = 100.0 * np.arange(1, len(answered) + 1) / len(errors)
    start, end = 1e-3, HALF_EARTH_KM
    last = percent[-1] if len(percent) else 0.0
    return (
        np.concatenate([[start], np.maximum(answered, start), [end]]),
        np.concatenate([[0.0], percent, [last]]),
    )


def map_html(report: EvaluationReport, method: MethodReport) -> str:
    """One page that shows where photos were taken, coloured by how far off their answers are.

    Not the page of `worldmap.render_html`, which holds a card with thumbnails for every answer:
    thousands of those would be hundreds of megabytes.
    """
    outcomes = _thinned(method.outcomes)
    kinds = [_kind(outcome) for outcome in outcomes]
    truths = [outcome.query.coordinate for outcome in outcomes]
    points = project(
        np.array([truth.lat for truth in truths]), np.array([truth.lon for truth in truths])
    )
    dots = []
    # Misses first, so that hits lie on top and are not lost in the crowd.
    for row in sorted(range(len(outcomes)), key=lambda row: -kinds[row]):
        x, y = points[row]
        dots.append(
            f'<circle cx="{x:.2f}" cy="{y:.2f}" r="2.2" fill="{_CLASSES[kinds[row]][0]}">'
            f"<title>{escape(_words(outcomes[row]))}</title></circle>"
        )
    title = f"{report.benchmark}: {method.method}, {method.gallery or 'no gallery'}"
    picture = draw_map([], [], title=title, view=(0.0, 0.0, WIDTH, HEIGHT))
    picture = picture.removesuffix("</svg>") + "".join(dots) + "</svg>"
    counts = np.bincount([_kind(outcome) for outcome in method.outcomes], minlength=len(_CLASSES))
    legend = "".join(
        f'<li><i style="background:{colour}"></i>{escape(name)}: {count:,}</li>'
        for (colour, name), count in zip(_CLASSES, counts.tolist(), strict=True)
    )
    shown = len(outcomes)
    thinned = "" if shown == report.asked else f" ({shown:,} of {report.asked:,} photos shown)"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>body{{font:15px system-ui,sans-serif;margin:1rem;"
        "color-scheme:light dark}ul{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;padding:0;"
        "list-style:none}i{display:inline-block;width:.8em;height:.8em;border-radius:50%;"
        "margin-right:.4em}svg{width:100%;height:auto}</style></head><body>"
        f"<h1>{escape(title)}</h1><p>Each dot is where a photo was taken; its colour says how far "
        f"off the answer is{thinned}.</p><ul>{legend}</ul>{picture}</body></html>\n"
    )


def _kind(outcome: Outcome) -> int:
    if outcome.answer is None:
        return len(_CLASSES) - 1
    return int(np.searchsorted(_LIMITS_KM, outcome.error_km))


def _words(outcome: Outcome) -> str:
    if outcome.answer is None:
        return f"{outcome.query.id}: no answer; {outcome.reason}"
    return f"{outcome.query.id}: answered {outcome.answer}, {outcome.error_km:,.1f} km off"


def _thinned(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """At most `MAP_DOTS`, evenly spaced."""
    if len(outcomes) <= MAP_DOTS:
        return list(outcomes)
    return [outcomes[at * len(outcomes) // MAP_DOTS] for at in range(MAP_DOTS)]
