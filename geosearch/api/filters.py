"""Which photos count, as requests say it: the fields of `Criteria` as JSON in a field of a form."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from geosearch.api.bodies import ONE_LINE, strict_json
from geosearch.criteria import Criteria
from geosearch.errors import InvalidInput

Model = TypeVar("Model", bound=BaseModel)

MOST_CHARACTERS = 1_000_000
"""Of a field of a form that holds JSON."""


class FilterFields(BaseModel):
    """Where, when and among what to look; coordinates are [lat, lon]."""

    model_config = ConfigDict(extra="forbid")

    near: tuple[float, float] | None = None
    radius_km: float | None = None
    bbox: tuple[float, float, float, float] | None = Field(
        None, description="West, south, east, north; west > east crosses ±180."
    )
    within: dict[str, Any] | None = Field(None, description="GeoJSON with polygons.")
    country: str | None = Field(None, max_length=2)
    since: str | None = Field(None, max_length=40)
    until: str | None = Field(None, max_length=40)
    dataset: str | None = Field(None, max_length=500, pattern=ONE_LINE)
    author: str | None = Field(None, max_length=500, pattern=ONE_LINE)


def read_field(model: type[Model], text: str, *, name: str) -> Model:
    """What a field of a form says as JSON.

    Raises:
        InvalidInput: it is no JSON, or not what the model describes; `name` is the field's.
    """
    try:
        return model.model_validate(strict_json(text))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or name
        raise InvalidInput(f"{where}: {first['msg']}") from None


def read_area_criteria(text: str, *, name: str) -> Criteria:
    """Criteria from a field of a form; unlike a search, which measures from it, no bare centre.

    Raises:
        InvalidInput: they are no criteria, or `near` has no radius.
    """
    asked = Criteria.of(read_field(FilterFields, text, name=name).model_dump(exclude_none=True))
    if asked.near is not None and asked.radius_km is None:
        raise InvalidInput("near is the centre of a circle; add radius_km")
    return asked
