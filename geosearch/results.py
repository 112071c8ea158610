"""Answers with ways to take them elsewhere: GeoJSON, data frames, a map in a notebook.

The values themselves are those of `records`; these subclasses add no field. The only importer of
pandas, and only when a data frame is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from geosearch.errors import MissingDependency
from geosearch.records import Prediction, SearchHit, SearchResult

if TYPE_CHECKING:
    from pandas import DataFrame


class FoundPhotos(SearchResult):
    """A search result that can be iterated, converted, and seen on a map in a notebook."""

    __slots__ = ()

    @classmethod
    def of(cls, result: SearchResult) -> FoundPhotos:
        """The same result with these methods."""
        return cls(*(getattr(result, field.name) for field in fields(SearchResult)))

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[SearchHit]:
        return iter(self.hits)

    def to_geojson(self) -> dict[str, Any]:
        """The hits as a GeoJSON FeatureCollection (RFC 7946), parsed."""
        from geosearch.exports import search_result_to_features

        return search_result_to_features(self)

    def to_dataframe(self) -> DataFrame:
        """The hits as a data frame, one row each, in order.

        Raises:
            MissingDependency: without the extra `pandas`.
        """
        from geosearch.exports import SEARCH_COLUMNS, search_rows

        return _frame(search_rows(self), SEARCH_COLUMNS)

    def _repr_html_(self) -> str:
        from geosearch.worldmap import search_fragment

        return search_fragment(self)


class LocatedPhoto(Prediction):
    """A prediction that can be converted, and seen on a map in a notebook."""

    __slots__ = ()

    @classmethod
    def of(cls, prediction: Prediction) -> LocatedPhoto:
        """The same prediction with these methods."""
        return cls(*(getattr(prediction, field.name) for field in fields(Prediction)))

    @classmethod
    def without_answer(
        cls, image: str, reason: str, *, encoder: str, seconds: float
    ) -> LocatedPhoto:
        """Of a photo that nothing was looked for, because it cannot be read."""
        return cls(
            image=image,
            best=None,
            alternatives=(),
            steps=(),
            encoder=encoder,
            reason=reason,
            seconds=seconds,
        )

    def to_geojson(self) -> dict[str, Any]:
        """Answer, radius, alternatives and evidence as a GeoJSON FeatureCollection, parsed."""
        from geosearch.exports import predictions_to_features

        return predictions_to_features([self])

    def to_dataframe(self) -> DataFrame:
        """One row; see `predictions_to_dataframe` for many photos.

        Raises:
            MissingDependency: without the extra `pandas`.
        """
        return predictions_to_dataframe([self])

    def _repr_html_(self) -> str:
        from geosearch.worldmap import prediction_fragment

        return prediction_fragment(self)


def predictions_to_dataframe(predictions: Iterable[Prediction]) -> DataFrame:
    """Predictions as a data frame, one row each; without an answer the numbers are missing.

    Raises:
        MissingDependency: without the extra `pandas`.
    """
    from geosearch.exports import PREDICTION_COLUMNS, prediction_row

    return _frame(map(prediction_row, predictions), PREDICTION_COLUMNS)


def _frame(rows: Iterable[dict[str, object]], columns: Sequence[str]) -> DataFrame:
    try:
        import pandas
    except ImportError as error:
        raise MissingDependency("pandas", extra="pandas", purpose="to_dataframe()") from error
    frame = pandas.DataFrame(list(rows), columns=list(columns))
    # Identities of photos are text in every table of ours; times are one type even if none is set.
    if "id" in frame:
        frame["id"] = frame["id"].astype(str)
    if "captured_at" in frame:
        frame["captured_at"] = pandas.to_datetime(frame["captured_at"], utc=True)
    return frame
