"""The vector store on a Qdrant server or cluster, reached by URL.

This package is the only importer of `qdrant_client`. `ServerStore` also takes a
`QdrantClient(":memory:")`, which has the same meaning without any index: for tests, not for use.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, Unpack
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from geosearch.errors import IdentityMismatch, StoreError
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
from geosearch.store.filters import Filter, to_qdrant
from geosearch.store.layout import INT8_QUANTILE, STANDARD, Quantization, VectorLayout
from geosearch.store.payload import INDEXED_FIELDS, from_stored, to_stored
from geosearch.store.server.connection import translated

_INT8 = models.ScalarQuantizationConfig(
    type=models.ScalarType.INT8, quantile=INT8_QUANTILE, always_ram=True
)
_INT4 = models.TurboQuantQuantizationConfig(bits=models.TurboQuantBitSize.BITS4, always_ram=True)
_COPIES: dict[Quantization, models.QuantizationConfig | None] = {
    Quantization.INT8: models.ScalarQuantization(scalar=_INT8),
    Quantization.INT4: models.TurboQuantization(turbo=_INT4),
    Quantization.NONE: None,
}

_NO_COPIES = models.QuantizationSearchParams(ignore=True)

ALIAS = "geosearch"
"""Name under which other programs find the collection in use.

Ours ask for it by its own name: a vector and what it is compared with must be of one encoder.
"""

_SCHEMAS = {
    "geo": models.PayloadSchemaType.GEO,
    "datetime": models.PayloadSchemaType.DATETIME,
    "keyword": models.PayloadSchemaType.KEYWORD,
}


class ServerStore:
    """Vectors in one collection of a server, created with its indexes on first use.

    The collection's metadata holds the identity. `collection` may be an alias of an existing one.

    Args:
        client: from `connect`; closed by `close`.
        collection: name of the collection.
        dim: length of the vectors.
        identity: the encoder that the vectors come from.
        layout: how vectors are kept, if the collection is made now.

    Raises:
        IdentityMismatch: the collection holds the vectors of another encoder.
        StorageFull: the server has no room.
        StoreError: the server refuses, or the collection is not one of ours.
    """

    def __init__(
        self,
        client: QdrantClient,
        collection: str,
        *,
        dim: int,
        identity: str,
        layout: VectorLayout = STANDARD,
    ) -> None:
        self.collection = collection
        self.dim = dim
        self.identity = identity
        self._client = client
        self._layout = layout
        self._rescored = models.QuantizationSearchParams(
            rescore=True, oversampling=layout.oversampling
        )
        self._is_closed = False
        # In memory there is neither index nor graph; the client warns when one is spoken of.
        self._has_indexes = client.init_options.get("location") != ":memory:"
        info = self._info()
        if info is None:
            self._create()
            info = self._info()
        if info is None:
            raise StoreError(f"collection '{collection}' was made and is gone; try again")
        self._check_identity(info)
        self._create_indexes(info)

    def upsert(self, points: Sequence[VectorPoint]) -> None:
        """Write points, replacing those with the same id; rejected as a whole if one is bad."""
        check_points(points, self.dim)
        if not points:
            return
        with self._request("write to"):
            self._client.upsert(
                self.collection,
                points=[
                    models.PointStruct(
                        id=str(point.id),
                        vector=point.vector.tolist(),
                        payload=to_stored(point.payload),
                    )
                    for point in points
                ],
                wait=True,
            )

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
    ) -> list[models.ScoredPoint]:
        check_vector(vector, self.dim, "query")
        if limit < 1:
            return []
        # By itself the engine takes ACORN only where it guesses that less than 0.4 of all match.
        acorn = models.AcornSearchParams(enable=mode is SearchMode.ACORN, max_selectivity=1.0)
        params = models.SearchParams(
            hnsw_ef=ef,
            # A server makes its segments as it likes; that it would scan them is not sure.
            exact=mode in (SearchMode.EXACT, SearchMode.SCAN),
            acorn=acorn,
            quantization=self._rescored if on_copies else _NO_COPIES,
        )
        with self._request("search"):
            return self._client.query_points(
                self.collection,
                query=vector.tolist(),
                query_filter=_filter(where),
                search_params=params if self._has_indexes else None,
                limit=limit,
                with_payload=with_payload,
            ).points

    def count(self, where: Filter | None = None) -> int:
        """How many points a filter matches, exactly."""
        with self._request("count"):
            return self._client.count(
                self.collection, count_filter=_filter(where), exact=True
            ).count

    def delete(self, ids: Collection[UUID]) -> None:
        """Remove points; unknown ids are ignored."""
        for some in batched(ids):
            with self._request("write to"):
                self._client.delete(
                    self.collection, [str(point_id) for point_id in some], wait=True
                )

    def set_payload(self, payloads: dict[UUID, PointPayload]) -> None:
        """Replace the payload of points without touching their vectors; unknown ids are ignored."""
        # One request for many; a server answers an unknown id with an error, so those are left out.
        for some in batched(sorted(self.existing(payloads))):
            operations = [
                models.OverwritePayloadOperation(
                    overwrite_payload=models.SetPayload(
                        payload=to_stored(payloads[point_id]), points=[str(point_id)]
                    )
                )
                for point_id in some
            ]
            with self._request("write to"):
                self._client.batch_update_points(self.collection, operations, wait=True)

    def existing(self, ids: Collection[UUID]) -> set[UUID]:
        """Those of `ids` that the store holds."""
        return {_uuid(record.id) for record in self._retrieve(ids, with_vectors=False)}

    def vectors(self, ids: Collection[UUID]) -> dict[UUID, NDArray[np.float32]]:
        """Stored vectors (dim,) float32, L2-normalised, of those of `ids` that the store holds."""
        return {
            _uuid(record.id): np.asarray(record.vector, dtype=np.float32)
            for record in self._retrieve(ids, with_vectors=True)
        }

    def scroll(self, where: Filter | None = None, *, batch: int = 1000) -> Iterator[Hit]:
        """Every matching point once, in order of id, `score` 0."""
        offset: Any = None
        while True:
            with self._request("read"):
                records, offset = self._client.scroll(
                    self.collection,
                    scroll_filter=_filter(where),
                    limit=batch,
                    offset=offset,
                    with_payload=True,
                )
            for record in records:
                yield Hit(_uuid(record.id), 0.0, from_stored(record.payload))
            if offset is None:
                return

    def flush(self) -> None:
        """Nothing to do: every write has waited for the server, whose log is on its disk."""

    def optimize(self) -> None:
        """Nothing to do: a server builds its graph in the background."""

    def build_apart(self) -> None:
        """Nothing to do: a server builds its graph in the background."""

    def take_alias(self) -> None:
        """Have the alias point here, in one call with its leaving the collection before."""
        delete = models.DeleteAlias(alias_name=ALIAS)
        create = models.CreateAlias(collection_name=self.collection, alias_name=ALIAS)
        with self._request("point the alias to"):
            self._client.update_collection_aliases(
                [
                    models.DeleteAliasOperation(delete_alias=delete),
                    models.CreateAliasOperation(create_alias=create),
                ]
            )

    def close(self) -> None:
        """Let go of the connection; harmless when called twice."""
        if not self._is_closed:
            self._is_closed = True
            self._client.close()

    def _info(self) -> models.CollectionInfo | None:
        """What the server says of the collection, None if there is no such one."""
        with self._request("open"):
            try:
                return self._client.get_collection(self.collection)
            except UnexpectedResponse as error:
                if error.status_code == 404:
                    return None
                raise
            except ValueError as error:  # how the client in memory says it
                if "not found" in str(error):
                    return None
                raise

    def _create(self) -> None:
        with self._request("create"):
            try:
                self._client.create_collection(
                    self.collection,
                    vectors_config=models.VectorParams(
                        size=self.dim,
                        distance=models.Distance.COSINE,
                        on_disk=self._layout.on_disk or None,
                    ),
                    quantization_config=_COPIES[self._layout.quantization],
                    # A filter on a field without an index would read every payload.
                    strict_mode_config=models.StrictModeConfig(
                        enabled=True, unindexed_filtering_retrieve=False
                    ),
                    metadata={"identity": self.identity, "dim": self.dim},
                )
            except UnexpectedResponse as error:
                if error.status_code != 409:  # another process was quicker; its one is checked next
                    raise

    def _create_indexes(self, info: models.CollectionInfo) -> None:
        """Make what is missing; a process may have died between the collection and its indexes."""
        for name, kind in INDEXED_FIELDS.items():
            if self._has_indexes and name not in info.payload_schema:
                with self._request("index"):
                    self._client.create_payload_index(
                        self.collection, name, field_schema=_SCHEMAS[kind], wait=True
                    )

    def _check_identity(self, info: models.CollectionInfo) -> None:
        metadata = info.config.metadata or {}
        if "identity" not in metadata:
            raise StoreError(
                f"collection '{self.collection}' was not made by geosearch, or by a Qdrant older "
                "than 1.16, which keeps no metadata; choose another name or a newer server"
            )
        found, found_dim = metadata["identity"], metadata.get("dim")
        if (found, found_dim) != (self.identity, self.dim):
            raise IdentityMismatch(
                f"collection '{self.collection}' holds vectors of '{found}' ({found_dim} numbers "
                f"each), not of '{self.identity}' ({self.dim}); choose that encoder, or run "
                "geosearch reindex for this one"
            )

    def _retrieve(self, ids: Collection[UUID], *, with_vectors: bool) -> Iterator[models.Record]:
        for some in batched(ids):
            with self._request("read"):
                yield from self._client.retrieve(
                    self.collection,
                    [str(point_id) for point_id in some],
                    with_payload=False,
                    with_vectors=with_vectors,
                )

    def _request(self, action: str) -> AbstractContextManager[None]:
        return translated(f"{action} collection '{self.collection}'")


@lru_cache(maxsize=32)  # a search counts first and asks up to three times; a polygon takes 2 ms
def _filter(where: Filter | None) -> models.Filter | None:
    return None if where is None else models.Filter.model_validate(to_qdrant(where))


def _uuid(point_id: int | str | UUID) -> UUID:
    """A point's id; those of ours are UUIDs and come back as text."""
    try:
        return UUID(str(point_id))
    except ValueError:
        raise StoreError(
            f"a point has the id {point_id!r}, not a UUID; it was not written by geosearch"
        ) from None
