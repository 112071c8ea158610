"""The bytes of sources, wherever they are: files, URLs, S3, members of archives.

Safe to call from many threads; nothing is opened before it is asked for.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from geosearch.addresses import AllowedAddresses
from geosearch.closing import Closing
from geosearch.errors import UnreadableImage
from geosearch.ingest.archives import Archive, Member
from geosearch.ingest.sources import (
    Content,
    PhotoSource,
    SourceUnreadable,
    path_of,
    plain,
    sidecar_of,
    signature_of_source,
    split_member,
    too_large,
)
from geosearch.metadata import read_metadata

if TYPE_CHECKING:
    from geosearch.ingest.objects import ObjectReader
    from geosearch.ingest.web import WebReader

OPEN_ARCHIVES = 16
"""Archives whose list of members is kept."""

Part = TypeVar("Part", "WebReader", "ObjectReader")


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """How much a source may take, and which machines beyond the public ones it may be on."""

    max_bytes: int = 256_000_000
    url_timeout_s: float = 30.0
    allowed: AllowedAddresses = AllowedAddresses()


class PhotoReader(Closing):
    """Reads sources within limits; close it, or use it in a `with`."""

    def __init__(self, limits: ReadLimits = ReadLimits()) -> None:  # frozen
        self.limits = limits
        self._lock = threading.Lock()
        self._open = ExitStack()
        self._web: WebReader | None = None
        self._objects: ObjectReader | None = None
        self._archives: OrderedDict[tuple[str, str | None], Archive] = OrderedDict()

    def close(self) -> None:
        """Close every connection; harmless when called twice."""
        with self._lock:
            self._open.close()
            self._web = self._objects = None
            self._archives.clear()

    def read(self, source: PhotoSource) -> Content:
        """The bytes of a source and what they say.

        Raises:
            SourceUnreadable: missing, forbidden, too large, or the server did not deliver.
            MissingDependency: it is on S3 and the extra `s3` is not installed.
        """
        sidecar = None
        # Looked at before it is read: a change during the reading shows in the next signature.
        signature = signature_of_source(source)
        if source.path is not None:
            data = _read_file(source.path, self.limits.max_bytes)
            sidecar_path = sidecar_of(source.path)
            if sidecar_path is not None:
                sidecar = _read_file(sidecar_path, self.limits.max_bytes)
        else:
            data = self._fetch(source.uri, signature)
        sha256 = hashlib.sha256(data).hexdigest()
        try:
            return Content(data, sha256, signature, read_metadata(data, sidecar=sidecar), None)
        except UnreadableImage as error:
            return Content(data, sha256, signature, None, str(error))

    def _fetch(self, uri: str, signature: str | None) -> bytes:
        archive, member = split_member(uri)
        if member is not None:
            return self._read_member(archive, member, signature)
        max_bytes = self.limits.max_bytes
        if uri.startswith("s3://"):
            return self._object_reader().read(uri, max_bytes=max_bytes)
        if uri.startswith(("http://", "https://")):
            return self._web_reader().read(uri, max_bytes=max_bytes)
        path = path_of(uri)
        if path is None:
            raise SourceUnreadable(f"{uri[:40]!r} is neither a path nor a URL that is known")
        return _read_file(path, max_bytes)

    def _read_member(self, archive: str, name: str, signature: str | None) -> bytes:
        path = path_of(archive)
        if path is None and not archive.startswith("s3://"):
            raise SourceUnreadable(
                "archives are read where single members can be: on this machine or on S3; "
                "download it first"
            )
        try:
            member = self._archive(archive, path, signature).find(name)
            if member.size_bytes > self.limits.max_bytes:
                raise SourceUnreadable(too_large(self.limits.max_bytes))
            data = (
                self._object_reader().read_range(archive, member.offset, member.size_bytes)
                if path is None
                else _read_part(path, member)
            )
        except OSError as error:
            raise SourceUnreadable(f"the archive: {plain(error)}") from error
        if len(data) != member.size_bytes:
            raise SourceUnreadable("the archive is cut off inside it")
        return data

    def _archive(self, uri: str, path: Path | None, signature: str | None) -> Archive:
        """The archive's members, listed once while it stays as it is."""
        with self._lock:
            found = self._archives.get((uri, signature))
            if found is not None and signature is not None:
                self._archives.move_to_end((uri, signature))
                return found
        opened = path.open("rb") if path is not None else self._object_reader().open(uri)
        with opened as file:
            found = Archive(file)
        with self._lock:
            self._archives[uri, signature] = found
            while len(self._archives) > OPEN_ARCHIVES:
                self._archives.popitem(last=False)
        return found

    def _web_reader(self) -> WebReader:
        from geosearch.ingest.web import WebReader

        with self._lock:
            self._web = self._web or self._opened(
                lambda: WebReader(timeout_s=self.limits.url_timeout_s, allowed=self.limits.allowed)
            )
            return self._web

    def _object_reader(self) -> ObjectReader:
        from geosearch.ingest.objects import ObjectReader

        with self._lock:
            self._objects = self._objects or self._opened(
                lambda: ObjectReader(timeout_s=self.limits.url_timeout_s)
            )
            return self._objects

    def _opened(self, make: Callable[[], Part]) -> Part:
        part = make()
        self._open.callback(part.close)
        return part


def _read_file(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            # One byte more than there should be tells a file that grows while it is read.
            data = b"" if size > max_bytes else file.read(size + 1)
    except OSError as error:
        raise SourceUnreadable(plain(error)) from error
    if size > max_bytes:
        raise SourceUnreadable(too_large(max_bytes))
    if len(data) != size:
        raise SourceUnreadable("it changed while it was read; run the same command again")
    return data


def _read_part(path: Path, member: Member) -> bytes:
    with path.open("rb") as file:
        file.seek(member.offset)
        return file.read(member.size_bytes)
