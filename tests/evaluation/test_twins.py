from __future__ import annotations

from pathlib import Path

import pytest

from geosearch.errors import InvalidInput
from geosearch.evaluation.datasets import Query
from geosearch.evaluation.harness import evaluate
from geosearch.evaluation.metrics import GroupBootstrap
from geosearch.evaluation.twins import load_twins, twin_shares
from geosearch.geo import Coordinate
from geosearch.postcards import city_named, plan_shot, write_postcards

PARIS, VEGAS, TOKYO = Coordinate(48.858, 2.294), Coordinate(36.112, -115.173), Coordinate(35.7, 139)


def test_an_answer_is_right_a_look_alike_elsewhere_or_missing() -> None:
    query = Query("tower", PARIS, look_alikes=(VEGAS, TOKYO))
    near_paris, near_vegas = Coordinate(48.9, 2.3), Coordinate(36.2, -115.2)
    shares = twin_shares(
        [query] * 5,
        [near_paris, near_vegas, Coordinate(0, 0), None, PARIS],
        GroupBootstrap(list("abcde")),
    )
    assert shares.right_percent.value == pytest.approx(40.0)
    assert shares.look_alike_percent.value == pytest.approx(20.0)
    assert shares.elsewhere_percent.value == pytest.approx(20.0)
    assert shares.unanswered_percent.value == pytest.approx(20.0)
    assert shares.chance_percent == pytest.approx(100.0 / 3.0)


def test_a_manifest_with_landmarks_says_itself_what_stands_where(tmp_path: Path) -> None:
    rows = [("a", PARIS, "Paris", "tower"), ("b", VEGAS, "Las Vegas", "tower"),
            ("c", TOKYO, "Tokyo", "torii"), ("d", PARIS, "Paris", "tower")]  # fmt: skip
    text = "path,lat,lon,city,landmark\n"
    for name, at, city, landmark in rows:
        (tmp_path / f"{name}.jpg").write_bytes(b"x")
        text += f"{name}.jpg,{at.lat},{at.lon},{city},{landmark}\n"
    (tmp_path / "m.csv").write_text(text)
    dataset = load_twins(tmp_path / "m.csv")
    assert [(query.place, query.look_alikes) for query in dataset.queries] == [
        ("Paris", (VEGAS,)),
        ("Las Vegas", (PARIS,)),
        ("Paris", (VEGAS,)),
    ]
    assert any("3 of 4 photos show a landmark" in note for note in dataset.notes)


def test_held_out_postcards_have_the_look_alikes_of_the_landmark_in_view(tmp_path: Path) -> None:
    cities = [city_named(name) for name in ("Toronto", "Amsterdam", "Tokyo")]
    written = write_postcards(
        tmp_path, cities=cities, views_per_city=0, held_out_per_city=2, size=(96, 64), seed=5
    )
    dataset = load_twins(written.manifest, seed=5)
    assert dataset.queries
    assert all(query.place != "Amsterdam" for query in dataset.queries)  # its windmill is its own
    for query in dataset.queries:
        city = city_named(str(query.place))
        views = [plan_shot(city, 10_000 + number, seed=5) for number in range(2)]
        shot = min(views, key=lambda view: view.coordinate.distance_km(query.coordinate))
        assert shot.landmark in city.landmarks
        assert city.center not in query.look_alikes


def test_another_seed_of_postcards_is_noticed_and_not_misread(tmp_path: Path) -> None:
    written = write_postcards(
        tmp_path, cities=[city_named("Toronto")], views_per_city=0, held_out_per_city=3,
        size=(96, 64), seed=5,
    )  # fmt: skip
    with pytest.raises(InvalidInput, match="with its seed"):
        load_twins(written.manifest, seed=6)


def test_a_report_on_twins_has_their_shares(tmp_path: Path) -> None:
    queries = (Query("1", PARIS, place="Paris", look_alikes=(VEGAS,)),
               Query("2", VEGAS, place="Las Vegas", look_alikes=(PARIS,)))  # fmt: skip
    from geosearch.evaluation.datasets import Dataset
    from geosearch.evaluation.report import report_to_dict, report_to_markdown

    report = evaluate(lambda _: [PARIS, PARIS], Dataset("twins", queries))
    twins = report_to_dict(report)["methods"][0]["twins"]
    assert twins["right_percent"]["value"] == twins["look_alike_percent"]["value"] == 50.0
    assert "a look-alike" in report_to_markdown(report)
