from __future__ import annotations

from pathlib import Path

import pytest

from geosearch.benchmarks.sizing import estimate, sizing, table_lines

OPERATIONS = Path(__file__).parent.parent.parent / "docs" / "operations.md"


def test_the_table_of_the_documents_is_what_the_formula_says() -> None:
    assert "\n".join(table_lines()) in OPERATIONS.read_text()


def test_eight_bits_take_a_fifth_of_the_memory() -> None:
    size = estimate(1_000_000, 2304)
    assert size.ram_float32 / size.ram_int8 == pytest.approx(4.2, abs=0.4)
    assert size.index_disk > size.ram_float32 - size.ram_int8


def test_the_measurement_agrees_with_the_formula_where_it_is_small_too() -> None:
    rows = {row["case"]: row for row in sizing(n=4000)["rows"]}
    assert set(rows) == {
        "index on disk", "index in memory, all of it read",
        "of that without the float32 vectors", "catalogue on disk",
    }  # fmt: skip
    # The log of the engine, of one or two files, is most of it.
    assert 0.2 < rows["index on disk"]["ratio"] < 1.5
    assert 0.5 < rows["catalogue on disk"]["ratio"] < 1.5
