"""Pieces of HTML for notebooks: a map and a few lines or pictures, with nothing that runs.

The map is an image of its own, so that its colours neither leak into the notebook nor change by it.
"""

from __future__ import annotations

import base64
from html import escape

from geosearch.records import Prediction, SearchResult
from geosearch.worldmap.pages import kilometres_text
from geosearch.worldmap.svg import Mark, draw_map, render_svg, view_of
from geosearch.worldmap.thumbnails import thumbnail

SHOWN_PHOTOS = 12
"""Photos shown below a map; more would make a notebook's file large."""


def search_fragment(result: SearchResult) -> str:
    """The hits by number on a map, and the first of them as small copies."""
    marks = [
        Mark("hit", hit.photo.coordinate, f"{number}. {hit.photo.path}", str(number))
        for number, hit in enumerate(result.hits, start=1)
        if hit.photo.coordinate is not None
    ]
    title = f"{len(result.hits)} of {result.matched} matching photos"
    picture = draw_map([], marks[::-1], title=title, view=view_of([], marks), width_px=720)
    shown = [
        _photo(
            hit.photo.path,
            f"{number}. {hit.photo.place}" + ("" if hit.score is None else f" · {hit.score:.3f}"),
        )
        for number, hit in enumerate(result.hits[:SHOWN_PHOTOS], start=1)
    ]
    return _fragment(title, picture, f"{result.plan} search", shown)


def prediction_fragment(prediction: Prediction) -> str:
    """The answer with its radius, alternatives and evidence on a map, or why there is none."""
    best = prediction.best
    if best is None:
        return f"<div><b>Not located.</b> {escape(prediction.reason or '')}</div>"
    radii = ", ".join(
        f"{kilometres_text(radius)} at {level} %"
        for level, radius in sorted(best.radius_km.items())
    )
    title = f"{best.place or 'An unnamed place'} ({best.coordinate})"
    shown = [_photo(one.photo.path, f"{one.score:.3f}") for one in best.evidence[:SHOWN_PHOTOS]]
    return _fragment(title, render_svg(prediction, title=title, width_px=720), radii, shown)


def _fragment(title: str, svg: str, words: str, shown: list[str]) -> str:
    address = "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8")).decode("ascii")
    return (
        f'<div><b>{escape(title)}</b><br><small>{escape(words)}</small><br><img src="{address}" '
        f'alt="{escape(title)}" style="max-width:100%"><div>{"".join(shown)}</div></div>'
    )


def _photo(path: str, words: str) -> str:
    source = thumbnail(path, edge_px=140)
    picture = "" if source is None else f'<img src="{source}" alt="{escape(path)}"><br>'
    return (
        '<figure style="display:inline-block;margin:4px;max-width:150px;vertical-align:top">'
        f"{picture}<figcaption><small>{escape(words)}</small></figcaption></figure>"
    )
