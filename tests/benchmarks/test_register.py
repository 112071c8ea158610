from __future__ import annotations

from geosearch.benchmarks.register import registration


def test_registering_is_measured_beside_plain_adds_and_again() -> None:
    first, again = registration(size=2_000)["rows"]
    assert (first["to_read"], again["to_read"]) == (2_000, 0)
    assert first["ratio"] > 0
    assert 10 < first["peak_mb"] < 1_000
