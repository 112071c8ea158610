"""What is done the same way with every collection, wherever its engines are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geosearch.client.arguments import as_paths
from geosearch.client.exporting import write_photos
from geosearch.client.wishes import LmmWishes
from geosearch.closing import Closing
from geosearch.criteria import PathLike
from geosearch.ingest.folders import scan
from geosearch.ingest.sources import BadSource, PhotoSource
from geosearch.results import LocatedPhoto
from geosearch.store.filters import Filter

if TYPE_CHECKING:
    from geosearch.evaluation import EvaluationReport


class Collection(Closing):
    """Photos that can be located with, measured and exported."""

    @abstractmethod
    def locate_sources(
        self,
        sources: Iterable[PhotoSource | BadSource],
        wishes: LmmWishes,
        *,
        where: Filter | None = None,
    ) -> Iterator[LocatedPhoto]:
        """A prediction for each source, in order."""

    @abstractmethod
    def export_rows(self, *, dataset: str | None = None) -> Iterator[dict[str, Any]]:
        """Every photo as a flat mapping."""

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

    def export(self, file: PathLike, *, form: str | None = None, dataset: str | None = None) -> int:
        """Write every photo with its label, names and state; returns how many.

        CSV and Parquet read back as a manifest; GeoJSON and KML open in maps.

        Args:
            file: written anew.
            form: `csv`, `geojson`, `kml` or `parquet`; by default what the name of `file` ends in,
                else CSV.
            dataset: only photos of this data set.

        Raises:
            ConfigError: there is no such form.
            MissingDependency: Parquet without the extra `parquet`.
        """
        return write_photos(self.export_rows(dataset=dataset), Path(file).expanduser(), form)
