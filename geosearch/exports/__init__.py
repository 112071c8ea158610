"""Predictions, search results and photos as files that people open: JSON, CSV, GeoJSON, KML."""

from geosearch.exports.circles import circle_polygon
from geosearch.exports.documents import (
    prediction_to_dict,
    predictions_to_json,
    search_result_to_dict,
    search_result_to_json,
)
from geosearch.exports.geojson import (
    photos_to_features,
    photos_to_geojson,
    predictions_to_features,
    predictions_to_geojson,
    search_result_to_features,
    search_result_to_geojson,
)
from geosearch.exports.kml import photos_to_kml, predictions_to_kml, search_result_to_kml
from geosearch.exports.tables import (
    PHOTO_COLUMNS,
    PREDICTION_COLUMNS,
    SEARCH_COLUMNS,
    photos_to_csv,
    prediction_row,
    predictions_to_csv,
    search_result_to_csv,
    search_rows,
)

__all__ = [
    "PHOTO_COLUMNS",
    "PREDICTION_COLUMNS",
    "SEARCH_COLUMNS",
    "circle_polygon",
    "photos_to_csv",
    "photos_to_features",
    "photos_to_geojson",
    "photos_to_kml",
    "prediction_row",
    "prediction_to_dict",
    "predictions_to_csv",
    "predictions_to_features",
    "predictions_to_geojson",
    "predictions_to_json",
    "predictions_to_kml",
    "search_result_to_csv",
    "search_result_to_dict",
    "search_result_to_features",
    "search_result_to_geojson",
    "search_result_to_json",
    "search_result_to_kml",
    "search_rows",
]
