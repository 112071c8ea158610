"""GeoSearch: find photos by look and place, and find the place of a photo.

`import geosearch` loads no engine and no model; names are fetched when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geosearch.client import GeoSearch
    from geosearch.geo import Coordinate

__all__ = ["Coordinate", "GeoSearch", "__version__"]

__version__ = "0.1.0"

_HOMES = {"GeoSearch": "geosearch.client", "Coordinate": "geosearch.geo"}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'geosearch' has no attribute {name!r}")
