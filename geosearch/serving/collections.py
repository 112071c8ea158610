"""Opening, listing and dropping collections of vectors, on the engine that settings name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from geosearch.errors import StoreError
from geosearch.settings import Settings
from geosearch.store.base import VectorStore
from geosearch.store.folding import BLOCKS, FoldedStore, folds
from geosearch.store.inventory import StoredCollection, drop_local_collection, local_collections
from geosearch.store.layout import Quantization, VectorLayout


class Collections:
    """The collections of one engine: Qdrant Edge in the home, or a server by URL.

    Args:
        settings: which engine, and how new collections keep their vectors.
        root: gives the directory of Qdrant Edge, asked for only when that is the engine.
    """

    def __init__(self, settings: Settings, root: Callable[[], Path]) -> None:
        self._settings, self._root = settings, root

    def all(self) -> list[StoredCollection]:
        """Every collection of ours, whichever encoder it belongs to."""
        if self._settings.qdrant_url is None:
            return local_collections(self._root())
        from geosearch.store.server.connection import connect, server_collections

        client = connect(self._settings.qdrant_url, api_key=self._key)
        try:
            return server_collections(client)
        finally:
            client.close()

    def open(self, collection: StoredCollection) -> VectorStore:
        """The vectors of a collection as they are kept, made if there is none.

        Raises:
            StoreError: the collection does not say whose it is.
        """
        if collection.identity is None or collection.dim is None:
            raise StoreError(f"{collection.name} does not say which encoder it belongs to")
        return self._opened(collection.name, collection.dim, collection.identity)

    def open_for(self, name: str, dim: int, identity: str, *, may_fold: bool) -> VectorStore:
        """The vectors of an encoder, in full length whether they are kept so or folded.

        Args:
            name: of the collection; made if there is none.
            dim: the length of the encoder's vectors.
            identity: of that encoder.
            may_fold: whether it gives nothing but vectors of three alike blocks.

        Raises:
            IdentityMismatch: the collection is of another encoder.
        """
        stored_dim = next((one.dim for one in self.all() if one.name == name), None)
        if folds(stored_dim, dim, may_fold=may_fold):
            return FoldedStore(self._opened(name, dim // BLOCKS, identity))
        return self._opened(name, dim, identity)

    def drop(self, name: str) -> None:
        """Delete the vectors of an index that nobody uses; none by that name is fine.

        Raises:
            StoreError: the engine refused.
        """
        if self._settings.qdrant_url is None:
            drop_local_collection(self._root(), name)
            return
        from geosearch.store.server.connection import connect, drop_server_collection

        client = connect(self._settings.qdrant_url, api_key=self._key)
        try:
            drop_server_collection(client, name)
        finally:
            client.close()

    def _opened(self, name: str, dim: int, identity: str) -> VectorStore:
        settings = self._settings
        layout = VectorLayout(Quantization(settings.vector_quantization), settings.vectors_on_disk)
        if settings.qdrant_url is None:
            from geosearch.store.edge import EdgeStore

            return EdgeStore(self._root() / name, dim=dim, identity=identity, layout=layout)
        from geosearch.store.server import ServerStore
        from geosearch.store.server.connection import connect

        client = connect(settings.qdrant_url, api_key=self._key)
        return ServerStore(client, name, dim=dim, identity=identity, layout=layout)

    @property
    def _key(self) -> str | None:
        key = self._settings.qdrant_api_key
        return None if key is None else key.get_secret_value()
