"""An evaluation as JSON and as a Markdown table beside the published rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geosearch.evaluation.harness import EvaluationReport, MethodReport
from geosearch.evaluation.metrics import BANDS_KM, QUANTILES, Estimate, finite_or_none


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """Percent within the five bands as a paper gives them; None where no figure is at hand."""

    method: str
    within_percent: tuple[float, float, float, float, float] | None


PUBLISHED: Mapping[str, tuple[PublishedRow, ...]] = {
    "im2gps3k": (
        PublishedRow("TransGeoCLIP", (17.72, 42.17, 56.80, 71.71, 86.12)),
        PublishedRow("GeoRanker", None),
        PublishedRow("Pinpoint (no LMM)", (20.5, 47.4, 63.5, 79.0, 90.2)),
        PublishedRow("GeoRouter", (20.82, 50.48, 65.73, 80.35, 90.66)),
    ),
    "yfcc4k": (
        PublishedRow("TransGeoCLIP", (31.17, 41.09, 51.84, 67.75, 81.01)),
        PublishedRow("GeoRanker", None),
        PublishedRow("Pinpoint (no LMM)", (33.0, 44.4, 57.5, 71.8, 84.5)),
    ),
}
"""What others reached, with galleries as published; TransGeoCLIP is arXiv 2606.08918."""

LEAKAGE_NOTE = (
    "68.6 % of YFCC4k's photos are by a photographer who is also in the MP16 gallery: compare the "
    "rows 'as published' with published ones, and believe the rows 'photographer filtered'"
)


def report_to_dict(report: EvaluationReport, *, with_answers: bool = True) -> dict[str, Any]:
    """The report as one JSON document; infinite figures (among the unanswered) are null.

    Args:
        report: what was measured.
        with_answers: also every method's answer to every photo, which is megabytes.
    """
    return {
        "benchmark": report.benchmark,
        "asked": report.asked,
        "missing": report.missing,
        "grouping": report.grouping,
        "groups": report.groups,
        "conditions": dict(report.conditions),
        "notes": [*report.notes, *_notes(report)],
        "methods": [
            _method_to_dict(method) | (_answers(method) if with_answers else {})
            for method in report.methods
        ],
        "published": [
            {
                "method": row.method,
                "within_percent": None
                if row.within_percent is None
                else {_km(b): v for b, v in zip(BANDS_KM, row.within_percent, strict=True)},
            }
            for row in PUBLISHED.get(report.benchmark, ())
        ],
    }


def report_to_markdown(report: EvaluationReport) -> str:
    """The report as Markdown: accuracy, quantiles, differences, recall, radii, notes."""
    head = (
        f"# {report.benchmark}: {report.asked:,} photos\n\n"
        f"Percent of all photos asked, those without an answer included, with 95 % intervals from "
        f"a bootstrap over {report.groups:,} {_plural(report.grouping)}.\n"
    )
    parts = [head, _accuracy_table(report), _quantile_table(report), _gain_table(report)]
    parts += [_twin_table(report), _recall_table(report), _coverage_table(report)]
    notes = [*report.notes, *_notes(report), _conditions(report)]
    parts.append("## Notes\n\n" + "".join(f"- {note}.\n" for note in notes))
    return "\n".join(part for part in parts if part)


def _accuracy_table(report: EvaluationReport) -> str:
    bands = [f"{band:g} km" for band in BANDS_KM]
    lines = [_line("method", "gallery", *bands, "median km", "GeoScore", "no answer"), _rule(2, 8)]
    for one in report.methods:
        accuracy = one.accuracy
        lines.append(
            _line(
                one.method,
                one.gallery,
                *(_text(accuracy.within_percent[band], 1) for band in BANDS_KM),
                _text(accuracy.error_km[0.5], 0),
                _text(accuracy.geoscore, 0),
                _text(accuracy.unanswered_percent, 1),
            )
        )
    for row in PUBLISHED.get(report.benchmark, ()):
        figures = ["–"] * 5 if row.within_percent is None else [f"{v}" for v in row.within_percent]
        lines.append(_line(f"*{row.method}*", "*as its paper says*", *figures, "", "", ""))
    return "\n".join(lines) + "\n"


def _quantile_table(report: EvaluationReport) -> str:
    lines = [
        _line("method", "gallery", *(f"{100 * quantile:g} %" for quantile in QUANTILES)),
        _rule(2, len(QUANTILES)),
    ]
    for one in report.methods:
        cells = [_text(one.accuracy.error_km[quantile], 0) for quantile in QUANTILES]
        lines.append(_line(one.method, one.gallery, *cells))
    return "## Error in km that so many photos do not exceed\n\n" + "\n".join(lines) + "\n"


def _gain_table(report: EvaluationReport) -> str:
    methods = [one for one in report.methods if one.gain_percent is not None]
    if not methods:
        return ""
    title = f"## Percentage points above “{report.conditions['reference']}”, same photos\n\n"
    lines = [_line("method", "gallery", *(f"{band:g} km" for band in BANDS_KM)), _rule(2, 5)]
    for one in methods:
        gains = one.gain_percent or {}
        lines.append(_line(one.method, one.gallery, *(_gain(gains[band]) for band in BANDS_KM)))
    tail = "\n\n~ marks a difference inside the noise: its interval holds 0.\n"
    return title + "\n".join(lines) + tail


def _twin_table(report: EvaluationReport) -> str:
    methods = [one for one in report.methods if one.twins is not None]
    if not methods:
        return ""
    columns = ("right city", "a look-alike", "elsewhere", "no answer", "by lot among twins")
    lines = [_line("method", "gallery", *columns), _rule(2, 5)]
    for one in methods:
        twins = one.twins
        if twins is not None:
            shares = (
                twins.right_percent,
                twins.look_alike_percent,
                twins.elsewhere_percent,
                twins.unanswered_percent,
            )
            cells = [_text(share, 1) for share in shares]
            lines.append(_line(one.method, one.gallery, *cells, f"{twins.chance_percent:.1f}"))
    return "## Landmarks with look-alikes: which city wins\n\n" + "\n".join(lines) + "\n"


def _recall_table(report: EvaluationReport) -> str:
    lines: list[str] = []
    for one in report.methods:
        if not one.recall:
            continue
        ks = sorted({recall.k for recall in one.recall})
        if not lines:
            lines = [_line("gallery", "within", *(f"first {k}" for k in ks)), _rule(2, len(ks))]
        for radius in sorted({recall.radius_km for recall in one.recall}):
            cells = [_text(r.percent, 1) for r in one.recall if r.radius_km == radius]
            lines.append(_line(one.gallery, f"{radius:g} km", *cells))
    if not lines:
        return ""
    return "## Recall@k: a photo near the truth among the first found\n\n" + "\n".join(lines) + "\n"


def _coverage_table(report: EvaluationReport) -> str:
    lines = [_line("method", "gallery", "radius", "held the truth", "median km"), _rule(3, 2)]
    for one in report.methods:
        for coverage in one.coverage:
            cells = (_text(coverage.percent, 1), f"{coverage.median_radius_km:,.0f}")
            lines.append(_line(one.method, one.gallery, f"{coverage.level} %", *cells))
    if len(lines) == 2:
        return ""
    return "## Stated radii, of answered photos\n\n" + "\n".join(lines) + "\n"


def _method_to_dict(report: MethodReport) -> dict[str, Any]:
    accuracy, twins = report.accuracy, report.twins
    return {
        "method": report.method,
        "gallery": report.gallery,
        "queries": accuracy.queries,
        "within_percent": {_km(b): _numbers(e) for b, e in accuracy.within_percent.items()},
        "error_km": {f"q{100 * q:g}": _numbers(e) for q, e in accuracy.error_km.items()},
        "geoscore": _numbers(accuracy.geoscore),
        "unanswered_percent": _numbers(accuracy.unanswered_percent),
        "gain_percent": None
        if report.gain_percent is None
        else {_km(band): _numbers(gain) for band, gain in report.gain_percent.items()},
        "recall": [
            {"k": one.k, "radius_km": one.radius_km, "percent": _numbers(one.percent)}
            for one in report.recall
        ],
        "coverage": [
            {
                "level": one.level,
                "percent": _numbers(one.percent),
                "median_radius_km": one.median_radius_km,
            }
            for one in report.coverage
        ],
        "twins": None
        if twins is None
        else {
            "queries": twins.queries,
            "right_percent": _numbers(twins.right_percent),
            "look_alike_percent": _numbers(twins.look_alike_percent),
            "elsewhere_percent": _numbers(twins.elsewhere_percent),
            "unanswered_percent": _numbers(twins.unanswered_percent),
            "chance_percent": twins.chance_percent,
        },
    }


def _answers(report: MethodReport) -> dict[str, Any]:
    """What was answered to each photo, and how far off that is."""
    return {
        "answers": [
            {
                "id": outcome.query.id,
                "lat": outcome.query.coordinate.lat,
                "lon": outcome.query.coordinate.lon,
                "answer": None
                if outcome.answer is None
                else {"lat": outcome.answer.lat, "lon": outcome.answer.lon},
                "error_km": finite_or_none(outcome.error_km),
                "reason": outcome.reason,
            }
            for outcome in report.outcomes
        ]
    }


def _notes(report: EvaluationReport) -> list[str]:
    # Resampling cannot draw what was never seen, so an interval of nothing looks too certain.
    three = (
        f"where a share is 0 or 100 % the bootstrap has no spread; by the rule of three it may be "
        f"off by {min(300.0 / report.groups, 100.0):.2g} points"
    )
    return [three, *([LEAKAGE_NOTE] if report.benchmark == "yfcc4k" else [])]


def _conditions(report: EvaluationReport) -> str:
    words = [f"{name} {value}" for name, value in report.conditions.items() if value is not None]
    return "Conditions: " + ", ".join(words)


def _numbers(estimate: Estimate) -> dict[str, float | None]:
    return {
        "value": finite_or_none(estimate.value),
        "low": finite_or_none(estimate.low),
        "high": finite_or_none(estimate.high),
    }


def _text(estimate: Estimate, digits: int) -> str:
    value, low, high = (
        f"{number:,.{digits}f}" if finite_or_none(number) is not None else "∞"
        for number in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} ({low}–{high})"


def _gain(estimate: Estimate) -> str:
    mark = "" if estimate.excludes_zero else "~ "
    return f"{mark}{estimate.value:+.1f} ({estimate.low:+.1f} to {estimate.high:+.1f})"


def _km(band: float) -> str:
    return f"{band:g}"


def _plural(grouping: str) -> str:
    return {"spot": "spots of about 1 km"}.get(grouping, f"{grouping}s")


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _rule(words: int, numbers: int) -> str:
    return "|" + "---|" * words + "---:|" * numbers
