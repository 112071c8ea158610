"""What is to be taken in: photos by path, URL or place in an archive, and what is claimed of them.

Names only; what folders hold is in `folders.py`, reading in `reader.py`.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from geosearch.geo import Coordinate
from geosearch.metadata import sidecar_paths
from geosearch.records import LabelSource, PhotoMetadata

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".heic", ".heif"}
)
"""Files with these endings are taken from folders; a file that is named itself always is."""

URL_SCHEMES = ("http://", "https://", "s3://")

ARCHIVE_SUFFIX = ".tar"

MEMBER = "::"
"""Between an archive and the name of one of its members, as in `shard-000.tar::0001.jpg`."""

SETTLED_AFTER_S = 2.0
"""A file younger than this may change again within one tick of its file system's clock."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a manifest, or a person by an option, says of a photo; it beats what the file says.

    `label_source` is whose word the coordinate is: a guess that someone accepted stays a guess.
    """

    coordinate: Coordinate | None = None
    captured_at: datetime | None = None
    author: str | None = None
    license: str | None = None
    caption: str | None = None
    dataset: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    label_source: LabelSource = LabelSource.MANIFEST


@dataclass(frozen=True, slots=True)
class PhotoSource:
    """A file (`path` set), a URL or a member of an archive, and what is claimed of it."""

    uri: str
    path: Path | None
    claims: Claims = Claims()

    @property
    def local_file(self) -> Path | None:
        """The file on this machine that holds it, which may be an archive; None for URLs."""
        if self.path is not None:
            return self.path
        archive, member = split_member(self.uri)
        return None if member is None else path_of(archive)


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
    """The absolute path as text; one that could be misread becomes a percent-encoded file URI.

    That is one that is not valid UTF-8, or that looks like a member of an archive.
    """
    text = os.path.abspath(path)  # noqa: PTH100  # resolve() would follow symlinks
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return Path(text).as_uri()
    return text if split_member(text)[1] is None else Path(text).as_uri()


def is_url(uri: str) -> bool:
    """Whether a name stands for something on another machine."""
    return uri.startswith(URL_SCHEMES)


def split_member(uri: str) -> tuple[str, str | None]:
    """An archive and the name of its member; (uri, None) for anything else."""
    archive, separator, member = uri.partition(ARCHIVE_SUFFIX + MEMBER)
    if not separator or not member:
        return uri, None
    return archive + ARCHIVE_SUFFIX, member


def file_name(uri: str) -> str:
    """The last part of a path, URL or member of an archive."""
    return PurePosixPath(uri.rpartition(MEMBER)[2]).name or "photo"


def path_of(uri: str) -> Path | None:
    """The local file that a recorded URI stands for; None for a URL or a member of an archive."""
    if is_url(uri) or split_member(uri)[1] is not None:
        return None
    if uri.startswith("file://"):
        return Path(os.fsdecode(unquote_to_bytes(urlsplit(uri).path)))
    return Path(uri)


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
        raise SourceUnreadable(plain(error)) from error
    sidecar = sidecar_of(path)
    if sidecar is not None:
        parts.append(_stamp(sidecar.stat()))
    return None if None in parts else "+".join(part for part in parts if part)


def signature_of_source(source: PhotoSource) -> str | None:
    """What changes when a source does; None while it may change unnoticed.

    Looking at a URL would be reading it, so one that was taken in once counts as unchanged. A
    member of an archive changes with the archive.

    Raises:
        SourceUnreadable: the file cannot be looked at.
    """
    file = source.local_file
    return "url" if file is None else signature_of(file)


def is_settled(source: PhotoSource | BadSource) -> bool:
    """Whether a file has stayed as it is for a while; anything but a file has."""
    if isinstance(source, BadSource):
        return True
    try:
        return signature_of_source(source) is not None
    except SourceUnreadable:
        return True  # reading it will say why


def sidecar_of(path: Path) -> Path | None:
    """The XMP file beside a photo, if there is one."""
    return next((candidate for candidate in sidecar_paths(path) if candidate.is_file()), None)


def _stamp(status: os.stat_result) -> str | None:
    if time.time() - max(status.st_mtime, status.st_ctime) < SETTLED_AFTER_S:
        return None
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def too_large(max_bytes: int) -> str:
    """Why a source over the limit is refused."""
    limit_mb = max_bytes // 1_000_000
    return f"larger than the limit of {limit_mb} MB; raise GEOSEARCH_MAX_FILE_MB to take it"


def plain(error: OSError) -> str:
    """What an error of the file system means, in words."""
    reasons = {
        errno.ENOENT: "no such file",
        errno.EACCES: "reading it is not allowed",
        errno.ELOOP: "its symbolic links go round in a loop",
        errno.EISDIR: "it is a folder",
        errno.ENAMETOOLONG: "its name is too long",
    }
    return reasons.get(error.errno or 0, error.strerror or type(error).__name__)
