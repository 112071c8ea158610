"""Locating many photos into one file, so that a killed run loses none and repeats none.

Answers go line by line into a journal beside the file (`NAME.journal`); the file itself is written
whole at the end, and then the journal goes. Not the place where photos are located.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from geosearch import exports
from geosearch.closing import Closing
from geosearch.encoder.drafts import drafted_file
from geosearch.errors import ConfigError, InvalidInput
from geosearch.exports.reading import prediction_from_dict
from geosearch.exports.text import json_value
from geosearch.records import LmmState, Prediction

FORMATS = {".csv": "csv", ".geojson": "geojson", ".kml": "kml", ".json": "json"}
FORMAT = 2


class Journal(Closing):
    """What has been answered so far for one output file.

    A line is written at once or not at all as far as a reader can tell: a last line without its
    end, from a process that was killed, is cut off when the journal is opened again.

    Args:
        out: the file that will hold the answers; its ending chooses the form.
        conditions: what must not change between the runs, as the encoder.

    Raises:
        ConfigError: the ending is unknown, or an earlier run had other conditions.
        InvalidInput: the journal is damaged before its end.
    """

    def __init__(self, out: Path, conditions: dict[str, Any]) -> None:
        if out.suffix.lower() not in FORMATS:
            raise ConfigError(f"{out}: end its name with one of {', '.join(FORMATS)}")
        self.out, self.path = out, _journal_of(out)
        self.done: set[str] = set()
        self.cost_usd = 0.0
        self.unanswered = 0
        self.without_lmm = 0
        out.parent.mkdir(parents=True, exist_ok=True)
        head = {"format": FORMAT, **conditions}
        found = _recovered(self.path)
        if found is not None and found != head:
            raise ConfigError(
                f"{self.path} is of a run with {found}, and this one has {head}; finish that one "
                "with the same settings, or delete the journal to begin anew"
            )
        for prediction in self.predictions():
            self._count(prediction)
        self._file = self.path.open("ab", buffering=0)
        if found is None:
            self._write(head)

    def is_done(self, image: str) -> bool:
        """Whether a photo has been answered; names that no JSON can hold are told apart less."""
        return str(json_value(image)) in self.done

    def add(self, prediction: Prediction) -> None:
        """Keep an answer; it is found again after the process was killed."""
        self._write(exports.prediction_to_dict(prediction))
        self._count(prediction)

    def predictions(self) -> Iterator[Prediction]:
        """Every answer so far, in the order they were given.

        Raises:
            InvalidInput: a line is damaged.
        """
        if not self.path.exists():
            return
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if number > 1:
                    yield self._read(number, line)

    def finish(self) -> None:
        """Write the file, whole, and let the journal go.

        Raises:
            StorageFull: no room is left; the journal stays.
        """
        with drafted_file(self.out.absolute()) as draft:
            with draft.open("w", encoding="utf-8", newline="") as file:
                file.write(_rendered(self.predictions(), FORMATS[self.out.suffix.lower()]))
        self.close()
        self.path.unlink()

    def close(self) -> None:
        """Let go of the journal; harmless when called twice."""
        self._file.close()

    def _count(self, prediction: Prediction) -> None:
        self.done.add(str(json_value(prediction.image)))
        self.cost_usd += prediction.cost_usd
        self.unanswered += prediction.best is None
        self.without_lmm += prediction.lmm not in (LmmState.NOT_ASKED, LmmState.ANSWERED)

    def _write(self, document: dict[str, Any]) -> None:
        line = json.dumps(document, ensure_ascii=True, allow_nan=False).encode() + b"\n"
        while line:  # a raw write may take a part only
            line = line[self._file.write(line) :]

    def _read(self, number: int, line: bytes) -> Prediction:
        try:
            return prediction_from_dict(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(self.path, number) from error


def unfinished(out: Path) -> dict[str, Any] | None:
    """The conditions of a run that was stopped before it wrote this file; None if there is none.

    Raises:
        InvalidInput: its journal is damaged.
    """
    head = _recovered(_journal_of(out))
    return None if head is None else {name: v for name, v in head.items() if name != "format"}


def _journal_of(out: Path) -> Path:
    return out.with_name(out.name + ".journal")


def _recovered(path: Path) -> dict[str, Any] | None:
    """The first line of a journal, its torn last line cut off; None if there is none."""
    if not path.exists():
        return None
    with path.open("rb+") as file:
        data = file.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            file.truncate(whole)
            os.fsync(file.fileno())
    if not whole:
        return None
    try:
        head: dict[str, Any] = json.loads(data[: data.index(b"\n")])
    except ValueError as error:
        raise _damaged(path, 1) from error
    return head


def _damaged(path: Path, number: int) -> InvalidInput:
    return InvalidInput(
        f"{path}, line {number} is damaged; delete the line to locate that photo again, "
        "or the journal to begin anew"
    )


def _rendered(predictions: Iterable[Prediction], form: str) -> str:
    match form:
        case "csv":
            return exports.predictions_to_csv(predictions)
        case "geojson":
            return exports.predictions_to_geojson(predictions)
        case "kml":
            return exports.predictions_to_kml(list(predictions))
    return exports.predictions_to_json(list(predictions))
