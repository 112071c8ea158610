"""Second stage: what is read is decided about, named and recorded, a chunk in one transaction."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from geosearch.catalogue.drafts import SourceDraft
from geosearch.ingest.arrivals import CHUNK_SOURCES, Look, as_of_now
from geosearch.ingest.decisions import Decision, Outcome, decide_known, decide_new
from geosearch.ingest.parts import Observer, Parts, timing
from geosearch.ingest.sources import Content, PhotoSource
from geosearch.records import photo_id

Read = tuple[Look, Content | None]


@dataclass(frozen=True, slots=True)
class Decided:
    """A source, what it held (None if it was not read again), and what becomes of it."""

    source: PhotoSource
    content: Content | None
    decision: Decision


class Recorder:
    """Writes the record; the only one that does before a photo is encoded."""

    def __init__(self, parts: Parts, observer: Observer, *, run_id: int, dry_run: bool) -> None:
        self._parts = parts
        self._observer = observer
        self._run_id = run_id
        self._dry_run = dry_run
        # Photos of the last chunks: the record was asked about the next one before it knew them.
        self._recent: OrderedDict[UUID, None] = OrderedDict()

    def record(self, read: Sequence[Read]) -> list[Decided]:
        """Decide about a chunk and commit what follows from it."""
        with timing(self._observer, "record", len(read)):
            decided = self._named(self._decide(read))
            if not self._dry_run:
                self._write(decided)
        return decided

    def refuse(self, uri: str, reason: str) -> None:
        """Record a source that gave no bytes."""
        if not self._dry_run:
            self._parts.catalogue.refuse_source(uri, reason, run_id=self._run_id)

    def _decide(self, read: Sequence[Read]) -> list[Decided]:
        by_content = self._parts.catalogue.known_photos(
            {photo_id(content.sha256) for _, content in read if content is not None},
            encoder=self._parts.identity,
            run_id=self._run_id,
        )
        decided = []
        for look, content in read:
            if content is not None:
                identity = photo_id(content.sha256)
                known = by_content.get(identity)
            elif look.known is not None:
                identity, known = look.known.draft.id, look.known
            else:
                raise AssertionError("a source is either read or known")
            if identity in self._recent:
                decision = Decision(Outcome.DUPLICATE)
            elif known is not None:
                known = as_of_now(known, resumes=self._parts.options.resumes)
                decision = decide_known(look.source, known, content)
            elif content is not None:
                decision = decide_new(look.source, content)
            self._recent[identity] = None
            decided.append(Decided(look.source, content, decision))
        while len(self._recent) > 4 * CHUNK_SOURCES:
            self._recent.popitem(last=False)
        return decided

    def _named(self, decided: list[Decided]) -> list[Decided]:
        """Place names for the labels that are about to be written."""
        coordinates = [
            each.decision.draft.label.coordinate
            for each in decided
            if each.decision.draft is not None and each.decision.draft.label is not None
        ]
        names = iter(self._parts.places(coordinates) if coordinates else [])
        named = []
        for each in decided:
            draft = each.decision.draft
            if draft is not None and draft.label is not None:
                decision = replace(each.decision, draft=replace(draft, place=next(names)))
                named.append(replace(each, decision=decision))
            else:
                named.append(each)
        return named

    def _write(self, decided: list[Decided]) -> None:
        drafts = {d.decision.draft.id: d.decision.draft for d in decided if d.decision.draft}
        sources = [
            SourceDraft(each.source.uri, each.content.signature, photo_id(each.content.sha256))
            for each in decided
            if each.content is not None
        ]
        unchanged = [each.source.uri for each in decided if each.content is None]
        # In one order everywhere, so that two workers never wait for each other's rows.
        self._parts.catalogue.record(
            sorted(drafts.values(), key=lambda draft: draft.id),
            sorted(sources, key=lambda source: source.uri),
            run_id=self._run_id,
        )
        if unchanged:
            self._parts.catalogue.touch_sources(unchanged, run_id=self._run_id)
