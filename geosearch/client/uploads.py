"""Sending photos to a server: in batches, each with its labels, none twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from geosearch.client.wire import Wire, as_json
from geosearch.closing import Closing
from geosearch.errors import ServerError, UnknownPhoto
from geosearch.exports.reading import photo_entry_from_dict
from geosearch.ingest.decisions import Outcome
from geosearch.ingest.reader import PhotoReader
from geosearch.ingest.sources import (
    BadSource,
    Claims,
    PhotoSource,
    SourceUnreadable,
    file_name,
    sidecar_of,
)
from geosearch.records import IngestError, IngestReport, PhotoEntry, PhotoState, photo_id

BATCH_FILES = 32
BATCH_BYTES = 32_000_000
BATCH_LABELS = 500_000
"""Characters of labels, sidecars among them, of one upload; servers take twice as many."""
MOST_ERRORS = 1000
"""Errors that a report holds; the count goes on."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    uri: str
    data: bytes
    row: dict[str, Any]


class Uploader(Closing):
    """Sends sources and counts what became of them.

    Args:
        wire: the server.
        progress: told the counts after each batch.
    """

    def __init__(self, wire: Wire, progress: Callable[[IngestReport], None] | None = None) -> None:
        self._wire, self._progress = wire, progress
        self._reader = PhotoReader()
        self._report = IngestReport()
        self._batch: list[_Waiting] = []

    def close(self) -> None:
        """Close what photos were read through."""
        self._reader.close()

    def send_all(self, sources: Iterable[PhotoSource | BadSource]) -> IngestReport:
        """Every source is in one of the counts of the report."""
        start, seen = time.monotonic(), set[str]()
        for source in sources:
            self._report.scanned += 1
            if isinstance(source, BadSource):
                self._failed(source.uri, source.reason)
                continue
            try:
                content = self._reader.read(source)
            except SourceUnreadable as error:
                self._failed(source.uri, str(error))
                continue
            row = row_of(source)
            if content.sha256 in seen or self._is_there(content.sha256, source.claims, row):
                self._report.duplicates += 1
                continue
            seen.add(content.sha256)
            self._batch.append(_Waiting(source.uri, content.data, row))
            if (
                len(self._batch) == BATCH_FILES
                or sum(len(one.data) for one in self._batch) >= BATCH_BYTES
                or sum(len(str(one.row)) for one in self._batch) >= BATCH_LABELS
            ):
                self._send()
            self._report.seconds = time.monotonic() - start
        self._send()
        self._report.seconds = time.monotonic() - start
        return self._report

    def _is_there(self, sha256: str, claims: Claims, row: dict[str, Any]) -> bool:
        """Whether the server has the photo, and all that is said of it."""
        try:
            document = self._wire.ask("GET", f"/v1/photos/{photo_id(sha256)}")
        except UnknownPhoto:
            return False
        entry = self._wire.read(photo_entry_from_dict, document)
        is_done = entry.state in (PhotoState.INDEXED, PhotoState.UNLABELLED)
        return is_done and "xmp" not in row and not claims.attributes and _agrees(entry, claims)

    def _send(self) -> None:
        batch, self._batch = self._batch, []
        if not batch:
            return
        labels = as_json([one.row or None for one in batch])
        answer = self._wire.ask(
            "POST",
            "/v1/photos",
            form={"labels": labels},
            files=[("files", (file_name(one.uri), one.data)) for one in batch],
            # Of this sending alone: sent again another day, the photos may have been deleted.
            headers={"Idempotency-Key": uuid4().hex},
        )
        results = self._wire.read(_outcomes, answer)
        if len(results) != len(batch):
            raise ServerError(
                f"{self._wire.url} answered for {len(results)} of {len(batch)} photos; is it of "
                "another version?"
            )
        for one, (outcome, reason) in zip(batch, results, strict=True):
            if outcome is Outcome.FAIL:
                self._failed(one.uri, reason)
            else:
                setattr(self._report, outcome, getattr(self._report, outcome) + 1)
        if self._progress is not None:
            self._progress(self._report)

    def _failed(self, uri: str, reason: str) -> None:
        self._report.failed += 1
        if len(self._report.errors) < MOST_ERRORS:
            self._report.errors.append(IngestError(uri, reason))


def _outcomes(answer: Any) -> list[tuple[Outcome, str]]:
    """What became of each photo of an upload, and why if it failed."""
    return [(Outcome(one["outcome"]), one["reason"] or "") for one in answer["photos"]]


def row_of(source: PhotoSource) -> dict[str, Any]:
    """What is claimed of a source, and its sidecar, as a row of labels."""
    claims = source.claims
    where = claims.coordinate
    said: dict[str, Any] = {
        "lat": None if where is None else where.lat,
        "lon": None if where is None else where.lon,
        "captured_at": None if claims.captured_at is None else claims.captured_at.isoformat(),
        "author": claims.author,
        "license": claims.license,
        "caption": claims.caption,
        "dataset": claims.dataset,
    }
    sidecar = None if source.path is None else sidecar_of(source.path)
    if sidecar is not None:
        said["xmp"] = sidecar.read_text(encoding="utf-8", errors="replace")
    said |= claims.attributes
    return {name: value for name, value in said.items() if value is not None}


def _agrees(entry: PhotoEntry, claims: Claims) -> bool:
    """Whether nothing of the claims is news."""
    photo = entry.photo
    said = (
        (claims.coordinate, photo.coordinate),
        (claims.captured_at, photo.captured_at),
        (claims.author, photo.author),
        (claims.license, photo.license),
        (claims.caption, photo.caption),
        (claims.dataset, photo.dataset),
    )
    return all(claim is None or claim == known for claim, known in said)
