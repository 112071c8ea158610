"""Pictures of results on a world map, each one file that needs nothing from the network.

Everything shown is escaped: paths and captions come from strangers' files.
"""

from geosearch.worldmap.fragments import prediction_fragment, search_fragment
from geosearch.worldmap.pages import render_html, render_search_html
from geosearch.worldmap.svg import render_svg

__all__ = [
    "prediction_fragment",
    "render_html",
    "render_search_html",
    "render_svg",
    "search_fragment",
]
