"""The bulk producer: a manifest of millions of rows becomes rows of the intake, in batches.

    run_id = catalogue.begin_run(identity, inputs)
    for batch in register(intake, catalogue, sources, run_id=run_id, purpose=identity,
                          queue_length=broker.length, queue_limit=100_000):
        enqueue(batch.ids)          # already committed

Who reads: `intake.take(ids)`, `source_of(item)` for each, read and record it, `intake.finish(ids)`
or `intake.park({id: reason})`; a sweep sends `intake.lost(older_than_s=…)` again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from geosearch.catalogue.intake import Intake, IntakeDraft, IntakeItem
from geosearch.catalogue.repository import Catalogue
from geosearch.geo import Coordinate
from geosearch.ingest.sources import (
    BadSource,
    Claims,
    PhotoSource,
    SourceUnreadable,
    path_of,
    signature_of_source,
)

BATCH_ROWS = 5_000
"""Rows of one transaction; the sources and ids of two batches are all that is held in memory."""

QUEUE_LIMIT = 100_000
"""Ids that may wait in the queue before the producer does."""

POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class RegisteredBatch:
    """A committed batch: `ids` of the intake to enqueue, and what became of its rows.

    `scanned` rows are `len(ids)` to be read, `refused` that name no photo (recorded with their
    reasons), and the rest, which are known, finished and unchanged, or repeat a URI.
    """

    ids: tuple[int, ...]
    scanned: int
    refused: tuple[BadSource, ...]


def register(
    intake: Intake,
    catalogue: Catalogue,
    sources: Iterable[PhotoSource | BadSource],
    *,
    run_id: int,
    purpose: str,
    batch_rows: int = BATCH_ROWS,
    queue_length: Callable[[], int] | None = None,
    queue_limit: int = QUEUE_LIMIT,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[RegisteredBatch]:
    """Register every source, in committed batches; whoever iterates enqueues their ids.

    Killed at any moment and called again with the same sources it ends the same: what is finished
    and unchanged is skipped, what waits is handed out again. A batch is committed before it is
    handed out, and the next one is prepared meanwhile.

    Args:
        intake: where the rows go.
        catalogue: records what is refused.
        sources: of any number; read once, as a stream.
        run_id: from `Catalogue.begin_run`; within one run the first of equal URIs decides.
        purpose: what the sources are read for, as the encoder identity; another purpose reads all
            of them again.
        batch_rows: rows of one transaction.
        queue_length: how many ids wait in the queue now; None for no back-pressure.
        queue_limit: at this length the producer waits.
        wait: sleeps for so many seconds.

    Raises:
        StorageFull, CatalogueError: PostgreSQL has no room or refuses; call again to go on.
    """
    stream = iter(sources)
    with ThreadPoolExecutor(1, thread_name_prefix="register") as writer:
        writing: Future[RegisteredBatch] | None = None
        # PostgreSQL works on one batch while this thread parses the next.
        while rows := list(islice(stream, batch_rows)):
            drafts = [_draft(row, purpose) for row in rows if isinstance(row, PhotoSource)]
            refused = tuple(row for row in rows if isinstance(row, BadSource))
            if writing is not None:
                yield writing.result()
                _wait_for_room(queue_length, queue_limit, wait)
            writing = writer.submit(
                _write, intake, catalogue, drafts, refused, run_id=run_id, scanned=len(rows)
            )
        if writing is not None:
            yield writing.result()


def _write(
    intake: Intake,
    catalogue: Catalogue,
    drafts: list[IntakeDraft],
    refused: tuple[BadSource, ...],
    *,
    run_id: int,
    scanned: int,
) -> RegisteredBatch:
    for bad in refused:
        catalogue.refuse_source(bad.uri, bad.reason, run_id=run_id)
    return RegisteredBatch(tuple(intake.register(drafts, run_id=run_id)), scanned, refused)


def _wait_for_room(
    queue_length: Callable[[], int] | None, limit: int, wait: Callable[[float], None]
) -> None:
    while queue_length is not None and queue_length() >= limit:
        wait(POLL_S)


def source_of(item: IntakeItem) -> PhotoSource:
    """The source that a row of the intake stands for."""
    return PhotoSource(item.uri, path_of(item.uri), claims_from_json(item.claims))


def claims_to_json(claims: Claims) -> dict[str, Any]:
    """Claims as JSON can hold them; what is not claimed is left out."""
    found = {
        "author": claims.author,
        "license": claims.license,
        "caption": claims.caption,
        "dataset": claims.dataset,
    }
    document: dict[str, Any] = {name: value for name, value in found.items() if value is not None}
    if claims.coordinate is not None:
        document |= {"lat": claims.coordinate.lat, "lon": claims.coordinate.lon}
    if claims.captured_at is not None:
        document["captured_at"] = claims.captured_at.isoformat()
    if claims.attributes:
        document["attributes"] = dict(claims.attributes)
    return document


def claims_from_json(document: Mapping[str, Any]) -> Claims:
    """The opposite of `claims_to_json`."""
    moment = document.get("captured_at")
    return Claims(
        coordinate=Coordinate(document["lat"], document["lon"]) if "lat" in document else None,
        captured_at=None if moment is None else datetime.fromisoformat(moment),
        author=document.get("author"),
        license=document.get("license"),
        caption=document.get("caption"),
        dataset=document.get("dataset"),
        attributes=document.get("attributes", {}),
    )


def _draft(source: PhotoSource, purpose: str) -> IntakeDraft:
    claims = json.dumps(claims_to_json(source.claims), ensure_ascii=False, sort_keys=True)
    told = "\x00".join((purpose, claims, _signature(source)))
    digest = hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return IntakeDraft(source.uri, claims, digest)


def _signature(source: PhotoSource) -> str:
    """What changes when a local file does; one that may still change is never the same."""
    try:
        return signature_of_source(source) or f"unsettled {time.time_ns()}"
    except SourceUnreadable:
        return "unreadable"  # from here; the machine that reads it may see more
