import base64
import hashlib
import json
import math
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from geosearch.geo import Coordinate
from geosearch.records import (
    Candidate,
    Evidence,
    PhotoFact,
    Prediction,
    SearchHit,
    SearchResult,
    Step,
)
from geosearch.worldmap import render_html, render_search_html, render_svg
from geosearch.worldmap.projection import HEIGHT, WIDTH, circle_path, outlines, place, project
from geosearch.worldmap.svg import layers_of, view_of
from geosearch.worldmap.thumbnails import thumbnail

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'&"
LUND, SUVA, POLE = Coordinate(55.705, 13.193), Coordinate(-18.14, 178.44), Coordinate(-85.0, 20.0)


def make_photo(
    path: str = "a.jpg", coordinate: Coordinate | None = LUND, text: str = ""
) -> PhotoFact:
    return PhotoFact(
        id=UUID(int=1),
        path=path,
        coordinate=coordinate,
        place=text or "Lund, Sweden",
        country="SE",
        captured_at=datetime(2024, 5, 1, tzinfo=UTC),
        dataset="test",
        author=text or "Ann",
        license=text or "CC0-1.0",
        caption=text or None,
    )


def make_prediction(
    coordinate: Coordinate = LUND,
    *,
    radius_km: dict[int, float] | None = None,
    photo: PhotoFact | None = None,
    text: str = "",
    image: str = "query.jpg",
) -> Prediction:
    evidence = (Evidence(photo or make_photo(text=text), 0.9, 1.5),)
    radii = {50: 20.0, 90: 300.0} if radius_km is None else radius_km
    best = Candidate(coordinate, 0.7, text or "Lund, Sweden", radii, evidence)
    other = Candidate(Coordinate(40.7, -74.0), 0.2, text or "New York", {}, ())
    step = Step(text or "retrieval", text or "found 64 neighbors", coordinate, 0.1)
    return Prediction(image, best, (other,), (step,), text or "lite", seconds=0.4)


class Collector(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def tags_of(page: str) -> list[tuple[str, dict[str, str | None]]]:
    collector = Collector()
    collector.feed(page)
    return collector.tags


def all_pages(text: str) -> list[str]:
    prediction = make_prediction(text=text, image=text or "query.jpg")
    lost = Prediction(text or "b.jpg", None, (), (), "lite", reason=text or "nothing")
    hit = SearchHit(make_photo(text or "a.jpg", text=text), 0.5, 3.0)
    return [
        render_html(prediction, title=text or "One"),
        render_html([prediction, lost], title=text or "Two"),
        render_search_html(SearchResult((hit,), 1, text or "exact", 0.01), title=text or "Found"),
    ]


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_text_from_strangers_makes_no_tag_and_no_attribute(kind: int) -> None:
    plain, hostile = all_pages("x")[kind], all_pages(HOSTILE)[kind]
    plain_tags, hostile_tags = tags_of(plain), tags_of(hostile)
    assert [tag for tag, _ in plain_tags] == [tag for tag, _ in hostile_tags]
    assert [sorted(attrs) for _, attrs in plain_tags] == [
        sorted(attrs) for _, attrs in hostile_tags
    ]
    assert "<script>alert" not in hostile


def test_a_hostile_path_or_caption_does_not_break_the_static_map() -> None:
    svg = render_svg(make_prediction(text=HOSTILE, image=HOSTILE), title=HOSTILE)
    root = ElementTree.fromstring(svg)
    assert not [element for element in root.iter() if element.tag.endswith("script")]
    assert root.attrib["aria-label"] == HOSTILE


def test_template_words_in_a_title_are_left_as_they_are() -> None:
    assert "${panel} $map" in render_html(make_prediction(), title="${panel} $map")


@pytest.mark.parametrize("page", all_pages(""), ids=["one", "batch", "search"])
def test_a_page_asks_nothing_of_the_network(page: str) -> None:
    for tag, attributes in tags_of(page):
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert (attributes.get(name) or "data:").startswith("data:")
    without_names = page.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", without_names)


def test_only_the_script_of_the_page_itself_is_allowed_to_run() -> None:
    page = render_html(make_prediction())
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page


def paths_of(page: str) -> list[str]:
    return re.findall(r'class="circle[^"]*" d="([^"]+)"', page)


def test_a_circle_across_the_antimeridian_is_split_and_inland_ones_are_not() -> None:
    assert circle_path(LUND, 300.0).count("M") == 1
    split = circle_path(SUVA, 1500.0)
    assert split.count("M") == 2
    xs = [float(pair.split()[0]) for pair in re.findall(r"[\d.]+ [\d.]+", split)]
    assert min(xs) < 60
    assert max(xs) > WIDTH - 60
    assert not [x for x in xs if 100 < x < WIDTH - 100]


def test_a_circle_over_a_pole_reaches_the_edge_of_the_map_on_its_whole_width() -> None:
    path = circle_path(POLE, 2000.0)
    points = np.array(
        [[float(part) for part in pair.split()] for pair in re.findall(r"[\d.]+ [\d.]+", path)]
    )
    at_edge = points[points[:, 1] > HEIGHT - 0.5]
    assert at_edge[:, 0].min() == pytest.approx(place(Coordinate(-90, -180))[0], abs=0.5)
    assert at_edge[:, 0].max() == pytest.approx(place(Coordinate(-90, 180))[0], abs=0.5)


def test_a_radius_of_zero_and_one_of_the_whole_earth_can_be_drawn() -> None:
    svg = render_svg(make_prediction(radius_km={50: 0.0, 90: 20_016.0}))
    assert len(paths_of(svg)) == 2


def test_a_circle_in_the_north_is_drawn_wider_than_high_as_the_sphere_asks() -> None:
    def width(lat: float) -> float:
        pairs = re.findall(r"[\d.]+ [\d.]+", circle_path(Coordinate(lat, 10.0), 500.0))
        xs = [float(pair.split()[0]) for pair in pairs]
        return max(xs) - min(xs)

    assert width(70.0) > width(0.0) * 1.3


def test_the_projection_keeps_the_corners_the_centre_and_the_order_of_latitudes() -> None:
    assert place(Coordinate(0, 0)) == pytest.approx((WIDTH / 2, HEIGHT / 2))
    assert place(Coordinate(0, 180))[0] == pytest.approx(WIDTH)
    assert place(Coordinate(90, 0))[1] == pytest.approx(0.0, abs=0.05)
    lat = np.linspace(-90, 90, 181)
    assert (np.diff(project(lat, np.zeros(181))[:, 1]) < 0).all()


def test_the_projection_gives_the_values_that_proj_gives() -> None:
    # PROJ's own test of `+proj=natearth +a=6400000`: (lon 2, lat 1) in metres.
    metres = 6_400_000 * 2 * math.pi * 0.8707 / WIDTH
    x, y = place(Coordinate(1.0, 2.0))
    assert (x - WIDTH / 2) * metres == pytest.approx(194507.265257889, abs=1e-3)
    assert (HEIGHT / 2 - y) * metres == pytest.approx(112508.737358295, abs=1e-3)


def test_the_land_stays_inside_the_map_and_no_edge_crosses_it() -> None:
    land = outlines()[2]
    for ring in land.split("M")[1:]:
        points = np.array([pair.split() for pair in ring.rstrip("Z").split("L")], dtype=float)
        assert points.min() >= -0.01
        assert points[:, 0].max() <= WIDTH + 0.01
        assert np.abs(np.diff(points, axis=0)).max() < 40


def test_the_outlines_are_small_and_load_from_the_package() -> None:
    asset = files("geosearch") / "assets" / "land-110m.json"
    text = asset.read_text(encoding="utf-8")
    assert len(text) < 150_000
    assert len(json.loads(text)["land"]) > 100


def test_the_page_shows_place_coordinate_radii_scores_and_steps() -> None:
    page = render_html(make_prediction())
    for words in (
        "Lund, Sweden",
        "55.70500, 13.19300",
        "<strong>20 km</strong> at 50 %",
        "<strong>300 km</strong> at 90 %",
        "70%",
        "similarity 0.900",
        "1.5 km from the answer",
        "found 64 neighbors",
        "New York",
    ):
        assert words in page


def test_a_photo_that_was_not_located_says_why_and_puts_no_pin_on_the_map() -> None:
    lost = Prediction("b.jpg", None, (), (), "lite", reason="neighbors disagree")
    page = render_html(lost)
    assert "neighbors disagree" in page
    assert 'class="mark' not in page


def test_a_batch_numbers_its_pins_as_its_panel_does() -> None:
    page = render_html([make_prediction(), make_prediction(SUVA)])
    assert page.count('class="mark pin"') == 2
    assert 'data-key="p0"' in page
    assert 'data-key="p1"' in page
    assert "2 of 2 photos located" in page


def test_pins_are_drawn_after_and_so_above_the_evidence() -> None:
    _, marks = layers_of([make_prediction()])
    assert [mark.kind for mark in marks] == ["evidence", "alternative", "pin"]


def test_the_view_holds_every_mark_and_is_the_whole_world_without_any() -> None:
    assert view_of([], []) == (0.0, 0.0, WIDTH, HEIGHT)
    rings, marks = layers_of([make_prediction(Coordinate(-34.0, 151.0))])
    x, y, width, height = view_of(rings, marks)
    for mark in marks:
        mark_x, mark_y = place(mark.coordinate)
        assert x <= mark_x <= x + width
        assert y <= mark_y <= y + height


def test_a_search_page_numbers_hits_with_a_place_and_shows_those_without() -> None:
    hits = (SearchHit(make_photo(), 0.5, None), SearchHit(make_photo("b.jpg", None), None, None))
    page = render_search_html(SearchResult(hits, 9, "exact", 0.01), title="harbour")
    assert page.count('class="mark hit"') == 1
    assert page.count('class="card"') == 2
    assert "2 of 9 matching photos" in page


def test_an_empty_search_says_so() -> None:
    assert "No photo matches." in render_search_html(
        SearchResult((), 0, "exact", 0.0), title="none"
    )


def test_a_thumbnail_is_small_upright_and_carries_no_metadata(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a secret address"
    exif[0x0112] = 6
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (900, 600), (200, 30, 30)).save(path, exif=exif, comment=b"secret")
    source = thumbnail(str(path), edge_px=120)
    assert source is not None
    raw = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))
    with Image.open(BytesIO(raw)) as image:
        assert image.size == (80, 120)
        assert not image.getexif()
    assert b"secret" not in raw


@pytest.mark.parametrize("path", ["https://example.org/a.jpg", "missing.jpg", "\x00", "."])
def test_what_cannot_be_shown_has_no_thumbnail(path: str) -> None:
    assert thumbnail(path) is None


def test_a_file_that_is_no_photo_has_no_thumbnail(tmp_path: Path) -> None:
    path = tmp_path / "note.jpg"
    path.write_text("<svg onload=alert(1)>")
    assert thumbnail(str(path)) is None


def test_photos_are_put_into_the_page_with_words_for_those_who_cannot_see(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.new("RGB", (60, 40)).save(path)
    page = render_html(make_prediction(photo=make_photo(str(path)), image=str(path)))
    pictures = [attributes for tag, attributes in tags_of(page) if tag == "img"]
    assert len(pictures) == 2
    assert all((one["src"] or "").startswith("data:image/jpeg;base64,") for one in pictures)
    assert all(one["alt"] for one in pictures)


def test_the_static_map_is_well_formed_and_has_the_size_asked_for() -> None:
    root = ElementTree.fromstring(render_svg(make_prediction(), width_px=640, whole_world=True))
    assert root.attrib["width"] == "640"
    assert root.attrib["viewBox"].startswith("0.00 0.00 1000.00")
