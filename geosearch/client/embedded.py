"""The collection of this machine: engines opened here, one method for each thing to do."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Self, cast
from uuid import UUID

from geosearch import retrieval
from geosearch.catalogue.drafts import PhotoDraft, entry_of
from geosearch.client import photos
from geosearch.client.arguments import Place, as_paths, coordinate_of, photo_sources
from geosearch.client.collection import Collection
from geosearch.client.queries import PhotoVectors, fused_query
from geosearch.client.wishes import LmmWishes
from geosearch.criteria import Criteria, PathLike, When
from geosearch.errors import ConfigError
from geosearch.ingest.sources import BadSource, PhotoSource, is_settled
from geosearch.records import (
    IngestReport,
    LabelSource,
    PhotoEntry,
    PhotoState,
    ReindexReport,
    Step,
)
from geosearch.results import FoundPhotos, LocatedPhoto
from geosearch.services import Services
from geosearch.serving.opened import OpenIndex
from geosearch.settings import load_settings
from geosearch.store.filters import Filter, all_of

# What locating, reindexing and deleting need is imported by them: a search starts without it.
if TYPE_CHECKING:
    from geosearch.client.prediction import Predictor
    from geosearch.client.predictors import Predictors

logger = logging.getLogger(__name__)


class GeoSearch(Collection):
    """A collection of photos to fill, search and locate with.

    With `url` it is one that `geosearch serve` serves elsewhere, with the same methods; see
    `client.remote`. Its settings are the server's own.

    Args:
        services: parts that are already composed; by default from the environment.
        url: address of a server, as `http://127.0.0.1:8000`.
        settings: single settings that win over the environment, as in ``encoder="lite"``; with
            `url`, `api_key` (by default that of GEOSEARCH_API_KEY) and `timeout_s`.

    Raises:
        ConfigError: a setting is unknown or cannot work.
    """

    def __new__(
        cls, services: Services | None = None, *, url: str | None = None, **settings: object
    ) -> Self:
        """An instance for engines of this machine, or with `url` for a server."""
        if url is None:
            return super().__new__(cls)
        from geosearch.client.remote import RemoteGeoSearch

        return cast(Self, RemoteGeoSearch(url, **settings))

    def __init__(
        self, services: Services | None = None, *, url: str | None = None, **settings: object
    ) -> None:
        self.services = services if services is not None else Services(load_settings(**settings))
        self._vectors = PhotoVectors()
        self._making = threading.Lock()
        self._made: Predictors | None = None
        self._is_index_compared = False

    def close(self) -> None:
        """Close every engine; harmless when called twice."""
        if self._made is not None:
            self._made.close()
        self.services.close()

    @property
    def _predictors(self) -> Predictors:
        from geosearch.client.predictors import Predictors

        with self._making:  # threads that locate share what models have taught and may cost
            if self._made is None:
                self._made = Predictors(self.services)
            return self._made

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
        from geosearch.client import reindexing

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
        criteria = Criteria(center, radius_km, bbox, within, country, since, until, dataset, author)
        where = all_of(where, criteria.filter())
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
                is_photo=text is None and at is None,
            )
        return FoundPhotos.of(replace(found, encoder=index.identity))

    def forget_query(self, sha256: bytes) -> None:
        """Drop what is remembered of a photo that was searched with, by the sha256 of its file."""
        self._vectors.forget(sha256)

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
        self._predictors.check(wishes)

    def _predictor(self, index: OpenIndex, where: Filter | None, wishes: LmmWishes) -> Predictor:
        predictor = self._predictors.of(index, where, wishes)
        self._warn_of_missing_photos(index)
        return predictor

    def photos(
        self, *, state: PhotoState | str | None = None, dataset: str | None = None
    ) -> Iterator[PhotoEntry]:
        """The photos of the collection, in order of id, whatever has become of them.

        Args:
            state: only those in this state, as `indexed` or `unlabelled`.
            dataset: only those of this data set.

        Raises:
            ConfigError: there is no such state.
        """
        for entry in photos.entries(self.services, photos.states_of(state)):
            if dataset is None or entry.photo.dataset == dataset:
                yield entry

    def photo(self, photo: UUID | str) -> PhotoEntry:
        """What is known of a photo, by its id.

        Raises:
            UnknownPhoto: there is none by that id.
        """
        return entry_of(photos.recorded(self.services, photos.id_of(photo)))

    def relabel(
        self, photo: UUID | str, place: Place, *, source: LabelSource | str = LabelSource.MANUAL
    ) -> PhotoEntry:
        """Say where a photo was taken; whose word that is stays with it.

        Args:
            photo: its id.
            place: a coordinate, or latitude and longitude.
            source: `manual`, or `predicted` for an answer of `locate` that someone accepted.

        Raises:
            UnknownPhoto: there is none by that id.
            LabelRefused: the label that it has counts more than a prediction.
        """
        return photos.relabel(
            self.services, photos.id_of(photo), coordinate_of(place), photos.given_source(source)
        )

    def delete(self, photo: UUID | str) -> None:
        """Take a photo out of the catalogue and every index; a file of yours stays where it is.

        Raises:
            UnknownPhoto: there is none by that id.
        """
        self.delete_recorded(photos.recorded(self.services, photos.id_of(photo)))

    def delete_recorded(self, photo: PhotoDraft) -> None:
        """As `delete`, for a photo whose record was read already."""
        from geosearch.client.removal import remove

        self.forget_query(bytes.fromhex(photo.sha256))
        remove(self.services, photo)

    def export_rows(self, *, dataset: str | None = None) -> Iterator[dict[str, Any]]:
        """Every photo as a flat mapping, in order of path, as `export` writes them."""
        return self.services.catalogue.export_rows(dataset=dataset)

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
        """Say when the index lacks photos, as those that could not be read when it was filled."""
        if self._is_index_compared:  # once: counting the catalogue is no part of a search
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
