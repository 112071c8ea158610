"""The collection of this machine: engines opened here, one method for each thing to do."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from geosearch import retrieval
from geosearch.client import reindexing
from geosearch.client.arguments import Place, as_paths, coordinate_of, photo_sources
from geosearch.client.locating import Locators
from geosearch.client.prediction import Predictor
from geosearch.client.queries import PhotoVectors, fused_query
from geosearch.client.reasoning import LmmWishes, Reasoners
from geosearch.closing import Closing
from geosearch.criteria import Criteria, PathLike, When
from geosearch.errors import ConfigError
from geosearch.ingest.folders import scan
from geosearch.ingest.sources import BadSource, PhotoSource, is_settled
from geosearch.records import IngestReport, ReindexReport, Step
from geosearch.results import FoundPhotos, LocatedPhoto
from geosearch.services import Services
from geosearch.serving.opened import OpenIndex
from geosearch.settings import load_settings
from geosearch.store.filters import Filter, all_of

if TYPE_CHECKING:
    from geosearch.evaluation import EvaluationReport

logger = logging.getLogger(__name__)


class GeoSearch(Closing):
    """A collection of photos to fill, search and locate with.

    Args:
        services: parts that are already composed; by default from the environment.
        settings: single settings that win over the environment, as in ``encoder="lite"``.

    Raises:
        ConfigError: a setting is unknown or cannot work.
    """

    def __init__(self, services: Services | None = None, **settings: object) -> None:
        self.services = services if services is not None else Services(load_settings(**settings))
        self._locators = Locators(self.services)
        self._vectors = PhotoVectors()
        self._reasoners = Reasoners(self.services)
        self._is_index_compared = False

    def close(self) -> None:
        """Close every engine; harmless when called twice."""
        self._reasoners.close()
        self.services.close()

    def ingest(
        self,
        paths: PathLike | Iterable[PathLike] = (),
        *,
        manifest: PathLike | None = None,
        dataset: str | None = None,
        dry_run: bool = False,
        settled_only: bool = False,
        progress: Callable[[IngestReport], None] | None = None,
    ) -> IngestReport:
        """Take in photos from files, folders and a manifest; doing it again changes nothing.

        Args:
            paths: files and folders, searched with all they contain.
            manifest: CSV or Parquet with `path` or `url`, `lat`, `lon` and more; its rows come
                first, and files of `paths` that it names are not counted twice.
            dataset: the name under which the photos can be searched.
            dry_run: only say what would happen.
            settled_only: leave files that changed within the last seconds, as those that are still
                being copied, for a later call.
            progress: called now and then with the counts so far.

        Raises:
            ConfigError: nothing is given, or a path does not exist.
            InvalidManifest: the manifest as a whole cannot be used.
            StorageFull: no room left; the same call later goes on where this one stopped.
        """
        sources = photo_sources(paths, manifest=manifest, dataset=dataset)
        if settled_only:
            sources = (source for source in sources if is_settled(source))
        inputs = {
            "paths": [os.fsencode(path).decode(errors="replace") for path in as_paths(paths)],
            "manifest": None if manifest is None else str(manifest),
            "dataset": dataset,
        }
        with self.services.taking_in() as pipeline:
            return pipeline.run(sources, inputs=inputs, dry_run=dry_run, progress=progress)

    def retry(
        self, *, failed: bool = False, progress: Callable[[IngestReport], None] | None = None
    ) -> IngestReport:
        """Take in again what was interrupted, and with `failed` also what failed."""
        with self.services.taking_in() as pipeline:
            return pipeline.retry(failed=failed, progress=progress)

    def reindex(
        self,
        *,
        encoder: str | None = None,
        switch: bool = True,
        leave_out_unreadable: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> ReindexReport:
        """Fill the index of another encoder beside the one in use, then search with that one.

        Searches and ingests go on meanwhile, also in other threads of this process. Killed at any
        moment, the same call goes on.

        Args:
            encoder: trained heads or an index, by name or the beginning of one; None for the
                encoder that is chosen by `geosearch encoders activate` and the settings.
            switch: make it the index in use at the end.
            leave_out_unreadable: switch also if photos cannot be read any more.
            progress: told photos done and to do.

        Raises:
            ConfigError: no such encoder.
            CatalogueError: another process fills the same index.
        """
        return reindexing.reindex(
            self.services,
            encoder=encoder,
            switch=switch,
            leave_out_unreadable=leave_out_unreadable,
            progress=progress,
        )

    def search(
        self,
        *,
        image: PathLike | bytes | None = None,
        like: UUID | str | None = None,
        text: str | None = None,
        at: Place | None = None,
        weights: Mapping[str, float] | None = None,
        near: Place | None = None,
        radius_km: float | None = None,
        bbox: str | tuple[float, float, float, float] | None = None,
        within: PathLike | dict[str, Any] | None = None,
        country: str | None = None,
        since: When | None = None,
        until: When | None = None,
        dataset: str | None = None,
        author: str | None = None,
        where: Filter | None = None,
        k: int = 10,
        diverse: bool = False,
    ) -> FoundPhotos:
        """Find photos by look, words and place, or newest first, under all the filters given.

        Args:
            image: find photos that look like this file, or these bytes.
            like: find photos that look like this one of the collection, by its id.
            text: find photos that show this.
            at: find photos that look as if taken around here, wherever they were.
            weights: how much `image`, `text` and `gps` count, 1 each unless told.
            near: centre (lat, lon) of a circle; distances are measured from it.
            radius_km: its radius.
            bbox: west, south, east, north in degrees; west > east crosses ±180.
            within: GeoJSON with polygons, as a file or a parsed document.
            country: ISO 3166-1 alpha-2 code.
            since: first moment, ISO 8601, UTC without an offset.
            until: end; a date alone means the end of that day.
            dataset: name of a data set.
            author: name of a photographer.
            where: any filter in words of `store.filters`, in addition.
            k: the most hits.
            diverse: only hits at least 25 km apart.

        Raises:
            InvalidInput: an area, time or image does not parse.
            ConfigError: options that do not go together.
        """
        if k < 1:
            raise ConfigError(f"k is {k}; ask for 1 or more photos")
        center = None if near is None else coordinate_of(near)
        asked = Criteria(
            center, radius_km, bbox, within, country, since, until, dataset, author
        ).filter()
        where = all_of(where, asked)
        separation_km = retrieval.SEPARATION_KM if diverse else None
        query = fused_query(self._vectors, image, like, text, at, weights)
        if query is None:
            # Listing needs no encoder, and none is loaded for it; an index that is open is a help.
            services = self.services
            with services.borrowed_index() if services.has_open_index else nullcontext() as index:
                return FoundPhotos.of(
                    retrieval.list_newest(
                        services.catalogue,
                        None if index is None else index.store,
                        where=where,
                        limit=k,
                        separation_km=separation_km,
                        center=center,
                    )
                )
        with self.services.borrowed_index() as index:
            self._warn_of_missing_photos(index)
            found = retrieval.find_similar(
                index.store,
                self.services.catalogue,
                query(index),
                where=where,
                limit=k,
                separation_km=separation_km,
                center=center,
            )
        return FoundPhotos.of(replace(found, encoder=index.identity))

    def forget_query(self, sha256: bytes) -> None:
        """Drop what is remembered of a photo that was searched with, by the sha256 of its file."""
        self._vectors.forget(sha256)

    def locate(
        self,
        images: PathLike | Iterable[PathLike],
        *,
        where: Filter | None = None,
        skip: Callable[[str], bool] | None = None,
        model: str | None = None,
        no_lmm: bool = False,
        hint: str | None = None,
        samples: int | None = None,
        max_cost_usd: float | None = None,
    ) -> Iterator[LocatedPhoto]:
        """Say where photos were taken, one prediction for each, in order, as they are ready.

        A photo that cannot be read gives a prediction without an answer and the reason. Where
        GEOSEARCH_LMM_CONFIG names a large multimodal model it is asked too; if it fails, the photos
        of the collection decide alone, and `lmm` of the prediction says so.

        Args:
            images: files, and folders with all the photos they contain.
            where: only photos that match count as neighbours, and models are told its area.
            skip: photos, by the name that their prediction would have, that are passed over.
            model: which model of lmm.yaml to ask; the first unless told.
            no_lmm: ask none.
            hint: what is known or supposed of the place, for the model.
            samples: how often each question is asked.
            max_cost_usd: the most that this call may spend on models.

        Raises:
            ConfigError: a path does not exist, or a model cannot be asked.
        """
        wishes = LmmWishes(model, no_lmm, hint, samples, max_cost_usd)
        sources = scan(as_paths(images))
        if skip is not None:
            sources = (source for source in sources if not skip(source.uri))
        yield from self.locate_sources(sources, wishes, where=where)

    def locate_sources(
        self,
        sources: Iterable[PhotoSource | BadSource],
        wishes: LmmWishes,
        *,
        where: Filter | None = None,
    ) -> Iterator[LocatedPhoto]:
        """As `locate`, for photos that were found before, and what is known to be unreadable.

        Raises:
            ConfigError: a model cannot be asked; before the first source is looked at.
        """
        with self.services.borrowed_index() as index:
            yield from self._predictor(index, where, wishes).predict_all(sources)

    def locate_bytes(
        self,
        data: bytes,
        *,
        name: str,
        where: Filter | None = None,
        model: str | None = None,
        no_lmm: bool = False,
        hint: str | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> LocatedPhoto:
        """Say where a photo was taken that is in no file, as one that came over the network.

        Args:
            data: the photo's bytes.
            name: what to call it in the prediction.
            where: only photos that match count as neighbours, and models are told its area.
            model: as in `locate`.
            no_lmm: as in `locate`.
            hint: as in `locate`.
            on_step: called with each step once it is done, in this thread.

        Raises:
            ConfigError: a model cannot be asked.
        """
        with self.services.borrowed_index() as index:
            predictor = self._predictor(index, where, LmmWishes(model, no_lmm, hint))
            return predictor.begin(data, name, on_step)()

    def check_lmm(self, wishes: LmmWishes) -> None:
        """Raise ConfigError unless `locate` can ask a large multimodal model as is wished."""
        self._reasoners.of(wishes)

    def _predictor(self, index: OpenIndex, where: Filter | None, wishes: LmmWishes) -> Predictor:
        adviser = self._reasoners.of(wishes)
        self._warn_of_missing_photos(index)
        return Predictor(
            index.embedder,
            self._locators.locator(index, where),
            adviser,
            area=None if adviser is None else self._reasoners.area(where),
            hint=wishes.hint,
        )

    def evaluate(
        self,
        manifest: PathLike,
        *,
        images: PathLike | None = None,
        limit: int | None = None,
        resamples: int = 1000,
        seed: int = 0,
    ) -> EvaluationReport:
        """Locate every photo of a manifest and measure how far off the answers are.

        A photo that is in the collection finds itself; keep the photos asked out of it, or use
        `geosearch evaluate`, which takes them out and compares with baselines. No large multimodal
        model is asked.

        Args:
            manifest: CSV or Parquet with `path`, `lat`, `lon`.
            images: the folder of the photos, if the manifest names them only.
            limit: ask only so many photos, evenly spaced.
            resamples: of the bootstrap that gives the intervals.
            seed: of the bootstrap.

        Raises:
            InvalidManifest: the manifest as a whole cannot be used.
            InvalidInput: no photo, or photos of one place only.
        """
        from geosearch.evaluation import evaluate, load_manifest

        folder = None if images is None else Path(images).expanduser()
        dataset = load_manifest(Path(manifest).expanduser(), images=folder).limited(limit)
        return evaluate(
            lambda queries: self.locate(
                [query.image for query in queries if query.image is not None], no_lmm=True
            ),
            dataset,
            resamples=resamples,
            seed=seed,
        )

    def status(self) -> dict[str, Any]:
        """Photos by state and by encoder, the pace, the last run, the last errors."""
        catalogue = self.services.catalogue
        return {
            "photos": catalogue.counts(),
            "pace": asdict(self.services.pace()),
            "index": catalogue.embedded_counts(),
            "last_run": catalogue.last_run(),
            "errors": [
                {"path": path, "reason": reason} for path, reason in catalogue.last_errors()
            ],
        }

    def _warn_of_missing_photos(self, index: OpenIndex) -> None:
        """Say so when the index lacks photos, as those that could not be read when it was filled.

        Once for each client: counting the catalogue is no part of a search.
        """
        if self._is_index_compared:
            return
        self._is_index_compared = True
        indexed = self.services.catalogue.counts()["indexed"]
        found = index.store.count()
        if found < indexed:
            logger.warning(
                "%d of %d photos are not in the index of this encoder; run: geosearch reindex",
                indexed - found,
                indexed,
            )
