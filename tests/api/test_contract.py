"""The OpenAPI document as a contract: generated requests never make the server break it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from geosearch.client import GeoSearch
from tests.api.conftest import serving

schemathesis = pytest.importorskip("schemathesis", reason="pip install '.[dev]'")
schemathesis.checks.load_all_checks()
CHECKS = schemathesis.checks.CHECKS

# A schema cannot say that a text holds a query, or that bytes are a photo.
positive_data_acceptance = CHECKS.get_one("positive_data_acceptance")

quickly = settings(
    max_examples=8,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_generated_requests_keep_the_contract(geosearch: GeoSearch, folder: Path) -> None:
    geosearch.ingest(folder, dataset="trip")
    broken: list[str] = []
    asked = 0
    with serving(geosearch) as url:
        document = schemathesis.openapi.from_url(f"{url}/openapi.json")
        for found in document.get_all_operations():
            operation = found.ok()

            @quickly
            @given(case=operation.as_strategy())
            def ask(case: Any) -> None:
                case.call_and_validate(timeout=120, excluded_checks=[positive_data_acceptance])

            asked += 1
            try:
                ask()
            except BaseException as error:  # every operation is tried before any is reported
                parts = getattr(error, "exceptions", (error,))
                broken += [f"{operation.label}: {part}"[:400] for part in parts]
    assert asked >= 15
    assert not broken, "\n\n".join(broken)
