"""What is to be taken in: photos found in folders or named by a manifest, and their bytes.

Names only until `read_source` is called; nothing here writes or decides.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from geosearch.errors import ConfigError, UnreadableImage
from geosearch.geo import Coordinate
from geosearch.metadata import read_metadata, sidecar_paths
from geosearch.records import PhotoMetadata

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".heic", ".heif"}
)
"""Files with these endings are taken from folders; a file that is named itself always is."""

SETTLED_AFTER_S = 2.0
"""A file younger than this may change again within one tick of its file system's clock."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a manifest, or a person by an option, says of a photo; it beats what the file says."""

    coordinate: Coordinate | None = None
    captured_at: datetime | None = None
    author: str | None = None
    license: str | None = None
    caption: str | None = None
    dataset: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PhotoSource:
    """A file (`path` set) or a URL, and what is claimed of it."""

    uri: str
    path: Path | None
    claims: Claims = Claims()


@dataclass(frozen=True, slots=True)
class BadSource:
    """A row or an entry that names no usable photo, and why."""

    uri: str
    reason: str


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a source, their hash, and what they say about themselves.

    `metadata` is None when the bytes are no readable image; then `problem` says why.
    """

    data: bytes
    sha256: str
    signature: str | None
    metadata: PhotoMetadata | None
    problem: str | None


class SourceUnreadable(Exception):
    """A source gave no bytes; caught by the pipeline, which records the reason."""


def uri_of(path: Path) -> str:
    """The absolute path as text; one that is not valid UTF-8 becomes a percent-encoded file URI."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  # resolve() would follow symlinks
    text = str(absolute)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return absolute.as_uri()
    return text


def path_of(uri: str) -> Path | None:
    """The local path that a recorded URI stands for; None for a URL."""
    if uri.startswith("file://"):
        return Path(os.fsdecode(unquote_to_bytes(urlsplit(uri).path)))
    return None if uri.startswith(("http://", "https://")) else Path(uri)


def scan(
    paths: Iterable[Path], claims: Claims = Claims()
) -> Iterator[PhotoSource | BadSource]:  # frozen
    """Every photo under these files and folders, in order of name, hidden entries left out.

    Symbolic links are followed; a folder that was seen already, as in a loop, is not entered again.

    Raises:
        ConfigError: one of `paths` does not exist.
    """
    paths = list(paths)
    for path in paths:
        if not path.exists():
            raise ConfigError(
                f"{os.fsencode(path).decode(errors='replace')}: no such file or folder"
            )
    entered: set[tuple[int, int]] = set()
    for path in paths:
        if path.is_dir():
            yield from _scan_folder(path, claims, entered)
        else:
            yield PhotoSource(uri_of(path), path, claims)


def _scan_folder(
    folder: Path, claims: Claims, entered: set[tuple[int, int]]
) -> Iterator[PhotoSource | BadSource]:
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in entered:
            return
        entered.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        yield BadSource(uri_of(folder), f"the folder cannot be read: {_plain(error)}")
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = Path(entry.path)
        try:
            is_folder = entry.is_dir()
        except OSError as error:
            if path.suffix.lower() in SUFFIXES:
                yield BadSource(uri_of(path), f"cannot be read: {_plain(error)}")
            continue
        if is_folder:
            yield from _scan_folder(path, claims, entered)
        elif path.suffix.lower() in SUFFIXES:
            yield PhotoSource(uri_of(path), path, claims)


def signature_of(path: Path) -> str | None:
    """What changes when a file or its sidecar does; None while it may change unnoticed.

    Size and the times of last change of content and of inode, as git's index has them: an edit
    that keeps size and modification time still moves the latter.

    Raises:
        SourceUnreadable: the file cannot be looked at.
    """
    try:
        parts = [_stamp(os.stat(path))]  # noqa: PTH116  # half the time of Path.stat, called first
    except OSError as error:
        raise SourceUnreadable(_plain(error)) from error
    sidecar = _sidecar(path)
    if sidecar is not None:
        parts.append(_stamp(sidecar.stat()))
    return None if None in parts else "+".join(part for part in parts if part)


def is_settled(source: PhotoSource | BadSource) -> bool:
    """Whether a file has stayed as it is for a while; anything but a file has."""
    if isinstance(source, BadSource) or source.path is None:
        return True
    try:
        return signature_of(source.path) is not None
    except SourceUnreadable:
        return True  # reading it will say why


def read_source(source: PhotoSource, *, max_bytes: int, url_timeout_s: float) -> Content:
    """The bytes of a source and what they say; safe to call from many threads.

    Raises:
        SourceUnreadable: missing, forbidden, too large, or the server did not deliver.
    """
    sidecar = None
    if source.path is not None:
        # Looked at before it is read: a change during the reading shows in the next signature.
        signature = signature_of(source.path)
        data = _read_file(source.path, max_bytes)
        sidecar_path = _sidecar(source.path)
        sidecar = None if sidecar_path is None else _read_file(sidecar_path, max_bytes)
    else:
        data = _fetch(source.uri, max_bytes, url_timeout_s)
        signature = "url"
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        return Content(data, sha256, signature, read_metadata(data, sidecar=sidecar), None)
    except UnreadableImage as error:
        return Content(data, sha256, signature, None, str(error))


def _read_file(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            # One byte more than there should be tells a file that grows while it is read.
            data = b"" if size > max_bytes else file.read(size + 1)
    except OSError as error:
        raise SourceUnreadable(_plain(error)) from error
    if size > max_bytes:
        raise SourceUnreadable(_too_large(max_bytes))
    if len(data) != size:
        raise SourceUnreadable("it changed while it was read; run the same command again")
    return data


def _fetch(url: str, max_bytes: int, timeout_s: float) -> bytes:
    """GET with a limit on size and on the whole duration, so that a slow server cannot hold us."""
    import httpx

    deadline = time.monotonic() + timeout_s
    chunks: list[bytes] = []
    received = 0
    try:
        with httpx.stream("GET", url, timeout=timeout_s, follow_redirects=True) as response:
            if response.status_code != httpx.codes.OK:
                raise SourceUnreadable(f"the server answered {response.status_code}")
            for chunk in response.iter_bytes():
                chunks.append(chunk)
                received += len(chunk)
                if received > max_bytes:
                    raise SourceUnreadable(_too_large(max_bytes))
                if time.monotonic() > deadline:
                    raise SourceUnreadable(f"the server took longer than {timeout_s:g} s")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        raise SourceUnreadable(f"the server could not be asked: {reason}") from error
    return b"".join(chunks)


def _sidecar(path: Path) -> Path | None:
    return next((candidate for candidate in sidecar_paths(path) if candidate.is_file()), None)


def _stamp(status: os.stat_result) -> str | None:
    if time.time() - max(status.st_mtime, status.st_ctime) < SETTLED_AFTER_S:
        return None
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def _too_large(max_bytes: int) -> str:
    limit_mb = max_bytes // 1_000_000
    return f"larger than the limit of {limit_mb} MB; raise GEOSEARCH_MAX_FILE_MB to take it"


def _plain(error: OSError) -> str:
    reasons = {
        errno.ENOENT: "no such file",
        errno.EACCES: "reading it is not allowed",
        errno.ELOOP: "its symbolic links go round in a loop",
        errno.EISDIR: "it is a folder",
        errno.ENAMETOOLONG: "its name is too long",
    }
    return reasons.get(error.errno or 0, error.strerror or type(error).__name__)
