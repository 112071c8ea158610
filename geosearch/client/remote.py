"""The collection that `geosearch serve` serves elsewhere, with the methods of the embedded one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NoReturn
from uuid import UUID

from geosearch.client.arguments import Place, coordinate_of, image_bytes, photo_sources
from geosearch.client.collection import Collection
from geosearch.client.photos import given_source, id_of, states_of
from geosearch.client.uploads import Uploader
from geosearch.client.wire import Wire, as_json
from geosearch.client.wishes import LmmWishes
from geosearch.criteria import Criteria, PathLike, When, box
from geosearch.errors import ConfigError, UnreadableImage
from geosearch.exports.reading import (
    photo_entry_from_dict,
    prediction_from_dict,
    search_result_from_dict,
)
from geosearch.ingest.sources import BadSource, PhotoSource, file_name, is_settled
from geosearch.records import (
    IngestReport,
    LabelSource,
    PhotoEntry,
    PhotoState,
    SearchResult,
)
from geosearch.results import FoundPhotos, LocatedPhoto
from geosearch.settings import load_settings
from geosearch.store.filters import Filter

PAGE = 1000
"""Hits or photos of one request."""

TIMEOUT_S = 300.0
"""A model that is asked about a photo may take minutes."""


class RemoteGeoSearch(Collection):
    """A collection behind a server: photos are sent to it, answers come back as the same values.

    Photos are named by their files alone, since the server keeps its folders to itself.

    Args:
        url: address of the server.
        api_key: one of `geosearch keys create` there; by default that of GEOSEARCH_API_KEY.
        timeout_s: the longest wait for one answer.

    Raises:
        ConfigError: the address is none.
    """

    def __init__(
        self, url: str, *, api_key: object = None, timeout_s: object = TIMEOUT_S, **others: object
    ) -> None:
        if others:
            raise ConfigError(
                f"{', '.join(sorted(others))}: a server has its own settings; with url only "
                "api_key and timeout_s can be given"
            )
        if not isinstance(timeout_s, int | float) or not 0.0 < timeout_s < math.inf:
            raise ConfigError(f"timeout_s is {timeout_s!r}; give seconds above 0")
        if not isinstance(api_key, str | None):
            raise ConfigError("api_key must be text, as `geosearch keys create` prints it")
        if api_key is None:
            secret = load_settings().api_key
            api_key = None if secret is None else secret.get_secret_value()
        self._wire = Wire(url, api_key=api_key, timeout_s=timeout_s)

    def close(self) -> None:
        """Close the connections; harmless when called twice."""
        self._wire.close()

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
        """Send photos with what is known of them; doing it again changes nothing.

        A photo that the server has, with nothing new said of it, is not sent again. Arguments as of
        the embedded collection, without `dry_run`.

        Raises:
            ConfigError: nothing is given, a path does not exist, or a dry run is asked for.
            InvalidManifest: the manifest as a whole cannot be used.
        """
        if dry_run:
            self._elsewhere("a dry run", "geosearch ingest --dry-run")
        sources = photo_sources(paths, manifest=manifest, dataset=dataset)
        if settled_only:
            sources = (source for source in sources if is_settled(source))
        with Uploader(self._wire, progress) as uploader:
            return uploader.send_all(sources)

    def retry(
        self, *, failed: bool = False, progress: Callable[[IngestReport], None] | None = None
    ) -> NoReturn:
        """Not by network: what was interrupted is on the server's disks.

        Raises:
            ConfigError: always, with the command to run there.
        """
        self._elsewhere("a retry", "geosearch retry")

    def reindex(self, **options: object) -> NoReturn:
        """Not by network: encoders are loaded on the server.

        Raises:
            ConfigError: always, with the command to run there.
        """
        self._elsewhere("a new index", "geosearch reindex")

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

        Arguments and errors as of the embedded collection, without `where`; pages of the server
        are fetched until there are `k` hits.
        """
        if where is not None:
            raise ConfigError(
                "where: a search by network takes near, radius_km, bbox, within, country, since, "
                "until, dataset and author instead"
            )
        if k < 1:
            raise ConfigError(f"k is {k}; ask for 1 or more photos")
        asked = Criteria(
            None if near is None else coordinate_of(near),
            radius_km,
            bbox if bbox is None else _corners(bbox),
            within,
            country,
            since,
            until,
            dataset,
            author,
        )
        asked.filter()  # what is wrong with it is said before anything is sent
        query: dict[str, Any] = asked.document() | {
            "like": None if like is None else str(like),
            "text": text,
            "at": None if at is None else _pair(at),
            "weights": None if weights is None else dict(weights),
            "diverse": diverse,
        }
        files = None if image is None else [("image", ("photo", image_bytes(image)))]
        found: FoundPhotos | None = None
        cursor: str | None = None
        while found is None or (cursor is not None and len(found) < k):
            left = k if found is None else k - len(found)
            page = query | {"limit": min(PAGE, left), "cursor": cursor}
            answer = self._wire.ask(
                "POST", "/v1/search", form={"query": as_json(page)}, files=files
            )
            more, cursor = self._wire.read(_page, answer)
            hits = more.hits if found is None else (*found.hits, *more.hits)
            found = FoundPhotos.of(replace(more, hits=hits))
        return found

    def locate_sources(
        self,
        sources: Iterable[PhotoSource | BadSource],
        wishes: LmmWishes,
        *,
        where: Filter | None = None,
    ) -> Iterator[LocatedPhoto]:
        """As `locate`, for photos that were found before, and what is known to be unreadable.

        How often a model is asked, and for how much, is set on the server.

        Raises:
            ConfigError: `samples` or `max_cost_usd` is given, `where` is nothing that criteria can
                say, or a model cannot be asked.
        """
        narrowed = Criteria.from_filter(where).document()
        if wishes.samples is not None or wishes.max_cost_usd is not None:
            raise ConfigError(
                "samples and max_cost_usd are settings of the server: GEOSEARCH_LMM_SAMPLES and "
                "GEOSEARCH_LMM_MONTHLY_BUDGET_USD there"
            )
        for source in sources:
            start = time.perf_counter()
            if isinstance(source, BadSource):
                yield _unanswered(source.uri, source.reason, start)
                continue
            try:
                data = image_bytes(source.path or source.uri)
            except UnreadableImage as error:
                yield _unanswered(source.uri, str(error), start)
                continue
            form = {
                "no_lmm": str(wishes.no_lmm).lower(),
                "model": wishes.model,
                "hint": wishes.hint,
                "where": as_json(narrowed) if narrowed else None,
            }
            answer = self._wire.ask(
                "POST",
                "/v1/locate",
                form=form,
                files=[("image", (file_name(source.uri), data))],
                repeatable=wishes.no_lmm,  # a model that was asked has to be paid
            )
            yield LocatedPhoto.of(
                replace(self._wire.read(prediction_from_dict, answer), image=source.uri)
            )

    def photos(
        self, *, state: PhotoState | str | None = None, dataset: str | None = None
    ) -> Iterator[PhotoEntry]:
        """The photos of the collection, in order of id, whatever has become of them.

        Arguments and errors as of the embedded collection.
        """
        states = [str(one) for one in states_of(state)]
        cursor: str | None = None
        while True:
            answer = self._wire.ask(
                "GET", "/v1/photos", params={"state": states, "limit": PAGE, "cursor": cursor}
            )
            entries, cursor = self._wire.read(_listed, answer)
            for entry in entries:
                if dataset is None or entry.photo.dataset == dataset:
                    yield entry
            if cursor is None:
                return

    def photo(self, photo: UUID | str) -> PhotoEntry:
        """What is known of a photo, by its id.

        Raises:
            UnknownPhoto: there is none by that id.
        """
        answer = self._wire.ask("GET", f"/v1/photos/{id_of(photo)}")
        return self._wire.read(photo_entry_from_dict, answer)

    def relabel(
        self, photo: UUID | str, place: Place, *, source: LabelSource | str = LabelSource.MANUAL
    ) -> PhotoEntry:
        """Say where a photo was taken; whose word that is stays with it.

        Arguments and errors as of the embedded collection.
        """
        where = coordinate_of(place)
        label = {"lat": where.lat, "lon": where.lon, "label_source": str(given_source(source))}
        answer = self._wire.ask("PATCH", f"/v1/photos/{id_of(photo)}", document=label)
        return self._wire.read(photo_entry_from_dict, answer)

    def delete(self, photo: UUID | str) -> None:
        """Take a photo out of the catalogue and every index; a file of yours stays where it is.

        Raises:
            UnknownPhoto: there is none by that id.
        """
        self._wire.ask("DELETE", f"/v1/photos/{id_of(photo)}", repeatable=False)

    def export_rows(self, *, dataset: str | None = None) -> Iterator[dict[str, Any]]:
        """Every photo as a flat mapping, in order of path, as `export` writes them."""
        entries = sorted(self.photos(dataset=dataset), key=lambda entry: entry.photo.path)
        return map(_row, entries)

    def status(self) -> dict[str, Any]:
        """Photos by state and by encoder, the pace, the last run, the last errors."""
        found: dict[str, Any] = self._wire.ask("GET", "/v1/status")
        return found

    def _elsewhere(self, what: str, command: str) -> NoReturn:
        raise ConfigError(f"{what} is not made by network; run `{command}` on {self._wire.url}")


def _page(answer: Mapping[str, Any]) -> tuple[SearchResult, str | None]:
    """Hits of one page, and where the next one begins."""
    return search_result_from_dict(answer), answer["next"]


def _listed(answer: Mapping[str, Any]) -> tuple[list[PhotoEntry], str | None]:
    """Photos of one page, and where the next one begins."""
    return [photo_entry_from_dict(one) for one in answer["photos"]], answer["next"]


def _pair(place: Place) -> list[float]:
    where = coordinate_of(place)
    return [where.lat, where.lon]


def _corners(bbox: str | tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    corners = box(bbox)
    return corners.west, corners.south, corners.east, corners.north


def _unanswered(image: str, reason: str, start: float) -> LocatedPhoto:
    return LocatedPhoto.without_answer(
        image, reason, encoder="", seconds=time.perf_counter() - start
    )


def _row(entry: PhotoEntry) -> dict[str, Any]:
    photo, where = entry.photo, entry.photo.coordinate
    return {
        "path": photo.path,
        "lat": None if where is None else where.lat,
        "lon": None if where is None else where.lon,
        "captured_at": photo.captured_at,
        "dataset": photo.dataset,
        "country": photo.country,
        "region": entry.region,
        "city": entry.city,
        "state": str(entry.state),
        "author": photo.author,
        "license": photo.license,
        "caption": photo.caption,
        "label_source": None if entry.label_source is None else str(entry.label_source),
        "error": entry.error,
    }
