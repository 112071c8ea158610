"""Who may ask: keys that were found, keys that were refused, and guesses."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from geosearch.api.access import Access
from geosearch.catalogue.keys import ApiKeys
from geosearch.client import GeoSearch
from geosearch.settings import Settings
from tests.api.conftest import serving


class Counted(ApiKeys):
    """Keys that count how often they are looked up."""

    looked_up = 0

    def find(self, secret: str) -> Any:
        self.looked_up += 1
        return super().find(secret)


def test_guesses_beyond_the_rate_cost_no_query_and_lock_nobody_out(
    filled: GeoSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = Counted(filled.services.engine)
    monkeypatch.setattr("geosearch.api.app.ApiKeys", lambda engine: keys)
    settings = filled.services.settings
    filled.services.settings = Settings(
        **{**settings.model_dump(exclude_unset=True), "api_rate_per_minute": 5}
    )
    _, at_work = keys.create("at work", ["read"])
    _, unseen = keys.create("unseen", ["read"])
    with (
        serving(filled, asks_keys=True) as url,
        httpx.Client(base_url=url, timeout=120, trust_env=False) as client,
    ):

        def ask(key: str) -> httpx.Response:
            return client.get("/v1/stats", headers={"Authorization": f"Bearer {key}"})

        assert ask(at_work).status_code == 200
        answers = [ask(f"gs_{number}") for number in range(20)]
        assert [one.status_code for one in answers] == [401] * 4 + [429] * 16
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert keys.looked_up == 1 + 4
        assert ask(at_work).status_code == 200
        assert ask(unseen).status_code == 429
        assert client.get("/v1/stats").status_code == 429  # without a key


def test_a_key_that_was_found_is_looked_up_again_and_no_guess_pushes_it_out(
    filled: GeoSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geosearch.api.access._MOST", 10)
    now = [0.0]
    keys = Counted(filled.services.engine)
    key, secret = keys.create("reader", ["read"])
    access = Access(keys, None, clock=lambda: now[0])
    assert access.is_guess(secret)
    assert access.caller(secret) is not None
    for number in range(30):
        assert access.caller(f"gs_{number}") is None
        assert access.is_guess(f"gs_{number}")
    assert not access.is_guess(secret)
    before = keys.looked_up
    assert access.caller(secret) is not None
    assert access.caller("gs_29") is None
    assert keys.looked_up == before
    keys.revoke(key.id)
    now[0] = 6.0
    assert access.caller(secret) is None
    assert access.is_guess(secret)
    assert access.caller(secret) is None
    assert keys.looked_up == before + 1


@pytest.mark.parametrize("own", [None, "", "secret"])
def test_no_secret_opens_nothing(filled: GeoSearch, own: str | None) -> None:
    access = Access(ApiKeys(filled.services.engine), own)
    assert access.is_guess("")
    assert access.caller("") is None
