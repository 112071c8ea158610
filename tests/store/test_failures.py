"""What the embedded engine raises, told apart by its text."""

from __future__ import annotations

from pathlib import Path

import pytest

from geosearch.errors import HomeLocked, StorageFull, StoreError
from geosearch.store.failures import translated


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("IO Error: No space left on device (os error 28)", StorageFull, "disk is full"),
        ("Resource temporarily unavailable: WouldBlock", HomeLocked, "another process"),
        ("segment is broken", StoreError, "cannot write the vector store .*: segment is broken"),
    ],
)
def test_what_the_engine_says_becomes_an_error_that_says_what_to_do(
    tmp_path: Path, text: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says), translated("write", tmp_path):
        raise Exception(text)
