"""Taking photos in: what a shift does for ingests, through the pipeline."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from geosearch.catalogue.leases import Ending, LeasedSource, Leases
from geosearch.catalogue.repository import Catalogue
from geosearch.ingest.decisions import Outcome
from geosearch.ingest.parts import Settled
from geosearch.ingest.pipeline import Pipeline
from geosearch.ingest.registration import claims_from_json
from geosearch.ingest.sources import PhotoSource, path_of
from geosearch.records import PhotoState
from workers.shift import InHand, Watcher

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The pipeline's observer: what is settled is finished in the intake."""

    leases: Leases
    watcher: Watcher
    hand: InHand

    def settled(self, sources: Sequence[Settled]) -> None:
        """Finish what is settled; first the catalogue, then our hands."""
        ended = [(done, found) for done in sources if (found := self.hand.find(done.uri))]
        self.leases.finish(
            {leased.id: Ending(str(done.outcome), done.reason) for done, leased in ended}
        )
        for done, leased in ended:
            self.hand.let_go(done.uri)
            self.watcher.ended(str(done.outcome), 1)
            if done.outcome is Outcome.FAIL:
                logger.warning(
                    "%s: %s", done.uri, done.reason,
                    extra={"run": leased.run_id, "photo": leased.id},
                )  # fmt: skip

    def timed(self, stage: str, seconds: float, photos: int) -> None:
        """Pass it on."""
        self.watcher.timed(stage, seconds, photos)


class TakingIn:
    """Takes photos of the intake in.

    Args:
        pipeline: with `resumes`.
        catalogue: the record.
        leases: of this worker.
        encoder: name of the encoder.
        watcher: told what happens.
    """

    claim = 32

    def __init__(
        self,
        pipeline: Pipeline,
        catalogue: Catalogue,
        leases: Leases,
        *,
        encoder: str,
        watcher: Watcher,
    ) -> None:
        self._pipeline = pipeline
        self._catalogue = catalogue
        self._leases = leases
        self._encoder = encoder
        self._watcher = watcher

    def encoder_of(self, run_id: int) -> str:
        """The encoder that an ingest was asked for."""
        return self._leases.encoder_of(run_id)

    def do(self, run_id: int, sources: Iterator[LeasedSource], hand: InHand) -> str | None:
        """Take sources in through the pipeline."""
        found = (
            PhotoSource(leased.uri, path_of(leased.uri), claims_from_json(leased.claims))
            for leased in sources
        )
        ledger = Ledger(self._leases, self._watcher, hand)
        report = self._pipeline.work(found, run_id=run_id, observer=ledger)
        if not report.scanned:
            return None
        return f"{report.scanned} photos: {report.indexed} indexed, {report.failed} failed"

    def give_up(self, source: LeasedSource, reason: str) -> None:
        """Record a source as failed; first its photo, then its place in the queue."""
        known = self._catalogue.known_sources(
            [source.uri], encoder=self._encoder, run_id=source.run_id
        )
        photo = known[source.uri].photo if source.uri in known else None
        if photo is None:
            self._catalogue.refuse_source(source.uri, reason, run_id=source.run_id)
        elif photo.draft.state is not PhotoState.INDEXED:
            self._catalogue.mark_failed({photo.draft.id: reason})
        self._leases.finish({source.id: Ending(str(Outcome.FAIL), reason)})
