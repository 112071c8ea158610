"""Whole pages: a map, and beside it what was found, as one HTML file without outside requests.

The page forbids itself every request and every script but its own, by a content security policy.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template

from geosearch.records import Candidate, PhotoFact, Prediction, SearchResult
from geosearch.worldmap.svg import Mark, draw_map, layers_of, view_of
from geosearch.worldmap.thumbnails import thumbnail


def render_html(
    predictions: Prediction | Sequence[Prediction], *, title: str = "Where was this taken?"
) -> str:
    """One page with the answer to one photo, or to a batch of them.

    The map shows each located place as a pin with its radius circles, alternatives by number and
    evidence as dots; the panel shows the photo, coordinates, scores, evidence and steps. Photos are
    read from the paths in the predictions and put into the page as small copies without metadata.
    """
    many = [predictions] if isinstance(predictions, Prediction) else list(predictions)
    rings, marks = layers_of(many)
    located = sum(prediction.best is not None for prediction in many)
    panel = "".join(_prediction(at, one, is_alone=len(many) == 1) for at, one in enumerate(many))
    lead = "" if len(many) == 1 else f"{located} of {len(many)} photos located"
    picture = draw_map(rings, marks, title=title, view=view_of(rings, marks))
    return _page(title, lead, picture, panel)


def render_search_html(result: SearchResult, *, title: str = "Search results") -> str:
    """One page with the photos of a search: a numbered map and a grid of small copies."""
    marks: list[Mark] = []
    cards: list[str] = []
    for number, hit in enumerate(result.hits, start=1):
        photo, key = hit.photo, f"h{number}"
        if photo.coordinate is not None:
            marks.append(Mark("hit", photo.coordinate, f"{number}. {photo.path}", str(number), key))
        facts = [] if hit.score is None else [f"similarity {hit.score:.3f}"]
        if hit.distance_km is not None:
            facts.append(f"{kilometres_text(hit.distance_km)} away")
        cards.append(_photo_card(photo, facts, key=key, number=str(number)))
    lead = (
        f"{len(result.hits)} of {result.matched} matching photos, "
        f"{result.plan} search in {result.seconds * 1000:.0f} ms"
    )
    picture = draw_map([], marks[::-1], title=title, view=view_of([], marks))
    body = (
        f'<div class="grid-cards">{"".join(cards)}</div>' if cards else "<p>No photo matches.</p>"
    )
    return _page(title, lead, picture, f"<section>{body}</section>")


def _page(title: str, lead: str, picture: str, panel: str) -> str:
    """The template filled in; its own script is allowed by its hash and no other is."""
    template = (files("geosearch") / "assets" / "report.html").read_text(encoding="utf-8")
    found = re.search(r"<script>(.*?)</script>", template, re.DOTALL)
    script = "" if found is None else found.group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return Template(template).substitute(
        title=escape(title), lead=escape(lead), map=picture, panel=panel, script_hash=digest
    )


def _prediction(number: int, prediction: Prediction, *, is_alone: bool) -> str:
    """The panel of one prediction; in a batch it folds."""
    best = prediction.best
    name = escape(prediction.image)
    picture = _picture(prediction.image, f"The photo {prediction.image}", size="large")
    if best is None:
        reason = escape(prediction.reason or "No place is supported by what was found.")
        body = f'{picture}<p class="none"><strong>Not located.</strong> {reason}</p>'
        heading = "not located"
    else:
        body = picture + _answer(number, best) + _alternatives(number, prediction.alternatives)
        cards = [
            _photo_card(
                one.photo,
                [
                    f"similarity {one.score:.3f}",
                    f"{kilometres_text(one.distance_km)} from the answer",
                ],
                key=f"p{number}e{at}",
            )
            for at, one in enumerate(best.evidence)
        ]
        if cards:
            body += f'<h3>Evidence</h3><div class="grid-cards">{"".join(cards)}</div>'
        heading = escape(best.place or str(best.coordinate))
    body += _steps(prediction)
    if is_alone:
        return f"<section>{body}</section>"
    badge = f'<span class="badge">{number + 1}</span>'
    is_open = " open" if number == 0 else ""
    return (
        f'<details class="one" data-key="p{number}"{is_open}><summary>{badge}<span>{heading}'
        f"<small>{name}</small></span></summary>{body}</details>"
    )


def _answer(number: int, best: Candidate) -> str:
    """The place, its coordinate and how sure it is."""
    radii = " · ".join(
        f"<strong>{kilometres_text(radius)}</strong> at {level} %"
        for level, radius in sorted(best.radius_km.items())
    )
    facts = [("Coordinate", f"<code>{best.coordinate}</code>")]
    if radii:
        facts.append(("Within", radii))
    facts.append(("Support", f"{best.share:.0%}"))
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    place = escape(best.place or "An unnamed place")
    return f'<div class="answer" data-key="p{number}"><h2>{place}</h2><dl>{rows}</dl></div>'


def _alternatives(number: int, alternatives: Sequence[Candidate]) -> str:
    """The other places, numbered as on the map, with bars for their support."""
    if not alternatives:
        return ""
    rows = "".join(
        f'<li data-key="p{number}a{at}" tabindex="0"><span class="badge alt">{at + 1}</span>'
        f"<span>{escape(one.place or str(one.coordinate))}"
        f"<small><code>{one.coordinate}</code></small></span>"
        f'<meter min="0" max="1" value="{one.share:.4f}" title="support {one.share:.0%}"></meter>'
        f"<b>{one.share:.0%}</b></li>"
        for at, one in enumerate(alternatives)
    )
    return f'<h3>Alternatives</h3><ol class="alternatives">{rows}</ol>'


def _photo_card(photo: PhotoFact, facts: Sequence[str], *, key: str, number: str = "") -> str:
    """A photo with what is known of it."""
    what = photo.caption or photo.path
    badge = f'<span class="badge dot">{escape(number)}</span>' if number else ""
    lines = [f"<b>{escape(photo.place)}</b>"] if photo.place else []
    lines += [escape(fact) for fact in facts]
    if photo.captured_at is not None:
        lines.append(escape(photo.captured_at.strftime("%d %B %Y")))
    credit = ", ".join(part for part in (photo.author, photo.license) if part)
    if credit:
        lines.append(f"<i>{escape(credit)}</i>")
    return (
        f'<figure class="card" data-key="{escape(key)}" tabindex="0" title="{escape(photo.path)}">'
        f"{badge}{_picture(photo.path, what)}<figcaption>{'<br>'.join(lines)}</figcaption></figure>"
    )


def _picture(path: str, alt: str, *, size: str = "small") -> str:
    """A photo in the page, or a plate that says that it is not on this machine."""
    source = thumbnail(path, edge_px=640 if size == "large" else 240)
    if source is None:
        return f'<div class="missing {size}" role="img" aria-label="{escape(alt)}">no preview</div>'
    return f'<img class="{size}" src="{source}" alt="{escape(alt)}" loading="lazy">'


def _steps(prediction: Prediction) -> str:
    """What each step said, and what it took."""
    rows = "".join(
        f"<li><b>{escape(step.name)}</b> {escape(step.summary)} "
        f"<small>{step.seconds:.2f} s</small></li>"
        for step in prediction.steps
    )
    steps = f"<details><summary>How it was found</summary><ol>{rows}</ol></details>" if rows else ""
    cost = f" · ${prediction.cost_usd:.4f}" if prediction.cost_usd else ""
    foot = f"{escape(prediction.encoder)} · {prediction.seconds:.1f} s{cost}"
    return f'{steps}<p class="foot">{foot}</p>'


def kilometres_text(distance_km: float) -> str:
    """A distance as a reader says it."""
    if distance_km < 1.0:
        return f"{distance_km * 1000:.0f} m"
    return f"{distance_km:.1f} km" if distance_km < 10.0 else f"{distance_km:,.0f} km"
