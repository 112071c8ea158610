from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from geosearch.errors import MissingDependency
from geosearch.evaluation.datasets import Dataset, Query
from geosearch.evaluation.figures import error_curve, map_html, plot_errors
from geosearch.evaluation.harness import EvaluationReport, Method, evaluate
from geosearch.evaluation.report import report_to_dict, report_to_markdown
from geosearch.geo import Coordinate

HERE = Coordinate(10.0, 20.0)


def make_report(name: str = "im2gps3k", *, identity: str = "1") -> EvaluationReport:
    """Four photos: two right, one 1,112 km off, one unanswered."""
    queries = tuple(
        Query(identity if n == 0 else f"{n}", HERE, author=f"author {n}") for n in range(4)
    )
    answers = [HERE, HERE, Coordinate(20.0, 20.0), None]
    methods = [
        Method("nearest photo", lambda _: [HERE, None, None, None], "as published"),
        Method("locator", lambda _: answers, "as published"),
    ]
    dataset = Dataset(name, queries, ("gone.jpg",), ("1 of 5 labelled photos have no image",))
    return evaluate(methods, dataset, conditions={"encoder": "lite"})


def test_the_report_is_json_without_infinities() -> None:
    document = report_to_dict(make_report())
    text = json.dumps(document, allow_nan=False)
    again = json.loads(text)
    assert again["asked"] == 4
    assert again["missing"] == 1
    locator = again["methods"][1]
    assert locator["within_percent"]["25"]["value"] == 50.0
    assert locator["error_km"]["q90"]["value"] is None
    assert locator["answers"][3] == {
        "id": "3", "lat": 10.0, "lon": 20.0, "answer": None, "error_km": None,
        "reason": "no answer",
    }  # fmt: skip
    assert again["published"][0]["within_percent"]["25"] == 42.17
    assert again["conditions"]["encoder"] == "lite"


def test_the_table_stands_beside_the_published_rows() -> None:
    text = report_to_markdown(make_report())
    assert "| *TransGeoCLIP* | *as its paper says* | 17.72 | 42.17 | 56.8 |" in text
    assert "| *GeoRanker* | *as its paper says* | – | – | – | – | – |" in text
    assert "| *GeoRouter* |" in text
    assert "| locator | as published | 50.0 (0.0–100.0) |" in text
    assert "1 of 5 labelled photos have no image." in text
    assert "bootstrap over 4 photographers" in text
    assert "∞" in text


def test_the_quantiles_of_error_stand_in_a_table() -> None:
    text = report_to_markdown(make_report())
    assert "| method | gallery | 25 % | 50 % | 75 % | 90 % |" in text
    (line,) = [one for one in text.splitlines() if one.startswith("| locator | as published | 0 (")]
    assert line.endswith(" ∞ (0–∞) |")


def test_every_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    lines = [line for line in report_to_markdown(make_report()).splitlines() if line[:1] == "|"]
    width = 0
    for above, line in zip(["", *lines], lines, strict=False):
        if not above or set(line) <= set("|-:"):
            width = above.count("|") or line.count("|")
        if set(line) <= set("|-:"):
            assert line.count("|") == width


def test_yfcc4k_comes_with_the_warning_about_photographers() -> None:
    assert "68.6 %" in report_to_markdown(make_report("yfcc4k"))
    assert "68.6 %" not in report_to_markdown(make_report("manifest"))
    assert "TransGeoCLIP" not in report_to_markdown(make_report("manifest"))


def test_a_share_of_nothing_is_not_said_to_be_certain() -> None:
    assert "by the rule of three it may be off by 75 points" in report_to_markdown(make_report())


def test_a_difference_inside_the_noise_is_marked() -> None:
    text = report_to_markdown(make_report())
    assert "~ +25.0 (+0.0 to +75.0)" in text


def test_the_error_curve_ends_at_the_answered_part() -> None:
    distance, percent = error_curve(make_report().methods[1])
    assert percent[-1] == 75.0
    assert np.interp(1000.0, distance, percent, left=0.0) >= 50.0
    assert (np.diff(distance) >= 0).all()


def test_the_plot_is_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra 'evaluation' is not installed")
    plot_errors(make_report(), tmp_path / "errors.png")
    with Image.open(tmp_path / "errors.png") as image:
        assert image.format == "PNG"
        assert image.size == (1200, 750)


def test_without_matplotlib_the_plot_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingDependency, match=r"pip install 'geosearch\[evaluation\]'"):
        plot_errors(make_report(), tmp_path / "errors.png")


def test_the_map_escapes_names_and_asks_nothing_of_the_network() -> None:
    report = make_report(identity="<script>alert(1)</script>")
    page = map_html(report, report.method("locator"))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page
    assert page.count("<circle") == 4
    svg = ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + len("</svg>")])
    assert len([one for one in svg.iter() if one.tag.endswith("circle")]) == 4
    assert "within 25 km: 2" in page
    assert "no answer: 1" in page
    assert "src=" not in page.replace("default-src", "")
