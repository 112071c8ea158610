from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from geosearch.benchmarks.register import registration


def test_registering_is_measured_beside_plain_adds_and_again() -> None:
    first, again = registration(size=2_000)["rows"]
    assert (first["to_read"], again["to_read"]) == (2_000, 0)
    assert first["ratio"] > 0
    assert 10 < first["peak_mb"] < 1_000


def test_plain_adds_keep_the_foreign_key_that_the_producer_keeps() -> None:
    added: list[Any] = []  # the producer runs in another process, so these are the baseline's

    def note(session: Session, _context: Any, _instances: Any) -> None:
        added.extend(row.run_id for row in session.new)

    event.listen(Session, "before_flush", note)
    try:
        registration(size=50)
    finally:
        event.remove(Session, "before_flush", note)
    assert len(added) == 50
    assert None not in added
