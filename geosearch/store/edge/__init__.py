"""The embedded vector store: Qdrant's engine in this process, on one directory.

This package is the only importer of `qdrant_edge`. Directory: `collection.json` (identity, dim, how
many are scanned) beside `shard/`. One process opens a directory at a time; the engine keeps a lock
on its write-ahead log.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack
from uuid import UUID

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray

from geosearch.areas import Circle
from geosearch.errors import StorageFull, StoreError
from geosearch.geo import Coordinate
from geosearch.store import building
from geosearch.store.base import (
    Effort,
    Hit,
    Match,
    PointPayload,
    SearchMode,
    VectorPoint,
    batched,
    check_points,
    check_vector,
    ranked,
)
from geosearch.store.coordinates import CircleCounts
from geosearch.store.edge.filters import edge_filter
from geosearch.store.failures import translated
from geosearch.store.filters import Filter, Within
from geosearch.store.layout import (
    INT8_QUANTILE,
    SCAN_UP_TO,
    STANDARD,
    Quantization,
    VectorLayout,
)
from geosearch.store.manifest import (
    MANIFEST,
    check_manifest,
    os_error,
    remove_abandoned,
    sync_directory,
    write_manifest,
)
from geosearch.store.payload import COORDINATE_FIELDS, INDEXED_FIELDS, from_stored, to_stored

_SHARD = "shard"
_SCHEMAS = {
    "geo": edge.PayloadSchemaType.Geo,
    "datetime": edge.PayloadSchemaType.Datetime,
    "keyword": edge.PayloadSchemaType.Keyword,
}
_PAYLOAD_BYTES = 2048
"""Payload, its indexes and the links of the graph, for one point and with room to spare."""

_RESERVE_BYTES = 128 * 2**20
"""What the engine may take at any time for its log (two files of 32 MiB) and new chunks."""

_READ_AT_ONCE = 500
"""Points whose coordinates are read at once: 1.5 ms, in which the engine holds Python's lock."""

# Left to itself the engine takes ACORN only where it guesses that less than 0.4 of all match.
_ACORN = edge.AcornSearchParams(enable=True, max_selectivity=1.0)
_NO_COPIES = edge.QuantizationSearchParams(ignore=True)
_COLD = edge.Memory.Cold


class EdgeStore:
    """Vectors on one directory, created on first use, with no server.

    Writes survive the end of the process, however it comes; `flush` makes them survive a power cut.
    Searches compare with every point until `optimize` has built the graph, which nothing does by
    itself here.

    Args:
        directory: made if missing; what is in it must be ours.
        dim: length of the vectors.
        identity: the encoder that the vectors come from.
        layout: how vectors are kept, if the directory is made now.

    Raises:
        HomeLocked: another process has the directory open.
        IdentityMismatch: the directory holds the vectors of another encoder.
        StorageFull: there is no room to create or open it.
        StoreError: the directory cannot be read or is not a vector store.
    """

    def __init__(
        self,
        directory: Path,
        *,
        dim: int,
        identity: str,
        layout: VectorLayout = STANDARD,
    ) -> None:
        self.directory = Path(directory)
        self.dim = dim
        self.identity = identity
        self._is_closed = False
        self._rescored = edge.QuantizationSearchParams(
            rescore=True, oversampling=layout.oversampling
        )
        if not (self.directory / MANIFEST).exists():
            _create(self.directory, dim=dim, identity=identity, layout=layout)
        scans_up_to = check_manifest(self.directory, dim=dim, identity=identity)
        self._scans = scans_up_to >= SCAN_UP_TO
        self._require_room("open", 0)
        with translated("open", self.directory):
            self._shard = edge.EdgeShard.load(str(self.directory / _SHARD))
        self._circles = CircleCounts(self._coordinates_from, self._coordinates)

    def upsert(self, points: Sequence[VectorPoint]) -> None:
        """Write points, replacing those with the same id; rejected as a whole if one is bad."""
        check_points(points, self.dim)
        if not points:
            return
        self._require_room("write to", 2 * len(points) * self._point_bytes)  # log and segment
        operation = edge.UpdateOperation.upsert_points(
            [
                edge.Point(point.id, point.vector.tolist(), to_stored(point.payload))
                for point in points
            ]
        )
        with self._circles.changing({point.id: point.payload.coordinate for point in points}):
            self._update(operation)

    def query(
        self,
        vector: NDArray[np.float32],
        where: Filter | None = None,
        limit: int = 10,
        **how: Unpack[Effort],
    ) -> list[Hit]:
        """Nearest points to `vector` (dim,) float32 by cosine, best first, ties by id."""
        found = self._found(vector, where, limit, with_payload=True, **how)
        return ranked(Hit(_uuid(one.id), one.score, from_stored(one.payload)) for one in found)

    def rank(
        self,
        vector: NDArray[np.float32],
        where: Filter | None = None,
        limit: int = 10,
        **how: Unpack[Effort],
    ) -> list[Match]:
        """As `query`, without the payloads."""
        found = self._found(vector, where, limit, with_payload=False, **how)
        return ranked(Match(_uuid(one.id), one.score) for one in found)

    def count(self, where: Filter | None = None) -> int:
        """How many points a filter matches, exactly."""
        if isinstance(where, Within) and isinstance(where.area, Circle):
            inside = self._circles.count(where.area)
            if inside is not None:
                return inside
        with translated("count", self.directory):
            if where is None:
                # Kept by the engine; counting without a filter would step through every point.
                return self._shard.info().points_count
            return self._shard.count(edge.CountRequest(exact=True, filter=edge_filter(where)))

    @property
    def counts_in_memory(self) -> bool:
        """Whether circles are counted without the engine by now."""
        return self._circles.is_whole

    def delete(self, ids: Collection[UUID]) -> None:
        """Remove points; unknown ids are ignored."""
        if ids:
            with self._circles.changing(dict.fromkeys(ids)):
                self._update(edge.UpdateOperation.delete_points([*ids]))

    def set_payload(self, payloads: dict[UUID, PointPayload]) -> None:
        """Replace the payload of points without touching their vectors; unknown ids are ignored."""
        self._require_room("write to", 2 * len(payloads) * _PAYLOAD_BYTES)
        # The engine refuses an operation on a point that it does not hold.
        held = {point_id: payloads[point_id] for point_id in self.existing(payloads)}
        with self._circles.changing({one: payload.coordinate for one, payload in held.items()}):
            for point_id, payload in held.items():
                self._update(edge.UpdateOperation.overwrite_payload([point_id], to_stored(payload)))

    def existing(self, ids: Collection[UUID]) -> set[UUID]:
        """Those of `ids` that the store holds."""
        return {_uuid(record.id) for record in self._retrieve(ids)}

    def vectors(self, ids: Collection[UUID]) -> dict[UUID, NDArray[np.float32]]:
        """Stored vectors (dim,) float32, L2-normalised, of those of `ids` that the store holds."""
        return {
            _uuid(record.id): np.asarray(record.vector, dtype=np.float32)
            for record in self._retrieve(ids, with_vector=True)
        }

    def scroll(self, where: Filter | None = None, *, batch: int = 1000) -> Iterator[Hit]:
        """Every matching point once, in order of id, `score` 0."""
        offset: Any = None
        while True:
            request = edge.ScrollRequest(
                offset=offset, limit=batch, filter=edge_filter(where), with_payload=True
            )
            with translated("read", self.directory):
                records, offset = self._shard.scroll(request)
            for record in records:
                yield Hit(_uuid(record.id), 0.0, from_stored(record.payload))
            if offset is None:
                return

    def flush(self) -> None:
        """Return once everything written before survives a power cut."""
        with translated("flush", self.directory):
            self._shard.flush()

    def optimize(self) -> None:
        """Build the graph over what was written since the last time; blocks until it stands."""
        self._require_room("optimize", self.count() * self._point_bytes)  # a copy beside the old
        with translated("optimize", self.directory):
            self._shard.optimize()

    def build_apart(self) -> None:
        """Build the graph in a process of its own, because the engine holds Python's lock here."""
        self._require_room("optimize", self.count() * self._point_bytes)
        with self._circles.changing({}):  # nothing moves, and nothing is read meanwhile
            with translated("close", self.directory):
                self._shard.flush()
                self._shard.close()
            try:
                building.build_apart(self.directory, dim=self.dim, identity=self.identity)
            finally:
                with translated("open", self.directory):
                    self._shard = edge.EdgeShard.load(str(self.directory / _SHARD))

    def take_alias(self) -> None:
        """Nothing to do: one process has the directory, and the catalogue says which is in use."""

    def close(self) -> None:
        """Flush and let go of the directory; harmless when called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        self._circles.close()
        with translated("close", self.directory):
            self._shard.flush()
            self._shard.close()

    def _found(
        self,
        vector: NDArray[np.float32],
        where: Filter | None,
        limit: int,
        *,
        with_payload: bool,
        mode: SearchMode = SearchMode.HNSW,
        ef: int | None = None,
        on_copies: bool = True,
    ) -> list[edge.ScoredPoint]:
        check_vector(vector, self.dim, "query")
        if limit < 1:
            return []
        if mode is SearchMode.SCAN and not self._scans:
            mode = SearchMode.EXACT
        request = edge.QueryRequest(
            limit=limit,
            query=edge.Query.Nearest(vector.tolist()),
            filter=edge_filter(where),
            params=edge.SearchParams(
                hnsw_ef=ef,
                exact=mode is SearchMode.EXACT,
                # Should the engine walk after all where it was to scan, it loses least so.
                acorn=_ACORN if mode in (SearchMode.ACORN, SearchMode.SCAN) else None,
                quantization=self._rescored if on_copies else _NO_COPIES,
            ),
            with_payload=with_payload,
        )
        with translated("search", self.directory):
            return self._shard.query(request)

    @property
    def _point_bytes(self) -> int:
        return 4 * self.dim + _PAYLOAD_BYTES

    def _require_room(self, action: str, n_bytes: int) -> None:
        """Refuse what may not fit: on a full disk the engine's memory maps kill the process."""
        needed = n_bytes + _RESERVE_BYTES
        free = shutil.disk_usage(self.directory).free
        if free < needed:
            raise StorageFull(
                f"cannot {action} {self.directory}: {free >> 20} MiB are free on its disk and "
                f"{(needed >> 20) + 1} MiB are needed; free some"
            )

    def _update(self, operation: edge.UpdateOperation) -> None:
        with translated("write to", self.directory):
            self._shard.update(operation)

    def _retrieve(
        self, ids: Collection[UUID], *, fields: Sequence[str] = (), with_vector: bool = False
    ) -> Iterator[edge.Record]:
        for some in batched(ids):
            with translated("read", self.directory):
                yield from self._shard.retrieve([*some], [*fields] or False, with_vector)

    def _coordinates(self, ids: Collection[UUID]) -> dict[UUID, Coordinate]:
        return _coordinates_of(self._retrieve(ids, fields=COORDINATE_FIELDS))

    def _coordinates_from(self, first: UUID) -> tuple[dict[UUID, Coordinate], UUID | None]:
        """Some points from an id on, in order of id, and the id that follows them."""
        request = edge.ScrollRequest(
            offset=first, limit=_READ_AT_ONCE, with_payload=[*COORDINATE_FIELDS]
        )
        with translated("read", self.directory):
            records, following = self._shard.scroll(request)
        return _coordinates_of(records), None if following is None else _uuid(following)


def _create(directory: Path, *, dim: int, identity: str, layout: VectorLayout) -> None:
    """Make a store beside `directory` and move it there, so that no half of one is ever there."""
    try:
        if directory.exists() and any(directory.iterdir()):
            raise StoreError(
                f"{directory} is not empty and has no {MANIFEST}, so it is no vector store; give "
                "an empty or a new directory"
            )
        directory.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(directory)
        new = Path(tempfile.mkdtemp(prefix=f".{directory.name}.new-", dir=directory.parent))
    except OSError as error:
        raise os_error("create", directory, error) from error
    try:
        with translated("create", directory):
            shard = edge.EdgeShard.create(str(new / _SHARD), _config(dim, layout))
            # Before the first point: links of the graph follow the indexes that exist at that time.
            for name, kind in INDEXED_FIELDS.items():
                shard.update(edge.UpdateOperation.create_field_index(name, _SCHEMAS[kind]))
            shard.flush()
            shard.close()
        write_manifest(new, dim=dim, identity=identity, scans_up_to=layout.scan_up_to)
        new.rename(directory)  # onto nothing or an empty directory; anything else is refused
        sync_directory(directory.parent)
    except OSError as error:
        if not (directory / MANIFEST).exists():
            raise os_error("create", directory, error) from error
        # Another process was quicker; its store is opened, and its lock decides who has it.
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _config(dim: int, layout: VectorLayout) -> edge.EdgeConfig:
    # Left cold, the payload of each hit is a read from disk until it was read once in this process.
    vectors, payloads = (_COLD, _COLD) if layout.on_disk else (None, edge.Memory.Cached)
    return edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(dim, edge.Distance.Cosine, memory=vectors),
        # The threshold is in KiB of vectors, rounded up.
        hnsw_config=edge.HnswIndexConfig(
            m=16, ef_construct=128, full_scan_threshold=-(-layout.scan_up_to * 4 * dim // 1024)
        ),
        quantization_config=_COPIES[layout.quantization](),
        payload_memory=payloads,
    )


_COPIES: dict[Quantization, Callable[[], Any]] = {
    Quantization.INT8: lambda: edge.ScalarQuantizationConfig(
        type=edge.ScalarType.Int8, quantile=INT8_QUANTILE, memory=edge.Memory.Cached
    ),
    Quantization.INT4: lambda: edge.TurboQuantQuantizationConfig(
        bits=edge.TurboQuantBitSize.Bits4, memory=edge.Memory.Cached
    ),
    Quantization.NONE: lambda: None,
}


def _coordinates_of(records: Iterable[edge.Record]) -> dict[UUID, Coordinate]:
    return {_uuid(record.id): from_stored(record.payload).coordinate for record in records}


def _uuid(point_id: object) -> UUID:
    if not isinstance(point_id, UUID):
        raise StoreError(
            f"a point has the id {point_id!r}, not a UUID; it was not written by geosearch"
        )
    return point_id
