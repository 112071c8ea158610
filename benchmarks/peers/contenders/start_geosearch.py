"""Fill a home with photos for `geosearch search` to be started on."""

from __future__ import annotations

from pathlib import Path

from geosearch import GeoSearch
from peers.contenders.contender import Answer, Request, play


def measure(request: Request) -> Answer:
    """How many photos are indexed afterwards."""
    with GeoSearch(home=Path(request["home"]), encoder="lite") as collection:
        report = collection.ingest(request["photos"])
    return {"indexed": report.indexed}


if __name__ == "__main__":
    play(measure, "torch")
