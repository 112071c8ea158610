"""Pictures of results on a world map, each one file that needs nothing from the network.

Everything shown is escaped: paths and captions come from strangers' files.
"""

from geosearch.worldmap.pages import render_html, render_search_html
from geosearch.worldmap.svg import render_svg

__all__ = ["render_html", "render_search_html", "render_svg"]
