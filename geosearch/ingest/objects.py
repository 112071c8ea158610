"""Photos and archives on S3, by fsspec. The only importer of `fsspec` and `s3fs`.

Keys, region and endpoint come from where the AWS tools have them: `AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL`, `~/.aws`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from geosearch.errors import MissingDependency
from geosearch.ingest.sources import SourceUnreadable, too_large

ATTEMPTS = 3


class ObjectReader:
    """Reads objects of S3 and of what speaks its language; safe to share between threads.

    Args:
        timeout_s: for a connection, and for each wait on one.

    Raises:
        MissingDependency: the extra `s3` is not installed.
    """

    def __init__(self, *, timeout_s: float) -> None:
        try:
            import s3fs
        except ImportError as error:
            raise MissingDependency("s3fs", extra="s3", purpose="reading s3:// URLs") from error
        self._files: Any = s3fs.S3FileSystem(
            skip_instance_cache=True,
            use_listings_cache=False,
            config_kwargs={
                "connect_timeout": timeout_s,
                "read_timeout": timeout_s,
                "retries": {"max_attempts": ATTEMPTS},
            },
        )

    def close(self) -> None:
        """Close the connections."""
        from fsspec.asyn import sync

        client = getattr(self._files, "_s3", None)
        if client is not None:
            sync(self._files.loop, client.close, timeout=10)

    def read(self, uri: str, *, max_bytes: int) -> bytes:
        """A whole object.

        Raises:
            SourceUnreadable: missing, forbidden, too large, or the server did not deliver.
        """
        with _translated():
            # One byte more than is allowed tells one that is larger, whatever its listing says.
            data = self._files.cat_file(uri, start=0, end=max_bytes + 1)
        if len(data) > max_bytes:
            raise SourceUnreadable(too_large(max_bytes))
        return bytes(data)

    def read_range(self, uri: str, offset: int, size_bytes: int) -> bytes:
        """A part of an object.

        Raises:
            SourceUnreadable: as `read`.
        """
        if size_bytes == 0:
            return b""
        with _translated():
            return bytes(self._files.cat_file(uri, start=offset, end=offset + size_bytes))

    def names(self, prefix: str) -> Iterator[str]:
        """The URLs of everything under a prefix that ends in `/`, one level after the other.

        Raises:
            SourceUnreadable: as `read`.
        """
        with _translated():
            is_empty = True
            for folder, _, files in self._files.walk(prefix):
                for name in sorted(files):
                    is_empty = False
                    yield f"s3://{folder.rstrip('/')}/{name}"
            if is_empty:
                raise FileNotFoundError(prefix)

    @contextmanager
    def open(self, uri: str) -> Iterator[BinaryIO]:
        """An object as a file that can be sought in.

        Raises:
            SourceUnreadable: as `read`.
        """
        with _translated(), self._files.open(uri, "rb", cache_type="readahead") as file:
            yield cast(BinaryIO, file)


@contextmanager
def _translated() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except FileNotFoundError as error:
        raise SourceUnreadable("there is no such object") from error
    except PermissionError as error:
        raise SourceUnreadable(
            "reading it is not allowed; the AWS tools' variables say who you are"
        ) from error
    except (OSError, BotoCoreError, ClientError, ValueError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SourceUnreadable(f"S3 did not deliver: {reason}") from error
