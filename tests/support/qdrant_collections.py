"""Collections of the test server: Qdrant Edge shards on disk, with names, aliases and settings."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID

import qdrant_edge as edge
from pydantic import BaseModel
from qdrant_client.http import models

# The one translation from REST filters to the engine that there is.
from geosearch.store.edge.filters import edge_clause

_KINDS = {
    "geo": edge.PayloadSchemaType.Geo,
    "datetime": edge.PayloadSchemaType.Datetime,
    "keyword": edge.PayloadSchemaType.Keyword,
    "integer": edge.PayloadSchemaType.Integer,
    "float": edge.PayloadSchemaType.Float,
}
_DISTANCES = {"Cosine": edge.Distance.Cosine, "Dot": edge.Distance.Dot}

WAL_BYTES = 32 * 2**20
"""A file of the engine's log (Qdrant's `wal_capacity_mb`)."""


class Refused(Exception):
    """What a client is told, with its HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Collections:
    """All collections below one directory; calls come from many threads and go one by one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.lock = threading.RLock()
        self._aliases_file = directory / "aliases.json"
        self.aliases: dict[str, str] = {}
        if self._aliases_file.exists():
            self.aliases = json.loads(self._aliases_file.read_text())
        self._collections = {
            unquote(path.name): Collection(path)
            for path in directory.iterdir()
            if (path / "config.json").exists()
        }

    def names(self) -> list[str]:
        return sorted(self._collections)

    def get(self, name: str) -> Collection:
        found = self._collections.get(self.aliases.get(name, name))
        if found is None:
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
        return found

    def has(self, name: str) -> bool:
        return self.aliases.get(name, name) in self._collections

    def create(self, name: str, config: models.CreateCollection) -> None:
        if self.has(name):
            raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
        path = self._directory / quote(name, safe="")
        shutil.rmtree(path, ignore_errors=True)
        self._collections[name] = Collection.create(path, config)

    def delete(self, name: str) -> bool:
        name = self.aliases.get(name, name)
        found = self._collections.pop(name, None)
        if found is None:
            return False
        found.drop()
        self._set_aliases({a: of for a, of in self.aliases.items() if of != name})
        return True

    def change_aliases(self, actions: Iterable[Any]) -> None:
        """All of the changes, or none."""
        aliases = dict(self.aliases)
        for action in actions:
            if isinstance(action, models.CreateAliasOperation):
                created = action.create_alias
                if created.collection_name not in self._collections:
                    raise Refused(404, f"Collection `{created.collection_name}` doesn't exist!")
                if created.alias_name in self._collections:
                    raise Refused(409, f"Collection `{created.alias_name}` already exists!")
                aliases[created.alias_name] = created.collection_name
            elif isinstance(action, models.DeleteAliasOperation):
                aliases.pop(action.delete_alias.alias_name, None)
            else:
                renamed = action.rename_alias
                if renamed.old_alias_name not in aliases:
                    raise Refused(404, f"Alias {renamed.old_alias_name} does not exists!")
                aliases[renamed.new_alias_name] = aliases.pop(renamed.old_alias_name)
        self._set_aliases(aliases)

    def _set_aliases(self, aliases: dict[str, str]) -> None:
        draft = self._aliases_file.with_suffix(".tmp")
        draft.write_text(json.dumps(aliases))
        draft.replace(self._aliases_file)
        self.aliases = aliases


class Collection:
    """One shard and what it was created with."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.config = models.CreateCollection.model_validate_json(
            (path / "config.json").read_text()
        )
        self._shard = edge.EdgeShard.load(str(path / "shard"))
        self._operations = 0

    @classmethod
    def create(cls, path: Path, config: models.CreateCollection) -> Collection:
        vectors = config.vectors
        if not isinstance(vectors, models.VectorParams):
            raise Refused(400, "the test server knows collections with one unnamed vector only")
        shard = edge.EdgeShard.create(
            _made(path / "shard"),
            edge.EdgeConfig(
                vectors=edge.EdgeVectorParams(
                    size=vectors.size, distance=_DISTANCES[vectors.distance.value]
                )
            ),
        )
        shard.flush()
        shard.close()
        # Last: a directory without it is no collection.
        (path / "config.json").write_text(config.model_dump_json(exclude_none=True))
        return cls(path)

    def drop(self) -> None:
        self._shard.close()
        shutil.rmtree(self._path)

    def info(self) -> dict[str, Any]:
        info = self._shard.info()
        config = self.config
        return {
            "status": "green",
            "optimizer_status": "ok",
            "points_count": info.points_count,
            "indexed_vectors_count": info.indexed_vectors_count,
            "segments_count": info.segments_count,
            "config": {
                "params": {"vectors": _plain(config.vectors)},
                "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
                "optimizer_config": {"default_segment_number": 0, "flush_interval_sec": 5},
                "quantization_config": _plain(config.quantization_config),
                "strict_mode_config": _plain(config.strict_mode_config),
                "metadata": config.metadata,
            },
            "payload_schema": {
                name: {
                    "data_type": next(k for k, kind in _KINDS.items() if kind == field.data_type),
                    "points": field.points,
                }
                for name, field in info.payload_schema.items()
            },
        }

    def create_index(self, request: models.CreateFieldIndex) -> None:
        kind = request.field_schema
        if not isinstance(kind, models.PayloadSchemaType):
            raise Refused(400, "the test server knows indexes by the name of their type only")
        self._update(
            edge.UpdateOperation.create_field_index(request.field_name, _KINDS[kind.value])
        )

    def upsert(self, points: Iterable[models.PointStruct]) -> None:
        self._update(
            edge.UpdateOperation.upsert_points(
                [edge.Point(_id(p.id), p.vector, p.payload or {}) for p in points]
            )
        )

    def delete(self, ids: Iterable[Any]) -> None:
        self._update(edge.UpdateOperation.delete_points([_id(i) for i in ids]))

    def set_payload(self, request: models.SetPayload, *, overwrite: bool) -> None:
        change = (
            edge.UpdateOperation.overwrite_payload
            if overwrite
            else edge.UpdateOperation.set_payload
        )
        self._update(change([_id(i) for i in request.points or ()], request.payload))

    def query(self, request: models.QueryRequest) -> list[dict[str, Any]]:
        query = request.query
        vector = query.nearest if isinstance(query, models.NearestQuery) else query
        if not isinstance(vector, list):
            raise Refused(400, "the test server answers queries by one vector only")
        params = request.params or models.SearchParams()
        found = self._shard.query(
            edge.QueryRequest(
                limit=request.limit or 10,
                offset=request.offset or 0,
                query=edge.Query.Nearest(vector),
                filter=self._filter(request.filter),
                params=edge.SearchParams(
                    hnsw_ef=params.hnsw_ef,
                    exact=bool(params.exact),
                    acorn=None
                    if params.acorn is None
                    else edge.AcornSearchParams(
                        enable=bool(params.acorn.enable),
                        max_selectivity=params.acorn.max_selectivity,
                    ),
                ),
                score_threshold=request.score_threshold,
                with_payload=bool(request.with_payload),
                with_vector=bool(request.with_vector),
            )
        )
        return [_record(p) | {"score": p.score, "version": p.version} for p in found]

    def count(self, request: models.CountRequest) -> int:
        return self._shard.count(
            edge.CountRequest(exact=request.exact is not False, filter=self._filter(request.filter))
        )

    def scroll(self, request: models.ScrollRequest) -> tuple[list[dict[str, Any]], str | None]:
        records, offset = self._shard.scroll(
            edge.ScrollRequest(
                offset=None if request.offset is None else _id(request.offset),
                limit=request.limit or 10,
                filter=self._filter(request.filter),
                with_payload=request.with_payload is not False,
                with_vector=bool(request.with_vector),
            )
        )
        return [_record(r) for r in records], None if offset is None else _text(offset)

    def retrieve(self, request: models.PointRequest) -> list[dict[str, Any]]:
        found = self._shard.retrieve(
            [_id(i) for i in request.ids],
            request.with_payload is not False,
            bool(request.with_vector),
        )
        return [_record(r) for r in found]

    def completed(self) -> dict[str, Any]:
        """What the server answers to a change that is done."""
        return {"operation_id": self._operations, "status": "completed"}

    def _update(self, operation: edge.UpdateOperation) -> None:
        # As the real server does: on a full disk the engine's memory maps would end the process.
        if shutil.disk_usage(self._path).free < 2 * WAL_BYTES:
            raise Refused(
                500,
                "Service internal error: No space left on device: WAL buffer size exceeds "
                "available disk space",
            )
        self._operations += 1
        self._shard.update(operation)

    def _filter(self, where: models.Filter | None) -> edge.Filter | None:
        if where is None:
            return None
        clause = where.model_dump(mode="json", exclude_none=True)
        strict = self.config.strict_mode_config
        if strict is not None and strict.enabled and strict.unindexed_filtering_retrieve is False:
            unindexed = _keys(clause) - set(self._shard.info().payload_schema)
            if unindexed:
                raise Refused(400, f"Bad request: Index required but not found for {unindexed}")
        return edge_clause(clause)


def _keys(clause: dict[str, Any]) -> set[str]:
    if "key" in clause:
        return {clause["key"]}
    return {k for parts in clause.values() for part in parts for k in _keys(part)}


def _made(path: Path) -> str:
    path.mkdir(parents=True)
    return str(path)


def _record(record: edge.Record | edge.ScoredPoint) -> dict[str, Any]:
    return {"id": _text(record.id), "payload": record.payload, "vector": record.vector}


def _id(point_id: Any) -> Any:
    return point_id if isinstance(point_id, int) else UUID(str(point_id))


def _text(point_id: Any) -> Any:
    return point_id if isinstance(point_id, int) else str(point_id)


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
