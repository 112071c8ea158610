"""Uploaded photos: kept below the home by their content, taken in, each with its outcome."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Generator, Sequence
from pathlib import Path

from geosearch.api.answers import Document, public_words
from geosearch.api.labels import SIDECAR, Row, claims_of_row
from geosearch.api.shared import Shared
from geosearch.catalogue.drafts import PhotoDraft
from geosearch.catalogue.jobs import Job
from geosearch.catalogue.removal import remove_photo
from geosearch.client.removal import folder_of
from geosearch.errors import StorageFull, UnreadableImage
from geosearch.formats import open_header
from geosearch.ingest.decisions import Outcome
from geosearch.ingest.parts import NoObserver, Settled
from geosearch.ingest.reader import PhotoReader
from geosearch.ingest.sources import Claims, PhotoSource, SourceUnreadable, path_of
from geosearch.records import PhotoState, photo_id
from geosearch.services import Services

AT_ONCE = 32
"""Photos of a job that are taken in together; in between others may change the collection."""

GONE = "the photo is no longer on the server"
"""Why a photo of a job has no answer whose file someone removed."""


def take_in(
    shared: Shared,
    named: Sequence[tuple[str, bytes]],
    rows: Sequence[Row],
    *,
    dataset: str | None,
) -> list[Document]:
    """Take photos in by name and bytes; what became of each, in order.

    A file that cannot be read as a photo is not kept. One that is known already is looked at again
    only if something is said of it.

    Args:
        shared: the application's.
        named: names that are safe, and what the files hold.
        rows: what is said of each.
        dataset: of those whose row names none.
    """
    services = shared.geosearch.services
    results: list[Document] = []
    waiting: dict[str, Document] = {}
    sources: list[PhotoSource] = []
    written: set[str] = set()
    for (name, data), row in zip(named, rows, strict=True):
        sha256 = hashlib.sha256(data).hexdigest()
        result: Document = {"name": name, "id": str(photo_id(sha256)), "reason": None}
        results.append(result)
        try:
            open_header(data, max_pixels=services.settings.max_pixels).close()
        except UnreadableImage as error:
            result |= {"id": None, "outcome": str(Outcome.FAIL), "reason": str(error)}
            continue
        known, claims = _known(services, sha256), claims_of_row(row, dataset)
        is_news = claims != Claims() or SIDECAR in row
        if any(r["id"] == result["id"] for r in waiting.values()) or (
            known is not None and not is_news
        ):
            result["outcome"] = str(Outcome.DUPLICATE)
            continue
        path = folder_of(services, sha256) / name
        uri = str(path)
        if known is None or SIDECAR in row or not _is_there(services, known):
            _write(path, data)
            if known is None:
                written.add(uri)
            if SIDECAR in row:
                _write(path.with_name(f"{path.name}.xmp"), row[SIDECAR].encode())
        else:
            uri = known.uri
        waiting[uri] = result
        sources.append(PhotoSource(uri, path_of(uri), claims))
    if sources:
        _ingest(services, sources, waiting, written)
        shared.upkeep.wrote(len(sources))
    return results


def take_in_job(shared: Shared, job: Job, files: Sequence[Path]) -> Generator[Sequence[Document]]:
    """Take in the photos of a job that are left, some at a time."""
    done = len(job.names) - len(files)
    rows = job.options.get("labels") or [{} for _ in job.names]
    dataset = job.options.get("dataset")
    for start in range(done, len(job.names), AT_ONCE):
        results: list[Document] = []
        there: list[tuple[str, bytes]] = []
        said: list[Row] = []
        for number in range(start, min(start + AT_ONCE, len(job.names))):
            name = job.names[number]
            try:
                there.append((name, files[number - done].read_bytes()))
                said.append(rows[number])
                results.append({})
            except OSError:
                results.append(
                    {"name": name, "id": None, "outcome": str(Outcome.FAIL), "reason": GONE}
                )
        with shared.changing.patient_turn():
            taken = iter(take_in(shared, there, said, dataset=dataset))
        yield [result or next(taken) for result in results]


def _ingest(
    services: Services,
    sources: Sequence[PhotoSource],
    waiting: dict[str, Document],
    written: set[str],
) -> None:
    outcomes = _Outcomes()
    with services.taking_in() as pipeline:
        pipeline.run(sources, inputs={"uploads": len(sources)}, observer=outcomes)
    for uri, result in waiting.items():
        settled = outcomes.by_uri[uri]
        result["outcome"] = str(settled.outcome)
        if settled.outcome is Outcome.FAIL:
            result |= {"id": None, "reason": public_words(settled.reason or "failed before")}
            if uri in written:
                _drop(services, uri)


def _drop(services: Services, uri: str) -> None:
    """Keep nothing of an upload that cannot be taken in: whoever sent it has it, and knows why."""
    source = services.catalogue.known_sources([uri], encoder=services.index.identity, run_id=0).get(
        uri
    )
    if source is not None and source.photo is not None and source.photo.draft.uri == uri:
        remove_photo(services.engine, source.photo.draft.id)
    shutil.rmtree(Path(uri).parent, ignore_errors=True)


class _Outcomes(NoObserver):
    """Remembers what became of each source."""

    def __init__(self) -> None:
        self.by_uri: dict[str, Settled] = {}

    def settled(self, sources: Sequence[Settled]) -> None:
        """Remember these; called from several threads."""
        self.by_uri |= {one.uri: one for one in sources}


def _known(services: Services, sha256: str) -> PhotoDraft | None:
    """The photo with these bytes, if it is in the collection and nothing is wrong with it."""
    identity = photo_id(sha256)
    known = services.catalogue.known_photos(
        [identity], encoder=services.index.identity, run_id=0
    ).get(identity)
    if known is None or known.draft.error is not None:
        return None
    is_whole = known.is_embedded or known.draft.state is PhotoState.UNLABELLED
    return known.draft if is_whole else None


def _is_there(services: Services, photo: PhotoDraft) -> bool:
    """Whether the file that is on record still holds the photo."""
    with PhotoReader(services.read_limits) as reader:
        try:
            content = reader.read(PhotoSource(photo.uri, path_of(photo.uri)))
        except SourceUnreadable:
            return False
    return content.sha256 == photo.sha256


def _write(path: Path, data: bytes) -> None:
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.part")
        draft.write_bytes(data)
        draft.replace(path)
    except OSError as error:
        shutil.rmtree(path.parent, ignore_errors=True)
        raise StorageFull(f"cannot write {path}: {error.strerror or error}") from error
