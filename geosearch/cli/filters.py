"""Options that narrow a search, the same for every command that looks at the collection."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from geosearch.criteria import Criteria

_OPTIONS = (
    click.option("--near", metavar="LAT,LON", help="Centre of a circle, in decimal degrees."),
    click.option("--radius-km", type=float, help="Radius of the circle around --near."),
    click.option("--bbox", metavar="W,S,E,N", help="A box; W > E crosses the antimeridian."),
    click.option(
        "--within",
        type=click.Path(path_type=Path),
        help="A GeoJSON file with one or more polygons.",
    ),
    click.option("--country", metavar="CC", help="ISO 3166-1 alpha-2 code, as in SE."),
    click.option(
        "--since", metavar="TIME", help="From then on, as 2024-05-31 or with a time; UTC."
    ),
    click.option("--until", metavar="TIME", help="Before then; a date alone includes that day."),
    click.option("--dataset", help="Only photos of this data set."),
    click.option("--author", help="Only photos by this photographer."),
)


def filter_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options that narrow a search; it takes them as one `criteria`."""

    @wraps(command)
    def narrowed(
        *arguments: Any,
        near: str | None,
        radius_km: float | None,
        bbox: str | None,
        within: Path | None,
        country: str | None,
        since: str | None,
        until: str | None,
        dataset: str | None,
        author: str | None,
        **options: Any,
    ) -> int:
        criteria = _criteria(near, radius_km, bbox, within, country, since, until, dataset, author)
        return command(*arguments, criteria=criteria, **options)

    found: Callable[..., int] = narrowed
    for option in reversed(_OPTIONS):
        found = option(found)
    return found


def _criteria(near: str | None, *others: Any) -> Criteria:
    from geosearch.criteria import Criteria
    from geosearch.geo import parse_coordinate

    return Criteria(None if near is None else parse_coordinate(near), *others)
