"""Tar files of photos, as WebDataset has them: what they hold, and the bytes of one member.

Headers are walked by hand: `tarfile` reads extended headers of any size into memory, follows links
and stops at the first surprise. Here a bad member is one refused row.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from geosearch.ingest.manifest import claims_of, column_of
from geosearch.ingest.sources import (
    MEMBER,
    SUFFIXES,
    BadSource,
    Claims,
    PhotoSource,
    SourceUnreadable,
    plain,
    uri_of,
)

BLOCK = tarfile.BLOCKSIZE
MAX_HEADER_BYTES = 1_000_000
"""Extended headers hold a name and some numbers."""

MAX_MEMBERS = 2_000_000
MAX_LABEL_BYTES = 1_000_000

_FILES = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE})
_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive: its name and where its bytes lie; `problem` says why it is refused."""

    name: str
    offset: int
    size_bytes: int
    problem: str | None = None


def members(file: BinaryIO) -> Iterator[Member]:
    """Every file of an archive in order, refused ones with their problem; folders are left out.

    After a header that is none there is no telling where the next one is: it is the last.
    """
    size = file.seek(0, 2)
    offset, count = 0, 0
    extended: dict[str, str] = {}
    seen: set[str] = set()
    while offset < size:
        file.seek(offset)
        block = file.read(BLOCK)
        if not block.strip(b"\0"):
            return
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            length = int(extended.get("size", header.size))
        except (tarfile.HeaderError, ValueError):
            yield Member(f"at byte {offset}", offset, 0, "damaged: no header where one must be")
            return
        body, name = offset + BLOCK, extended.get("path", header.name)
        offset = body + -(-length // BLOCK) * BLOCK
        if length < 0 or body + length > size:
            yield Member(name, body, 0, "the archive is cut off inside it")
            return
        if header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME):
            if length > MAX_HEADER_BYTES:
                yield Member(name, body, 0, f"its header has {length} bytes; no name is that long")
                return
            file.seek(body)
            extended |= _extension(header.type, file.read(length))
            continue
        if header.type in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
            continue
        extended = {}
        if header.type == tarfile.DIRTYPE:
            continue
        count += 1
        if count > MAX_MEMBERS:
            yield Member(name, body, 0, f"more than {MAX_MEMBERS} members; split the archive")
            return
        problem = _problem(header.type, name, seen)
        seen.add(name)
        yield Member(name, body, length, problem)


def _extension(kind: bytes, data: bytes) -> dict[str, str]:
    """Name and size from a long-name or pax header; what does not parse says nothing."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return {"path": data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")}
    found: dict[str, str] = {}
    while data:
        length, _, _ = data.partition(b" ")
        if not length.isdigit() or not 0 < int(length[:9]) <= len(data):
            break
        record, data = data[: int(length)], data[int(length) :]
        key, _, value = record[len(length) + 1 : -1].partition(b"=")
        if key in (b"path", b"size"):
            found[key.decode()] = value.decode("utf-8", "surrogateescape")
    return found


def _problem(kind: bytes, name: str, seen: set[str]) -> str | None:
    if kind not in _FILES:
        return f"it is {_KINDS.get(kind, 'no ordinary file')}"
    if name.startswith("/") or ".." in PurePosixPath(name).parts:
        return "its name leads out of the archive"
    if not name.isprintable():  # lone surrogates, line ends, NUL
        return "its name is not plain text in UTF-8"
    return "a member of that name came before" if name in seen else None


def scan_archive(path: Path, claims: Claims) -> Iterator[PhotoSource | BadSource]:
    """Every photo of a local archive, labelled by its neighbours of the same name.

    As WebDataset has it, `key.json` beside `key.jpg` holds what a manifest's columns would, and
    `key.txt` a caption. `claims` are for all and give way to neither.
    """
    uri = uri_of(path)
    try:
        with path.open("rb") as file:
            yield from scan_open_archive(file, uri, claims)
    except OSError as error:
        yield BadSource(uri, f"the archive cannot be read: {plain(error)}")


def scan_open_archive(
    file: BinaryIO, uri: str, claims: Claims
) -> Iterator[PhotoSource | BadSource]:
    """As `scan_archive`, for an archive that is open, wherever it is."""
    sample: list[Member] = []
    for member in members(file):
        if sample and _key(member) != _key(sample[0]):
            yield from _sample(file, uri, sample, claims)
            sample = []
        sample.append(member)
    yield from _sample(file, uri, sample, claims)


def _key(member: Member) -> str:
    folder, _, name = member.name.rpartition("/")
    return f"{folder}/{name.partition('.')[0]}"


def _sample(
    file: BinaryIO, uri: str, sample: list[Member], claims: Claims
) -> Iterator[PhotoSource | BadSource]:
    bad = [member for member in sample if member.problem is not None]
    photos = [
        member
        for member in sample
        if member.problem is None
        and PurePosixPath(member.name).suffix.lower() in SUFFIXES
        and not PurePosixPath(member.name).name.startswith(".")
    ]
    for member in bad:
        name = member.name.encode("utf-8", "replace").decode()[:200]
        yield BadSource(
            uri + MEMBER + "".join(c for c in name if c.isprintable()), f"{member.problem}"
        )
    try:
        found = _labels(file, sample) if photos else Claims()
    except (ValueError, TypeError, RecursionError) as error:
        reason = f"its label in the archive: {str(error) or type(error).__name__}"
        yield from (BadSource(uri + MEMBER + member.name, reason) for member in photos)
        return
    if claims.dataset is not None:
        found = replace(found, dataset=claims.dataset)
    yield from (PhotoSource(uri + MEMBER + member.name, None, found) for member in photos)


def _labels(file: BinaryIO, sample: list[Member]) -> Claims:
    row: dict[str, Any] = {}
    for member in sample:
        suffix = PurePosixPath(member.name).suffix.lower()
        if suffix not in (".json", ".txt") or member.problem is not None:
            continue
        if member.size_bytes > MAX_LABEL_BYTES:
            raise ValueError(f"{member.size_bytes} bytes; the limit is {MAX_LABEL_BYTES}")
        file.seek(member.offset)
        text = file.read(member.size_bytes).decode("utf-8", "replace")
        if suffix == ".txt":
            row.setdefault("caption", text)
            continue
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ValueError("the JSON is no object")
        row |= {column_of(name): value for name, value in document.items()}
    return claims_of(row)


class Archive:
    """A local or remote archive opened for reading single members; not to be shared by threads."""

    def __init__(self, file: BinaryIO) -> None:
        self._members = {m.name: m for m in members(file) if m.problem is None}

    def find(self, name: str) -> Member:
        """Where a member lies.

        Raises:
            SourceUnreadable: there is no such member that could be read.
        """
        found = self._members.get(name)
        if found is None:
            raise SourceUnreadable("the archive has no such file, or its header is damaged")
        return found
