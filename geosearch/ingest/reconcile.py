"""Compares the record with the index of one encoder, photo by photo, and mends the index.

Both are walked in order of id, side by side, so memory does not grow with them. The record is right
about facts; the index is right about which vectors there are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from uuid import UUID

from geosearch.catalogue.audit import Audit, AuditRow
from geosearch.catalogue.repository import Catalogue
from geosearch.ingest.decisions import SAME_PLACE_DEG
from geosearch.records import PhotoState
from geosearch.store.base import PointPayload, VectorStore
from geosearch.store.inventory import StoredCollection

BATCH = 500
MAX_EXAMPLES = 50

Progress = Callable[[int, int], None]

_LABELLED = frozenset({PhotoState.PENDING, PhotoState.EMBEDDED, PhotoState.INDEXED})


class Difference(StrEnum):
    """How a photo and its point may disagree, and what mending does about it."""

    MISSING = "missing"
    """Recorded as embedded, but there is no point: it is encoded again."""

    EXTRA = "extra"
    """A point without a photo that should have one: it is deleted."""

    STALE = "stale"
    """The point's facts are not those of the record: they are written again."""

    UNRECORDED = "unrecorded"
    """A point that the record does not know of, as after a power cut: it is recorded."""

    UNCONFIRMED = "unconfirmed"
    """The point is there, the photo is not marked as indexed: it is written again and marked."""


@dataclass(frozen=True, slots=True)
class Found:
    """One photo that differs; `uri` is None where there is no photo."""

    id: UUID
    difference: Difference
    uri: str | None


@dataclass(slots=True)
class ReconcileReport:
    """What was compared, what differed, and the first examples of it."""

    photos: int = 0
    points: int = 0
    differences: dict[Difference, int] = field(default_factory=lambda: dict.fromkeys(Difference, 0))
    examples: list[Found] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing differed."""
        return not any(self.differences.values())


class Reconciler:
    """Walks record and index of one encoder.

    Args:
        catalogue: where photos are marked.
        audit: the record, for reading.
        store: the index of `encoder`.
        encoder: the encoder identity as text.
    """

    def __init__(
        self, catalogue: Catalogue, audit: Audit, store: VectorStore, *, encoder: str
    ) -> None:
        self._catalogue = catalogue
        self._audit = audit
        self._store = store
        self._encoder = encoder

    def run(self, *, mend: bool, progress: Progress | None = None) -> ReconcileReport:
        """Find every difference, and with `mend` put it right.

        Photos whose points are missing are marked as pending, to be taken in again by who takes in
        photos. While photos are being taken in, what is on its way differs for a moment; mending
        looks at each photo once more before it changes anything.

        Args:
            mend: change things; without it nothing is written.
            progress: told how many photos and points were compared and how many there are.

        Raises:
            CatalogueError, StoreError: an engine refused; run it again to go on.
        """
        report = ReconcileReport()
        total = 0 if progress is None else self._audit.count() + self._store.count()
        waiting: dict[Difference, list[UUID]] = {kind: [] for kind in Difference}
        for number, (row, payload, point_id) in enumerate(self._pairs(report), start=1):
            if progress is not None and number % BATCH == 0:
                progress(report.photos + report.points, total)
            difference = classify(row, payload)
            if difference is None:
                continue
            report.differences[difference] += 1
            if len(report.examples) < MAX_EXAMPLES:
                report.examples.append(
                    Found(point_id, difference, None if row is None else row.uri)
                )
            if mend:
                waiting[difference].append(point_id)
                if len(waiting[difference]) >= BATCH:
                    self._mend(difference, waiting[difference])
                    waiting[difference] = []
        for difference, ids in waiting.items():
            if ids:
                self._mend(difference, ids)
        if progress is not None:
            progress(total, total)
        return report

    def _pairs(
        self, report: ReconcileReport
    ) -> Iterator[tuple[AuditRow | None, PointPayload | None, UUID]]:
        """Photo and point of every id that has either, in order of id."""
        rows = self._audit.photos(encoder=self._encoder)
        hits = self._store.scroll()
        row, hit = next(rows, None), next(hits, None)
        while row is not None or hit is not None:
            if hit is None or (row is not None and row.id < hit.id):
                assert row is not None
                report.photos += 1
                yield row, None, row.id
                row = next(rows, None)
            elif row is None or hit.id < row.id:
                report.points += 1
                yield None, hit.payload, hit.id
                hit = next(hits, None)
            else:
                report.photos += 1
                report.points += 1
                yield row, hit.payload, row.id
                row, hit = next(rows, None), next(hits, None)

    def _mend(self, difference: Difference, ids: list[UUID]) -> None:
        rows = self._audit.find(ids, encoder=self._encoder)
        present = self._store.existing(ids)
        if difference is Difference.MISSING:
            self._encode_again([row for row in rows.values() if row.id not in present])
        elif difference is Difference.EXTRA:
            wanted = {row.id for row in rows.values() if expected_payload(row) is not None}
            self._store.delete(set(ids) - wanted)
            self._store.flush()
            self._audit.forget_embeddings(set(ids) - wanted, encoder=self._encoder)
        else:
            self._write_again([row for row in rows.values() if row.id in present])

    def _encode_again(self, rows: list[AuditRow]) -> None:
        labelled = {row.id for row in rows if row.state in _LABELLED}
        if labelled:
            self._catalogue.mark_pending(labelled, encoder=self._encoder)
        if others := {row.id for row in rows} - labelled:
            self._audit.forget_embeddings(others, encoder=self._encoder)

    def _write_again(self, rows: list[AuditRow]) -> None:
        payloads = {
            row.id: payload for row in rows if (payload := expected_payload(row)) is not None
        }
        if not payloads:
            return
        # Embedded first: killed in between, the next run knows that these are not confirmed.
        self._catalogue.mark_embedded(payloads, encoder=self._encoder)
        self._store.set_payload(payloads)
        self._store.flush()
        self._catalogue.mark_indexed(payloads, encoder=self._encoder)


def expected_payload(row: AuditRow) -> PointPayload | None:
    """What the point of a photo must carry; None for a photo that has no place in the index."""
    if row.state not in _LABELLED or row.coordinate is None:
        return None
    return PointPayload(
        coordinate=row.coordinate,
        captured_at=row.captured_at,
        dataset=row.dataset,
        country=row.country,
        author=row.author,
    )


def classify(row: AuditRow | None, payload: PointPayload | None) -> Difference | None:
    """How a photo and its point disagree; None if they do not.

    A photo that is in no index of this encoder, and not said to be, is what `reindex` is for.
    """
    if payload is None:
        return Difference.MISSING if row is not None and row.is_embedded else None
    expected = None if row is None else expected_payload(row)
    if row is None or expected is None:
        return Difference.EXTRA
    if not row.is_embedded:
        return Difference.UNRECORDED
    if row.state is not PhotoState.INDEXED:
        return Difference.UNCONFIRMED
    return None if same_facts(payload, expected) else Difference.STALE


def same_facts(one: PointPayload, other: PointPayload) -> bool:
    """Whether two payloads say the same; a server may round a coordinate's last digit."""
    here, there = one.coordinate, other.coordinate
    is_near = abs(here.lat - there.lat) < SAME_PLACE_DEG and abs(here.lon - there.lon) < (
        SAME_PLACE_DEG
    )
    return is_near and replace(one, coordinate=there) == other


@dataclass(frozen=True, slots=True)
class Orphan:
    """A collection, or a directory of one, that nothing on record uses, and the reason."""

    name: str
    reason: str


def orphans(
    collections: Collection[StoredCollection], *, recorded: Collection[str], current: str
) -> list[Orphan]:
    """Collections that belong to no encoder which the record knows.

    Args:
        collections: those that exist.
        recorded: identities that photos are embedded by.
        current: the identity in use, whose collection may still be empty.
    """
    found = []
    for collection in collections:
        if collection.identity is None:
            found.append(Orphan(collection.name, "it does not say which encoder it belongs to"))
        elif collection.identity != current and collection.identity not in recorded:
            found.append(Orphan(collection.name, f"no photo is embedded by {collection.identity}"))
    return found
