from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geosearch.errors import ConfigError, InvalidInput
from geosearch.splits import (
    block_folds,
    block_groups,
    blocks,
    held_out_split,
    place_folds,
    place_groups,
    split_of,
)

places = st.lists(st.sampled_from("abcdefgh"), min_size=8, max_size=60)


@given(places, st.integers(0, 1000))
def test_no_place_is_in_two_folds(names: list[str], seed: int) -> None:
    names = [*names, "a", "b", "c"]
    fold = place_folds(names, folds=3, seed=seed)
    for name in set(names):
        assert len({int(fold[row]) for row, other in enumerate(names) if other == name}) == 1
    assert set(fold.tolist()) == {0, 1, 2}


@given(
    st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=60),
    st.floats(0.1, 45.0),
)
def test_a_cell_is_no_larger_than_asked(points: list[tuple[float, float]], degrees: float) -> None:
    lat, lon = np.array(points).T
    cell = blocks(lat, lon, degrees)
    lon = np.where(lon == 180.0, -180.0, lon)
    for name in set(cell.tolist()):
        inside = cell == name
        assert np.ptp(lat[inside]) <= degrees + 1e-9
        assert np.ptp(lon[inside]) <= degrees + 1e-9


def test_the_last_longitude_below_180_stays_in_the_last_column() -> None:
    last, beside, first = blocks([0.0, 0.0, 0.0], [np.nextafter(180.0, 0.0), 179.5, 180.0], 1.0)
    assert last == beside != first


def test_both_sides_of_the_antimeridian_line_are_one_meridian() -> None:
    first, second = blocks([10.5, 10.5], [180.0, -180.0], 1.0)
    assert first == second


def test_the_pole_belongs_to_the_last_row() -> None:
    pole, below = blocks([90.0, 89.5], [0.5, 0.5], 1.0)
    assert pole == below


def test_neighbours_across_a_cell_edge_are_apart_and_within_a_cell_together() -> None:
    a, b, c = blocks([0.1, 0.9, 1.1], [0.5, 0.5, 0.5], 1.0)
    assert a == b != c


def test_a_place_on_the_edge_of_two_cells_is_not_cut_in_two() -> None:
    lat = np.array([0.99, 1.01, 5.5, 9.5])
    for seed in range(5):
        fold = block_folds(lat, np.zeros(4), 1.0, places=["a", "a", "b", "c"], folds=3, seed=seed)
        assert fold[0] == fold[1]


def test_folds_hold_cells_in_numbers_that_differ_by_one_at_most() -> None:
    lat = np.repeat(np.arange(-20, 21), 3).astype(np.float64) + 0.5
    fold = block_folds(lat, np.zeros_like(lat), 1.0, folds=5)
    cells = [len(np.unique(lat[fold == one])) for one in range(5)]
    assert max(cells) - min(cells) <= 1


@pytest.mark.parametrize("degrees", [None, 20.0])
def test_no_place_is_on_both_sides_of_what_is_held_out(degrees: float | None) -> None:
    places = np.repeat([f"p{number}" for number in range(40)], 3)
    lat, lon = (np.linspace(-end, end, 40).repeat(3) for end in (60.0, 170.0))
    groups = (
        place_groups(places) if degrees is None else block_groups(lat, lon, degrees, places=places)
    )
    split = held_out_split(groups, share=0.2, seed=0, name="places")
    assert set(places[split.train]).isdisjoint(places[split.test])
    assert sorted([*split.train, *split.test]) == list(range(120))
    assert 6 <= len(split.test) <= 24
    again = held_out_split(groups, share=0.2, seed=0, name="places")
    assert again.test.tolist() == split.test.tolist()
    other = held_out_split(groups, share=0.2, seed=1, name="places")
    assert other.test.tolist() != split.test.tolist()


def test_groups_are_numbered_from_0_without_gaps() -> None:
    assert place_groups(["b", "a", "b"]).tolist() == [1, 0, 1]
    assert block_groups([50.0, -50.0, 50.5], [8.1, 8.1, 8.9], 1.0).tolist() == [1, 0, 1]


@pytest.mark.parametrize("places", [0, 1, 2])
def test_too_few_places_to_hold_one_out_are_refused(places: int) -> None:
    groups = place_groups(np.arange(places))
    with pytest.raises(ConfigError, match=f"of {places} places, and training needs 3 or more"):
        held_out_split(groups, share=0.2, seed=0, name="places")


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_a_share_that_leaves_a_side_empty_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="above 0 and below 1"):
        held_out_split(place_groups(list("abcd")), share=share, seed=0, name="places")


def test_another_seed_deals_other_folds() -> None:
    names = list(range(100))
    assert (place_folds(names, seed=0) == place_folds(names, seed=0)).all()
    assert (place_folds(names, seed=0) != place_folds(names, seed=1)).any()


def test_a_single_place_cannot_be_split() -> None:
    with pytest.raises(InvalidInput, match="1 groups of photos \\(by place\\) for 5 folds"):
        place_folds(["lund"] * 30)


def test_cells_that_swallow_everything_cannot_be_split() -> None:
    with pytest.raises(InvalidInput, match="cell of 90°"):
        block_folds([1.0, 2.0], [1.0, 2.0], 90.0)


@pytest.mark.parametrize("degrees", [0.0, -1.0, 91.0, float("nan")])
def test_cells_of_no_size_are_refused(degrees: float) -> None:
    with pytest.raises(ConfigError, match="above 0 and up to 90"):
        blocks([0.0], [0.0], degrees)


def test_an_empty_side_of_a_split_is_refused() -> None:
    fold = np.array([0, 0, 1])
    split = split_of(fold, 1)
    assert (split.train.tolist(), split.test.tolist()) == ([0, 1], [2])
    with pytest.raises(InvalidInput, match="no photo would be asked in fold 7"):
        split_of(fold, 7)
    with pytest.raises(InvalidInput, match="left to search in"):
        split_of(np.array([0, 0]), 0)
