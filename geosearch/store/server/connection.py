"""A connection to a Qdrant server: opened, its errors as ours, and which collections are ours."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ApiException

from geosearch.errors import ConfigError, StorageFull, StoreError
from geosearch.store.inventory import PREFIX, StoredCollection


def connect(url: str, *, api_key: str | None = None, timeout_s: float = 30.0) -> QdrantClient:
    """A client of the server at `url`, which has answered.

    Raises:
        ConfigError: the URL is not one, or the key would travel unencrypted to another machine.
        StoreError: no Qdrant answers there, or it refuses the key.
    """
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"{url!r} is not a Qdrant URL; write http://HOST:6333 or https://HOST")
    with translated(f"connect to {url}"), warnings.catch_warnings():
        # A key over http:// within one private network is the operator's decision.
        warnings.filterwarnings("ignore", "Api key is used with an insecure connection")
        client = QdrantClient(
            url=url, api_key=api_key, timeout=round(timeout_s), check_compatibility=False
        )
        client.get_collections()
    return client


def server_collections(client: QdrantClient) -> list[StoredCollection]:
    """The collections of ours on a server, by name.

    Raises:
        StoreError: the server refuses.
    """
    found = []
    with translated("list the collections"):
        names = [described.name for described in client.get_collections().collections]
        for name in (name for name in names if name.startswith(PREFIX)):
            metadata = client.get_collection(name).config.metadata or {}
            found.append(StoredCollection(name, metadata.get("identity"), metadata.get("dim")))
    return sorted(found, key=lambda collection: collection.name)


def drop_server_collection(client: QdrantClient, name: str) -> None:
    """Delete a collection; none by that name is fine.

    Raises:
        StoreError: the server refuses.
    """
    with translated(f"delete collection '{name}'"):
        client.delete_collection(name)


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Turn what the client raises into errors of ours.

    Raises:
        StorageFull: the server's disk is full.
        StoreError: anything else.
    """
    try:
        yield
    except (ApiException, OSError, RuntimeError, ValueError) as error:
        text = str(error).strip()
        if "No space left" in text or "os error 28" in text or "out of disk" in text.lower():
            raise StorageFull(f"cannot {action}: the server's disk is full; free some") from error
        raise StoreError(
            f"cannot {action}: {text}; check that the Qdrant server is running and reachable"
        ) from error
