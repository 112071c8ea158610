"""`geosearch bench register`: the bulk producer against plain ORM adds, on one PostgreSQL."""

from __future__ import annotations

from geosearch.benchmarks.register import registration
from peers.contenders.contender import Answer, Request, play


def measure(request: Request) -> Answer:
    """Rows a second of both, from the same manifest into the same table."""
    first = registration(size=request["rows"])["rows"][0]
    rate = first["per_second"]
    return {"per_second": rate, "orm_per_second": rate / first["ratio"]}


if __name__ == "__main__":
    play(measure, "sqlalchemy", "psycopg")
