from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peers import inputs, page
from peers.__main__ import ROWS, SCALES, write_page
from peers.contest import ROOT, Contender, ContenderFailed, Contest, aim, line
from peers.figures import log_log_slope, ratios, recall, spread
from peers.quality import dbscan_center
from peers.searching import growth_sizes


def contest_in(folder: Path, *, scale: float = 1.0) -> Contest:
    return Contest(folder, Path("/nowhere/python"), scale, 2, None, lambda _: None)


def row_of(**more: Any) -> dict[str, Any]:
    lines = [
        line("GeoSearch", "ms", [2.0, 2.0], recall=0.995),
        line("a peer", "ms", [4.0, 8.0], against=[2.0, 2.0], recall=0.5),
    ]
    return {
        "row": "search",
        "title": "search 2,000 vectors",
        "scale": 0.02,
        "rounds": 2,
        "date": "2026-11-26",
        "load": [0.25, 12.5],
        "machine": {
            "processor": "A CPU", "cores": 2, "memory_gb": 24, "system": "Linux 6",
            "python": "3.11",
        },
        "versions": {"faiss-cpu": "1.15.1"},
        "lines": lines,
        "aims": [aim("≥ 10 times a peer", 3.0, 10.0), aim("≤ 2 times", 1.5, 2.0, at_most=True)],
        **more,
    }  # fmt: skip


def test_spread_is_the_median_with_the_least_and_the_most() -> None:
    assert spread([3.0, 1.0, 8.0]).as_dict() == {"median": 3.0, "low": 1.0, "high": 8.0}


@pytest.mark.parametrize("rounds", [[], [1.0, float("nan")], [float("inf")]])
def test_rounds_without_a_number_are_refused(rounds: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        spread(rounds)


def test_ratios_compare_round_by_round() -> None:
    # The second round was slow for both: the ratio does not notice.
    assert ratios([10.0, 100.0, 30.0], [5.0, 50.0, 10.0]).as_dict() == {
        "median": 2.0,
        "low": 2.0,
        "high": 3.0,
    }


@pytest.mark.parametrize("theirs", [[1.0], [1.0, 0.0]])
def test_ratios_refuse_rounds_that_cannot_be_compared(theirs: list[float]) -> None:
    with pytest.raises(ValueError, match="cannot compare"):
        ratios([1.0, 2.0], theirs)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
def test_slope_is_the_exponent_of_growth(exponent: float) -> None:
    costs = {n: 7.0 * n**exponent for n in (10_000, 50_000, 200_000)}
    assert log_log_slope(costs) == pytest.approx(exponent, abs=1e-9)


@pytest.mark.parametrize("costs", [{10: 1.0}, {10: 1.0, 20: 0.0}])
def test_slope_refuses_what_has_none(costs: dict[int, float]) -> None:
    with pytest.raises(ValueError, match="slope"):
        log_log_slope(costs)


def test_recall_leaves_out_queries_without_a_true_neighbour() -> None:
    truth = np.array([[1, 2], [3, -1], [-1, -1]])
    found = np.array([[2, 9], [3, 4], [5, 6]])
    assert recall(found, truth) == 0.75


def test_recall_refuses_arrays_of_other_shapes() -> None:
    with pytest.raises(ValueError, match="the truth has"):
        recall(np.zeros((2, 3), np.int64), np.zeros((2, 2), np.int64))


def test_a_ratio_above_one_means_that_we_are_better_for_times_and_for_rates() -> None:
    assert line("peer", "ms", [6.0], against=[2.0])["ratio"]["median"] == 3.0
    assert line("peer", "photos/s", [2.0], against=[6.0], is_rate=True)["ratio"]["median"] == 3.0


def test_sizes_follow_the_scale_and_keep_a_least(tmp_path: Path) -> None:
    contest = contest_in(tmp_path, scale=0.02)
    assert contest.size(200_000, least=10) == 4000
    assert contest.size(100, least=10) == 10


def test_a_contender_answers_in_a_process_of_its_own(tmp_path: Path) -> None:
    # The scripts ask for packages that are installed here; this one needs Qdrant Edge alone.
    request = {"points": 40, "changed": 10, "dim": 8, "scratch": str(tmp_path)}
    answer = contest_in(tmp_path).ask(Contender("GeoSearch", "change_geosearch", request))
    assert answer["changed_per_second"] > 0.0
    assert answer["deleted_per_second"] > 0.0
    assert answer["peak_mb"] > 1.0
    assert set(answer["versions"]) == {"qdrant-edge-py"}


def test_a_contender_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(ContenderFailed, match="KeyError: 'points'"):
        contest_in(tmp_path).ask(Contender("GeoSearch", "change_geosearch", {}))


def test_remembered_facts_come_back_and_a_lost_file_is_nothing(tmp_path: Path) -> None:
    contest = contest_in(tmp_path)
    path = tmp_path / "rows" / "search-1.json"
    assert contest.recall(path) == {}
    contest.remember(path, row_of())
    assert contest.recall(path) == json.loads(json.dumps(row_of()))


def test_the_page_states_machine_scale_load_ratio_and_what_was_missed() -> None:
    text = page.render([row_of()])
    assert "2 cores of A CPU, 24 GB, Linux 6, Python 3.11" in text
    assert "faiss-cpu 1.15.1" in text
    assert (
        "| search 2,000 vectors | 0.02 | 2.00 ms | a peer 6.00 ms, 3.00 times | ≥ 10 times a peer: "
        "3.00 **(missed)**; ≤ 2 times: 1.50 | 2, 0.2–12.5 |"
    ) in text
    assert "| a peer | 0.5000 | 6.00 ms | 4.00 to 8.00 | 3.00 (2.00 to 4.00) |" in text


def test_the_page_states_exponents_of_growth() -> None:
    assert "GeoSearch, median 0.31" in page.render([row_of(slopes={"GeoSearch, median": 0.312})])


def test_the_page_names_rows_that_were_not_run() -> None:
    text = page.render([row_of()], missing=["growth", "streets"])
    assert "**Not run, or not to the end:** `growth`, `streets`." in text
    assert "Not run" not in page.render([row_of()])


def test_the_page_is_written_from_the_rows_that_there_are(tmp_path: Path) -> None:
    to = tmp_path / "page.md"
    empty = f"# Words\n\n{page.BEGIN}\n{page.END}\n"
    to.write_text(empty)
    write_page(to, tmp_path)
    assert to.read_text() == empty

    for scale in (0.02, 0.25):
        path = tmp_path / "rows" / f"search-{scale:g}.json"
        contest_in(tmp_path).remember(path, row_of(scale=scale))
    write_page(to, tmp_path)
    text = to.read_text()
    assert "| search 2,000 vectors | 0.25 |" in text  # the larger of the two
    others = ", ".join(f"`{name}`" for name in ROWS if name != "search")
    assert f"**Not run, or not to the end:** {others}." in text


def test_every_row_has_a_scale_of_its_own_and_the_page_states_it() -> None:
    assert set(SCALES) == set(ROWS)
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for name, scale in SCALES.items():
        assert f"| `{name}` | {scale:g} |" in text


def test_growth_has_three_sizes_at_least_and_the_largest_only_at_full_scale() -> None:
    assert growth_sizes(500_000) == [10_000, 50_000, 200_000, 500_000]
    assert growth_sizes(200_000) == [10_000, 50_000, 200_000]
    assert growth_sizes(20_000) == [1_000, 5_000, 20_000]


def test_only_the_block_of_figures_is_replaced() -> None:
    before = f"# Words\n\n{page.BEGIN}\n\nold\n\n{page.END}\n\nmore words\n"
    after = page.replaced(before, "new")
    assert after == f"# Words\n\n{page.BEGIN}\n\nnew\n\n{page.END}\n\nmore words\n"
    with pytest.raises(ValueError, match="no block"):
        page.replaced("# Words", "new")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.01234, "0.0123"), (1.234, "1.23"), (56.78, "56.8"), (12345.6, "12,346")],
)
def test_numbers_have_three_figures(value: float, text: str) -> None:
    assert page.number(value) == text


def test_circles_hold_their_share_and_the_truth_lies_inside(tmp_path: Path) -> None:
    folder = inputs.vectors(tmp_path, 400, block_dim=8, queries=5)
    for places in inputs.PLACES:
        truth = np.load(folder / f"{places}-truth.npy")
        counts = (truth >= 0).sum(axis=-1)  # (shares, q)
        wanted = [min(inputs.K, max(1, round(share * 400))) for share in inputs.SHARES]
        assert counts.tolist() == [[count] * 5 for count in wanted]
    again = inputs.vectors(tmp_path, 400, block_dim=8, queries=5)
    assert again == folder


def test_nearest_ids_come_best_first() -> None:
    scores = np.array([[0.1, 0.9, -np.inf, 0.5]], np.float32)
    assert inputs.nearest(scores, 4).tolist() == [[1, 3, 0, -1]]


def test_the_centre_is_that_of_the_largest_cluster() -> None:
    alone, pair, three = (40.0, 0.0), (10.0, 179.9), (50.0, 8.0)
    places = np.array([alone, pair, (10.0, -179.9), three, (50.0, 8.2), (50.0, 8.4)])
    assert dbscan_center(places)[1] == pytest.approx(8.2, abs=0.01)
    across = dbscan_center(np.array([alone, pair, (10.0, -179.9)]))
    assert abs(across[1]) == pytest.approx(180.0, abs=0.01)


def test_without_a_cluster_the_nearest_photo_answers() -> None:
    places = np.array([(40.0, 0.0), (10.0, 100.0)])
    assert dbscan_center(places).tolist() == [40.0, 0.0]
