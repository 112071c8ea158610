"""What the embedded engine raises, as errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geosearch.errors import HomeLocked, StorageFull, StoreError


@contextmanager
def translated(action: str, directory: Path) -> Iterator[None]:
    """Turn what the engine raises into errors of ours.

    Raises:
        HomeLocked: the directory is open elsewhere.
        StorageFull: the disk is full.
        StoreError: anything else.
    """
    try:
        yield
    except Exception as error:  # the engine raises bare Exception, told apart by text only
        text = str(error)
        if "WouldBlock" in text:
            raise HomeLocked(
                f"{directory} is in use by another process; stop that one, or set a Qdrant URL to "
                "share one store"
            ) from error
        if "No space left" in text or "os error 28" in text:
            raise StorageFull(
                f"cannot {action} {directory}: the disk is full; free some"
            ) from error
        raise StoreError(f"cannot {action} the vector store {directory}: {text}") from error
