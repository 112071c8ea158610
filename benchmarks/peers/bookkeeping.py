"""Rows about what is written besides vectors: registering, changing labels, deleting."""

from __future__ import annotations

from typing import Any

from peers.contest import Contender, Contest, aim, line
from peers.figures import ratios

OURS, ORM = "GeoSearch", "SQLAlchemy, session.add"
LOCAL, EDGE = "qdrant-client, local mode, one by one", "Qdrant Edge, one by one"
DIM = 768


def register(contest: Contest) -> dict[str, Any]:
    """Rows a second of registering a manifest."""
    rows = contest.size(200_000, least=5000)
    answers = contest.rounds_of([Contender(OURS, "register_geosearch", {"rows": rows})])[OURS]
    ours = [one["per_second"] for one in answers]
    orm = [one["orm_per_second"] for one in answers]
    return {
        "title": f"register {rows:,} rows of a manifest",
        "sizes": {"rows": rows},
        "lines": [
            line(OURS, "rows/s", ours),
            line(ORM, "rows/s", orm, against=ours, is_rate=True),
        ],
        "aims": [aim("≥ 10 times ORM adds", ratios(ours, orm).median, 10.0)],
        "versions": answers[0]["versions"],
    }


def relabel(contest: Contest) -> dict[str, Any]:
    """Points a second of giving points of the index new labels."""
    return _changes(contest, "changed_per_second", "give {:,} of {:,} points new labels")


def delete(contest: Contest) -> dict[str, Any]:
    """Points a second of deleting points of the index."""
    return _changes(contest, "deleted_per_second", "delete {:,} of {:,} points")


def _changes(contest: Contest, figure: str, title: str) -> dict[str, Any]:
    """Both are measured in one run of each contender, whose answers are kept for the other row."""
    changed = contest.size(10_000, least=500)
    points = 2 * changed
    kept = contest.work / f"changes-{changed}-{contest.rounds}.json"
    answers = contest.recall(kept)
    if not answers or figure == "changed_per_second":
        request = {"points": points, "changed": changed, "dim": DIM, "scratch": str(contest.work)}
        answers = contest.rounds_of(
            [
                Contender(OURS, "change_geosearch", request),
                Contender(LOCAL, "change_qdrant", request | {"engine": "local"}),
                Contender(EDGE, "change_qdrant", request | {"engine": "edge"}),
            ]
        )
        contest.remember(kept, answers)
    rates = {name: [one[figure] for one in some] for name, some in answers.items()}
    return {
        "title": title.format(changed, points),
        "sizes": {"points": points, "changed": changed},
        "lines": [
            line(name, "points/s", values, against=None if name == OURS else rates[OURS],
                 is_rate=True)
            for name, values in rates.items()
        ],
        "aims": [
            aim("≥ 10 times the client, one by one", ratios(rates[OURS], rates[LOCAL]).median, 10.0)
        ],
        "versions": answers[OURS][0]["versions"] | answers[LOCAL][0]["versions"],
    }  # fmt: skip
