"""Sending photos to a server: in batches, each with its labels, none twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from geosearch.client.wire import Wire, as_json
from geosearch.closing import Closing
from geosearch.errors import ServerError
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
    sha256: str
    claims: Claims
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
        self._unasked: list[_Waiting] = []
        self._batch: list[_Waiting] = []
        self._sent = set[str]()

    def close(self) -> None:
        """Close what photos were read through."""
        self._reader.close()

    def send_all(self, sources: Iterable[PhotoSource | BadSource]) -> IngestReport:
        """Every source is in one of the counts of the report."""
        start = time.monotonic()
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
            self._unasked.append(
                _Waiting(source.uri, content.data, content.sha256, source.claims, row_of(source))
            )
            if _is_full(self._unasked):
                self._ask()
            self._report.seconds = time.monotonic() - start
        self._ask()
        self._send()
        self._report.seconds = time.monotonic() - start
        return self._report

    def _ask(self) -> None:
        """Ask which photos the server has, and what it knows of them; send the others."""
        waiting, self._unasked = self._unasked, []
        if not waiting:
            return
        known = {entry.photo.id: entry for entry in self._known({one.sha256 for one in waiting})}
        for one in waiting:
            entry = known.get(photo_id(one.sha256))
            if one.sha256 in self._sent or (entry is not None and _is_told(entry, one)):
                self._report.duplicates += 1
                continue
            self._sent.add(one.sha256)
            self._batch.append(one)
            if _is_full(self._batch):
                self._send()
        self._tell()

    def _known(self, hashes: Collection[str]) -> list[PhotoEntry]:
        ids = [str(photo_id(sha256)) for sha256 in hashes]
        answer = self._wire.ask(
            "GET",
            "/v1/photos",
            params={"id": ids, "state": [*map(str, PhotoState)], "limit": len(ids)},
        )
        return self._wire.read(_listed, answer)

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
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._report)

    def _failed(self, uri: str, reason: str) -> None:
        self._report.failed += 1
        if len(self._report.errors) < MOST_ERRORS:
            self._report.errors.append(IngestError(uri, reason))


def _is_full(batch: list[_Waiting]) -> bool:
    return (
        len(batch) == BATCH_FILES
        or sum(len(one.data) for one in batch) >= BATCH_BYTES
        or sum(len(str(one.row)) for one in batch) >= BATCH_LABELS
    )


def _is_told(entry: PhotoEntry, one: _Waiting) -> bool:
    """Whether the server is done with a photo that it has, and nothing said of it is news."""
    is_done = entry.state in (PhotoState.INDEXED, PhotoState.UNLABELLED)
    says_more = "xmp" in one.row or bool(one.claims.attributes)
    return is_done and not says_more and _agrees(entry, one.claims)


def _listed(answer: Any) -> list[PhotoEntry]:
    return [photo_entry_from_dict(one) for one in answer["photos"]]


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
