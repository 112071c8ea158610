"""Uploaded photos: kept below the home by their content, taken in, each with its outcome."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Generator, Sequence
from pathlib import Path

from geosearch.api.answers import Document, public_words
from geosearch.api.shared import Shared
from geosearch.catalogue.drafts import KnownSource
from geosearch.catalogue.jobs import Job
from geosearch.catalogue.removal import remove_photo
from geosearch.errors import StorageFull, UnreadableImage
from geosearch.formats import open_header
from geosearch.ingest.decisions import Outcome
from geosearch.ingest.sources import Claims, PhotoSource
from geosearch.records import photo_id
from geosearch.services import Services

FOLDER = "uploads"

AT_ONCE = 32
"""Photos of a job that are taken in together; in between others may change the collection."""

GONE = "the photo is no longer on the server"
"""Why a photo of a job has no answer whose file someone removed."""


def take_in(
    shared: Shared, named: Sequence[tuple[str, bytes]], *, dataset: str | None
) -> list[Document]:
    """Take photos in by name and bytes; what became of each, in order.

    A file that cannot be read as a photo is not kept.
    """
    services = shared.geosearch.services
    results: list[Document] = []
    waiting: dict[str, Document] = {}
    sources = []
    for name, data in named:
        sha256 = hashlib.sha256(data).hexdigest()
        result: Document = {"name": name, "id": str(photo_id(sha256)), "reason": None}
        results.append(result)
        try:
            open_header(data, max_pixels=services.settings.max_pixels).close()
        except UnreadableImage as error:
            result |= {"id": None, "outcome": str(Outcome.FAIL), "reason": str(error)}
            continue
        if _is_known(services, sha256) or any(r["id"] == result["id"] for r in waiting.values()):
            result["outcome"] = str(Outcome.DUPLICATE)
            continue
        path = folder_of(services, sha256) / name
        _write(path, data)
        waiting[str(path)] = result
        sources.append(PhotoSource(str(path), path, Claims(dataset=dataset)))
    if sources:
        _ingest(services, sources, waiting)
        shared.upkeep.wrote(len(sources))
    return results


def take_in_job(shared: Shared, job: Job, files: Sequence[Path]) -> Generator[Sequence[Document]]:
    """Take in the photos of a job that are left, some at a time."""
    names = job.names[len(job.names) - len(files) :]
    dataset = job.options.get("dataset")
    for start in range(0, len(files), AT_ONCE):
        results: list[Document] = []
        there: list[tuple[str, bytes]] = []
        for name, file in zip(
            names[start : start + AT_ONCE], files[start : start + AT_ONCE], strict=True
        ):
            try:
                there.append((name, file.read_bytes()))
                results.append({})
            except OSError:
                results.append(
                    {"name": name, "id": None, "outcome": str(Outcome.FAIL), "reason": GONE}
                )
        with shared.changing.patient_turn():
            taken = iter(take_in(shared, there, dataset=dataset))
        yield [result or next(taken) for result in results]


def folder_of(services: Services, sha256: str) -> Path:
    """Where an uploaded photo lies, in a folder of its own."""
    return services.settings.home / FOLDER / sha256[:2] / sha256


def _ingest(
    services: Services, sources: Sequence[PhotoSource], waiting: dict[str, Document]
) -> None:
    with services.taking_in() as pipeline:
        report = pipeline.run(sources, inputs={"uploads": len(sources)})
    reasons = {error.path: error.reason for error in report.errors}
    known = services.catalogue.known_sources(
        list(waiting), encoder=services.index.identity, run_id=0
    )
    for uri, result in waiting.items():
        source = known.get(uri)
        if uri in reasons:
            result |= {
                "id": None, "outcome": str(Outcome.FAIL), "reason": public_words(reasons[uri]),
            }  # fmt: skip
            _drop(services, uri, source)
        elif source is None or source.photo is None or source.photo.draft.label is None:
            result["outcome"] = str(Outcome.UNLABELLED)
        else:
            result["outcome"] = str(Outcome.ENCODE)


def _drop(services: Services, uri: str, source: KnownSource | None) -> None:
    """Keep nothing of an upload that cannot be taken in: whoever sent it has it, and knows why."""
    if source is not None and source.photo is not None and source.photo.draft.uri == uri:
        remove_photo(services.engine, source.photo.draft.id)
    shutil.rmtree(Path(uri).parent, ignore_errors=True)


def _is_known(services: Services, sha256: str) -> bool:
    """Whether these bytes are in the collection already and nothing is wrong with them."""
    known = services.catalogue.known_photos(
        [photo_id(sha256)], encoder=services.index.identity, run_id=0
    )
    return any(photo.draft.error is None and photo.is_embedded for photo in known.values()) or any(
        photo.draft.state == "unlabelled" for photo in known.values()
    )


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
