"""The Python face: everything the command line does, as methods that return records."""

from geosearch.client.arguments import photo_sources
from geosearch.client.embedded import GeoSearch

__all__ = ["GeoSearch", "photo_sources"]
