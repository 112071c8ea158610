"""A copy of everything that was taken in: the record, the vectors, the trained encoders.

Vectors are kept as numbers and not as an engine's files: facts come from the record, so a backup of
embedded engines can be restored on servers and the other way round, and by a later version.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from geosearch import __version__
from geosearch.catalogue import dump
from geosearch.catalogue.session import is_known_revision
from geosearch.errors import BackupError, StorageFull
from geosearch.ingest.reconcile import Reconciler, ReconcileReport, expected_payload
from geosearch.services import Services
from geosearch.store.base import VectorPoint, VectorStore
from geosearch.store.inventory import StoredCollection
from geosearch.store.manifest import sync_directory

FORMAT = 1
MANIFEST = "backup.json"
CATALOGUE = "catalogue.dump"
ENCODERS = "encoders"
PART_POINTS = 5_000
"""Points of one file; one file is in memory at a time."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """What a backup holds."""

    directory: str
    created_at: str
    version: str
    photos: int
    points: dict[str, int]
    size_bytes: int


def back_up(services: Services, directory: Path, *, say: Say = lambda _: None) -> BackupSummary:
    """Write a backup to a directory that does not exist yet, or is empty.

    It appears under its name only when it is whole and on disk. Photos may be taken in meanwhile:
    the record is of one moment, vectors that came later are left out when it is restored.

    Raises:
        BackupError: there is something in `directory` already.
        StorageFull: there is no room.
    """
    directory = directory.absolute()
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise BackupError(f"{directory} is not empty; name a directory that does not exist yet")
    directory.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(directory)
    draft = Path(tempfile.mkdtemp(prefix=f".{directory.name}.new-", dir=directory.parent))
    try:
        say("the catalogue")
        if services.settings.database_url is None:
            services.migrate()
        fingerprint = dump.dump(services.engine, draft / CATALOGUE)
        collections = []
        for collection in services.collections.all():
            if collection.identity is None or collection.dim is None:
                say(f"left out: {collection.name} does not say which encoder it belongs to")
                continue
            say(f"the vectors of {collection.identity}")
            collections.append(_save_collection(services, collection, draft / collection.name))
        _copy_encoders(services.settings.home / ENCODERS, draft / ENCODERS)
        manifest = {
            "format": FORMAT,
            "version": __version__,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "catalogue": fingerprint,
            "collections": collections,
            "files": {name: _describe(draft / name) for name in _files(draft)},
        }
        with (draft / MANIFEST).open("w", encoding="utf-8") as file:
            json.dump(manifest, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        sync_directory(draft)
        draft.rename(directory)  # onto nothing or an empty directory
        sync_directory(directory.parent)
    except OSError as error:
        raise StorageFull(f"cannot write {directory}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return _summary(directory, manifest)


def check(directory: Path) -> dict[str, Any]:
    """The manifest of a backup whose every file is as it was written.

    Raises:
        BackupError: it is none, made by a newer version, or damaged.
    """
    try:
        manifest: dict[str, Any] = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        form, files = int(manifest["format"]), dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupError(
            f"{directory} is no backup, or not a whole one: its {MANIFEST} cannot be read"
        ) from error
    if form > FORMAT or not is_known_revision(str(manifest["catalogue"]["revision"])):
        raise BackupError(
            f"{directory} was made by GeoSearch {manifest.get('version')}, which is newer than "
            f"this one ({__version__}); upgrade geosearch"
        )
    for name, told in files.items():
        path = directory / name
        if not path.is_file() or _describe(path) != told:
            raise BackupError(
                f"{path} is missing or not as it was written; take another copy of the backup"
            )
    return manifest


def restore(
    services: Services, directory: Path, *, say: Say = lambda _: None
) -> tuple[BackupSummary, dict[str, ReconcileReport]]:
    """Fill an empty home, or empty servers, with a backup; killed half way, call it again.

    Returns:
        What was restored, and for each encoder what had to be mended at the end: photos whose
        vectors the backup lacks are pending.

    Raises:
        BackupError: the backup is damaged, or there is something in the catalogue already.
    """
    directory = directory.absolute()
    say("checking every file")
    manifest = check(directory)
    _restore_catalogue(services, directory, manifest, say)
    services.migrate()
    _restore_encoders(directory / ENCODERS, services.settings.home / ENCODERS)
    mended = {}
    for entry in manifest["collections"]:
        say(f"the vectors of {entry['identity']}")
        collection = StoredCollection(entry["name"], entry["identity"], int(entry["dim"]))
        store = services.collections.open(collection)
        try:
            for part in entry["parts"]:
                _load_part(services, store, directory / part, encoder=str(entry["identity"]))
            store.flush()
            store.optimize()
            mended[str(entry["identity"])] = Reconciler(
                services.catalogue, services.audit, store, encoder=str(entry["identity"])
            ).run(mend=True)
        finally:
            store.close()
    return _summary(directory, manifest), mended


def _restore_catalogue(
    services: Services, directory: Path, manifest: dict[str, Any], say: Say
) -> None:
    found = dump.fingerprint(services.engine)
    # A newer version may have migrated the tables before it was killed.
    if found and found | {"revision": ""} == manifest["catalogue"] | {"revision": ""}:
        say("the catalogue is there already")
        return
    if found and (found["photos"], found["sources"]) != ("0", "0"):
        raise BackupError(
            f"the catalogue holds {found['photos']} photos already; restore into an empty home "
            "(GEOSEARCH_HOME) or an empty database (GEOSEARCH_DATABASE_URL)"
        )
    say("the catalogue")
    dump.load(services.engine, directory / CATALOGUE)


def _save_collection(
    services: Services, collection: StoredCollection, folder: Path
) -> dict[str, Any]:
    folder.mkdir()
    store = services.collections.open(collection)
    points = 0
    parts: list[str] = []
    try:
        ids = (hit.id for hit in store.scroll())
        while some := list(islice(ids, PART_POINTS)):
            found = store.vectors(some)
            kept = sorted(found)
            part = folder / f"part-{len(parts):06d}.npz"
            with part.open("wb") as file:
                np.savez(
                    file,
                    ids=np.frombuffer(b"".join(i.bytes for i in kept), np.uint8).reshape(-1, 16),
                    vectors=np.stack([found[i] for i in kept]),
                )
                file.flush()
                os.fsync(file.fileno())
            points += len(kept)
            parts.append(f"{folder.name}/{part.name}")
    finally:
        store.close()
    described = asdict(collection)
    return described | {"points": points, "parts": parts}


def _load_part(services: Services, store: VectorStore, part: Path, *, encoder: str) -> None:
    with np.load(part, allow_pickle=False) as arrays:
        ids = [UUID(bytes=row.tobytes()) for row in arrays["ids"]]
        vectors = arrays["vectors"]
    rows = services.audit.find(ids, encoder=encoder)
    points = [
        VectorPoint(id_, vector, payload)
        for id_, vector in zip(ids, vectors, strict=True)
        if id_ in rows and (payload := expected_payload(rows[id_])) is not None
    ]
    for start in range(0, len(points), 500):
        store.upsert(points[start : start + 500])


def _copy_encoders(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(".*"))


def _restore_encoders(source: Path, target: Path) -> None:
    """Trained encoders and which of them is active; those that are there already stay."""
    for path in sorted(source.rglob("*")) if source.is_dir() else ():
        place = target / path.relative_to(source)
        if path.is_file() and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            draft = place.with_name(f".{place.name}.new")
            shutil.copyfile(path, draft)
            draft.replace(place)


def _files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder))


def _describe(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {
            "size": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }


def _remove_abandoned(directory: Path) -> None:
    """What earlier calls left that were killed while they wrote to the same place."""
    for path in directory.parent.glob(f".{directory.name}.new-*"):
        shutil.rmtree(path, ignore_errors=True)


def _summary(directory: Path, manifest: dict[str, Any]) -> BackupSummary:
    return BackupSummary(
        directory=str(directory),
        created_at=manifest["created_at"],
        version=manifest["version"],
        photos=int(manifest["catalogue"]["photos"]),
        points={entry["identity"]: entry["points"] for entry in manifest["collections"]},
        size_bytes=sum(told["size"] for told in manifest["files"].values()),
    )
