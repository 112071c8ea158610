"""First stage: sources as they arrive, in chunks: looked up in the record, read by a pool.

What did not change since it was recorded is not read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from geosearch.catalogue.drafts import KnownPhoto, KnownSource
from geosearch.ingest.decisions import Outcome, decide_known
from geosearch.ingest.parts import Observer, Parts, timing
from geosearch.ingest.reader import PhotoReader
from geosearch.ingest.sources import (
    Content,
    PhotoSource,
    SourceUnreadable,
    signature_of_source,
)
from geosearch.records import PhotoState

CHUNK_SOURCES = 32
"""Sources that are recorded in one transaction."""

CHUNK_BYTES = 128_000_000
"""Files of a chunk wait in memory together; large ones make the chunk shorter."""

URL_BYTES = 8_000_000
"""How large a photo behind a URL is taken to be before it is read."""


@dataclass(frozen=True, slots=True)
class Look:
    """A source after a look at its file: unchanged since `known`, impossible, or to be read."""

    source: PhotoSource
    known: KnownPhoto | None = None
    problem: str | None = None


Reading = tuple[Look, Future[Content] | None]


def chunks(sources: Iterable[PhotoSource]) -> Iterator[list[PhotoSource]]:
    """Sources in groups of bounded number and size."""
    group: list[PhotoSource] = []
    size = 0
    for source in sources:
        group.append(source)
        size += _size(source)
        if len(group) >= CHUNK_SOURCES or size >= CHUNK_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


class Arrivals:
    """Looks sources up and starts to read those that are new or changed."""

    def __init__(
        self,
        parts: Parts,
        reader: PhotoReader,
        pool: ThreadPoolExecutor,
        observer: Observer,
        *,
        run_id: int,
    ) -> None:
        self._parts = parts
        self._reader = reader
        self._pool = pool
        self._observer = observer
        self._run_id = run_id

    def start(self, group: list[PhotoSource]) -> list[Reading]:
        """Begin to read a group; its files are read by the pool, in order."""
        known = self._parts.catalogue.known_sources(
            [source.uri for source in group], encoder=self._parts.identity, run_id=self._run_id
        )
        looks = [self._look(source, known.get(source.uri)) for source in group]
        return [(look, self._read(look)) for look in looks]

    def _look(self, source: PhotoSource, known: KnownSource | None) -> Look:
        try:
            signature = signature_of_source(source)
        except SourceUnreadable as error:
            return Look(source, problem=str(error))
        if known is None or known.photo is None or signature is None:
            return Look(source)
        if known.signature != signature:
            return Look(source)
        photo = as_of_now(known.photo, resumes=self._parts.options.resumes)
        if decide_known(source, photo, None).outcome is Outcome.ENCODE:
            return Look(source)  # what is to be encoded has to be read, changed or not
        return Look(source, known.photo)

    def _read(self, look: Look) -> Future[Content] | None:
        if look.known is not None or look.problem is not None:
            return None
        return self._pool.submit(self._content, look.source)

    def _content(self, source: PhotoSource) -> Content:
        with timing(self._observer, "read", 1):
            return self._reader.read(source)


def as_of_now(known: KnownPhoto, *, resumes: bool) -> KnownPhoto:
    """A photo as a run sees it that may have been interrupted and goes on under the same id.

    That a source of this run brought the photo does not mean then that anybody finished it.
    """
    if resumes and known.is_claimed and known.draft.state is not PhotoState.INDEXED:
        return replace(known, is_claimed=False)
    return known


def _size(source: PhotoSource) -> int:
    try:
        return URL_BYTES if source.path is None else source.path.stat().st_size
    except OSError:
        return 0  # reading it will say why
