"""Predictions, search results and photos as CSV, safe to open in a spreadsheet.

Captions, authors and paths come from strangers: a text cell that a spreadsheet would run as a
formula gets an apostrophe in front; numbers are written as they are.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import TextIO

from geosearch.exports.text import printable
from geosearch.records import Prediction, SearchResult

PHOTO_COLUMNS = (
    "path",
    "lat",
    "lon",
    "captured_at",
    "dataset",
    "country",
    "city",
    "state",
    "author",
    "license",
    "caption",
)
"""Columns of exported photos; they read back as an ingest manifest."""

PREDICTION_COLUMNS = (
    "image",
    "lat",
    "lon",
    "radius_km_50",
    "radius_km_90",
    "place",
    "share",
    "reason",
    "best_evidence",
    "best_score",
    "alternatives",
    "lmm",
    "models",
    "encoder",
    "cost_usd",
    "seconds",
)
SEARCH_COLUMNS = (
    "id",
    "path",
    "lat",
    "lon",
    "score",
    "place",
    "country",
    "captured_at",
    "distance_km",
    "dataset",
    "author",
    "license",
    "caption",
)

_PATH_COLUMNS = frozenset({"path", "image", "best_evidence"})
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def photos_to_csv(
    rows: Iterable[Mapping[str, object]],
    out: TextIO,
    *,
    columns: Sequence[str] = PHOTO_COLUMNS,
) -> int:
    """Write photos to an open text file, row by row, and return how many.

    Args:
        rows: one mapping a photo; a column that is missing or None gives an empty cell, a key that
            is not in `columns` is not written.
        out: opened with ``newline=""``, as `csv` asks.
        columns: the columns in order.
    """
    writer = csv.writer(out)
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow([_cell(row.get(column), column) for column in columns])
        count += 1
    return count


def predictions_to_csv(predictions: Iterable[Prediction]) -> str:
    """One row a prediction; without an answer the numbers are empty and `reason` says why."""
    out = io.StringIO(newline="")
    photos_to_csv(map(prediction_row, predictions), out, columns=PREDICTION_COLUMNS)
    return out.getvalue()


def search_result_to_csv(result: SearchResult) -> str:
    """One row a hit, in order."""
    out = io.StringIO(newline="")
    photos_to_csv(search_rows(result), out, columns=SEARCH_COLUMNS)
    return out.getvalue()


def search_rows(result: SearchResult) -> Iterator[dict[str, object]]:
    """The hits as flat mappings in order, with the keys of `SEARCH_COLUMNS`."""
    for hit in result.hits:
        photo, where = hit.photo, hit.photo.coordinate
        yield {
            **{name: getattr(photo, name) for name in SEARCH_COLUMNS if hasattr(photo, name)},
            "lat": None if where is None else where.lat,
            "lon": None if where is None else where.lon,
            "score": hit.score,
            "distance_km": hit.distance_km,
        }


def prediction_row(prediction: Prediction) -> dict[str, object]:
    """A prediction as a flat mapping with keys of `PREDICTION_COLUMNS`; without an answer fewer."""
    row: dict[str, object] = {
        "image": prediction.image,
        "reason": prediction.reason,
        "alternatives": len(prediction.alternatives),
        "lmm": prediction.lmm,
        "models": ", ".join(prediction.models),
        "encoder": prediction.encoder,
        "cost_usd": prediction.cost_usd,
        "seconds": prediction.seconds,
    }
    best = prediction.best
    if best is not None:
        row |= {
            "lat": best.coordinate.lat,
            "lon": best.coordinate.lon,
            "radius_km_50": best.radius_km.get(50),
            "radius_km_90": best.radius_km.get(90),
            "place": best.place,
            "share": best.share,
        }
        if best.evidence:
            row |= {
                "best_evidence": best.evidence[0].photo.path,
                "best_score": best.evidence[0].score,
            }
    return row


def _cell(value: object, column: str) -> str:
    """A value as a cell: nothing, a number, a date, or text that no spreadsheet runs.

    Source: OWASP, CSV Injection.
    """
    if value is None:
        return ""
    if isinstance(value, datetime | date):
        return value.isoformat()
    # bool is an int, an Enum of ours a str; both read well as they are.
    if isinstance(value, int | float):
        return str(value)
    text = printable(str(value))
    if not text.startswith(_FORMULA_STARTS):
        return text
    # A path must still open: ./-1.jpg is the same file as -1.jpg, '-1.jpg is another.
    if column in _PATH_COLUMNS and not text[0].isspace():
        return f"./{text}"
    return f"'{text}"
