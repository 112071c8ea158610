"""The bench of asking: every part is timed against plain HTTP."""

from geosearch.benchmarks.asking import asking


def test_the_parts_of_a_call_are_timed_and_what_was_asked_before_is_quicker() -> None:
    document = asking(calls=5)
    rows = {row["part"]: row for row in document["rows"]}
    assert list(rows) == ["plain HTTP", "LiteLLM", "asked", "asked before"]
    assert rows["plain HTTP"]["overhead_ms"] == 0.0
    assert all(0.0 < row["p50_ms"] <= row["p95_ms"] for row in rows.values())
    assert rows["asked before"]["cpu_ms"] < rows["asked"]["cpu_ms"]
    assert document["picture_bytes"] > 50_000
